"""Headers: what every response carries: request id, model, commit and, for pages, the content security policy."""

import itertools
import os
import re
from collections.abc import Collection, Iterable

from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.origins import Fields

REQUEST_ID = re.compile(rb"[\w.:+/=-]{1,128}")  # the ids that a client may choose
SAME_ORIGIN = (b"cross-origin-resource-policy", b"same-origin")  # no page elsewhere embeds an answer
NO_PAGE = b"default-src 'none'; frame-ancestors 'none'"
PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

Headers = list[tuple[bytes, bytes]]


class ResponseHeaders:
    """The headers that the service adds to every response; `predictions` are the paths of prediction endpoints."""

    def __init__(self, models: Iterable[ServedModel], commit: str, predictions: Collection[str]) -> None:
        """Build each model's constant headers once."""
        self._predictions = predictions
        self._of_model: dict[str, Headers] = {
            model.name: [
                (b"x-model-sha256", model.sha256.encode()),
                (b"x-commit", commit.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            for model in models
        }
        process = os.urandom(6).hex()
        self._ids = (f"{process}-{number:x}".encode() for number in itertools.count(1))

    def request_id(self, fields: Fields) -> bytes:
        """Return the request id that the client sent if it is valid, else a new one."""
        given = fields.get(b"x-request-id", b"")
        return given if given and REQUEST_ID.fullmatch(given) else next(self._ids)

    def build(self, path: str, model: ServedModel, request_id: bytes, draining: bool) -> Headers:
        """Return the headers of a response; while `draining`, they ask the client to close the connection."""
        headers = [(b"x-request-id", request_id), *self._of_model[model.name]]
        if path == "/" or path.startswith("/static/"):
            headers.append((b"cache-control", b"no-cache"))  # the page and its scripts must be of one version
        if path not in self._predictions:
            policy = DOCS if path == "/docs" else PAGE if path == "/" else NO_PAGE
            headers += [(b"content-security-policy", policy), (b"referrer-policy", b"no-referrer"), SAME_ORIGIN]
        if draining:
            headers.append((b"connection", b"close"))
        return headers
