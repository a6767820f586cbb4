"""Key: the API key that a request must carry, if the environment sets one, and what is public all the same."""

import hmac

from starlette.types import Scope

from artifact_flow.serving.origins import PROBES, Fields
from artifact_flow.serving.problems import Problem

# and /static: a browser asks for the key, or needs none
PUBLIC = ("/", *PROBES, "/docs", "/openapi.json")
SCHEMES = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


class ApiKey:
    """Refuses requests without the API key; without one to compare with, it refuses none."""

    def __init__(self, key: str | None) -> None:
        """Take the key of the settings."""
        self._key = key.encode() if key else None

    def check(self, scope: Scope, fields: Fields) -> None:
        """Raise Problem when a request lacks the key that its path needs."""
        path: str = scope["path"]
        if self._key is None or path in PUBLIC or path.startswith("/static/"):
            return
        if not hmac.compare_digest(_given(fields), self._key):
            raise Problem(
                401,
                "the API key is missing or wrong: send it in the X-API-Key header or as a bearer token.",
                {"WWW-Authenticate": "Bearer"},
            )


def _given(fields: Fields) -> bytes:
    """Return the key that a request carries, b"" if none; an Authorization header names its scheme (RFC 9110)."""
    if key := fields.get(b"x-api-key"):
        return key
    scheme, _, token = fields.get(b"authorization", b"").strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
