"""Media: what a request says about its body and its query, taken at its word or refused."""

from collections.abc import Collection
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.types import Scope

from artifact_flow.core.base.errors import closest
from artifact_flow.serving.problems import Problem

JSON, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
FORM = "application/x-www-form-urlencoded"  # what curl -d calls its body, whatever it is
UNICODE = ("utf-8", "utf8", "us-ascii", "ascii")


@dataclass(frozen=True)
class Media:
    """The content type of a body, in lower case, and its charset; None is UTF-8."""

    kind: str
    charset: str | None


def body_media(scope: Scope) -> Media | None:
    """Return what a request says about its body, None if it does not say; raise Problem when it is compressed."""
    found = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            found = _parse(value)
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            encoding = value.decode("latin-1")[:40]
            raise Problem(415, f"the content encoding {encoding!r} is not supported: send the body uncompressed.")
    return found


def check_media(scope: Scope, kinds: Collection[str], accepted: str, charsets: Collection[str] = ()) -> Media:
    """Return what a request says about its body; raise Problem unless it is one of `kinds`, described by `accepted`.

    A request that says nothing sends JSON. `charsets` are allowed beside UTF-8.
    """
    media = body_media(scope) or Media(JSON, None)
    if media.kind not in kinds:
        raise Problem(415, f"the content type {media.kind[:60]!r} is not supported: send {accepted}.")
    if media.charset and media.charset not in charsets:
        names = " or ".join(("UTF-8", *charsets))
        raise Problem(415, f"the charset {media.charset[:40]!r} is not supported: send {names}.")
    return media


def choose_parameter(scope: Scope, name: str, default: str) -> str:
    """Return the only parameter that a query may have; raise Problem naming any other, or one that is given twice."""
    query = scope["query_string"]
    if not query:
        return default
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for given, _ in pairs:
        if given != name:
            guess = closest(given[:40], [name])
            raise Problem(422, f"{given[:40]!r} is not a parameter of this endpoint{guess}: allowed: {name}.")
    if len(pairs) > 1:
        raise Problem(422, f"the parameter {name} is given {len(pairs)} times: give it once.")
    return pairs[0][1] if pairs else default


@lru_cache(maxsize=64)
def _parse(value: bytes) -> Media:
    message = Message()
    message["content-type"] = " ".join(value.decode("latin-1").split())
    kind = value.decode("latin-1").partition(";")[0].strip().lower()
    charset = str(message.get_param("charset") or "").strip().lower()
    return Media(kind, None if charset in (*UNICODE, "") else charset)
