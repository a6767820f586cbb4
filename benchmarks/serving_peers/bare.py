"""Bare uvicorn: a constant JSON answer, the upper limit for any Python service on this server."""

from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = b'{"class_index":0,"class_name":"setosa","confidence":0.98}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer every request with the constant."""
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": ANSWER})
