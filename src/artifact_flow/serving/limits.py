"""Limits: what protects the service from too many requests, too large bodies and too much queued work.

The time limit on a request's arrival is in `server`, where its bytes are read.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import ServiceSettings

OPEN = ("/", "/health", "/ready")  # answered at any load
SMALL = 10_000  # bytes of a body that arrived in one message: too few to count
READ_TO_REFUSE = 8  # times the allowed size: a body is read up to this far before it is cut off


class Admission:
    """Decides whether a request is answered at all, by the number of concurrent requests."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Start with no request in flight."""
        self.limit, self.in_flight = settings.in_flight, 0

    def check(self, scope: Scope) -> None:
        """Raise Problem when too many requests are in flight."""
        path: str = scope["path"]
        if self.in_flight > self.limit and path not in OPEN:
            raise Problem(503, "too many concurrent requests: retry later.", {"Retry-After": "1"})


class SlowLane:
    """A thread pool for work that would block other requests: some runs, some waits, the rest is refused."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Start with an empty queue."""
        self.pool = ThreadPoolExecutor(settings.slow_at_once, "slow")
        self.limit, self.taken = settings.slow_at_once + settings.slow_waiting, 0

    async def run(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, run in another thread; raise Problem when the queue is full."""
        if self.taken >= self.limit:
            raise Problem(503, "too many batch and image requests are queued: retry later.", {"Retry-After": "1"})
        self.taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work)
        finally:
            self.taken -= 1


class BodyMemory:
    """The bytes of all request bodies in memory, limited so that many large bodies at once do not exhaust it."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Start with no bytes held."""
        self.limit, self.held = settings.held_bytes, 0

    def take(self, scope: Scope, size: int) -> None:
        """Count `size` bytes of a request's body; raise Problem when the limit would be exceeded."""
        if self.held + size > self.limit:
            close = {"Retry-After": "1", "Connection": "close"}
            raise Problem(503, "too many large request bodies at a time: retry later.", close)
        self.held += size
        scope["held"] = scope.get("held", 0) + size

    def release(self, scope: Scope) -> None:
        """Release the bytes of a request's body."""
        self.held -= scope.get("held", 0)


async def read_body(request: Request, settings: ServiceSettings, memory: BodyMemory) -> bytes:
    """Return a request's whole body; raise Problem when it is too large or incomplete."""
    message = await request.receive()
    if not message.get("more_body") and message["type"] == "http.request" and len(message["body"]) <= SMALL:
        return bytes(message["body"])
    parts: list[bytes] = []
    total = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Problem(400, "the request body ended early: send the complete body.")
        total += len(message["body"])
        if total <= settings.max_bytes:
            memory.take(request.scope, len(message["body"]))
            parts.append(message["body"])
        if not message.get("more_body") or total > READ_TO_REFUSE * settings.max_bytes:
            break
        message = await request.receive()
    if total > settings.max_bytes:
        # the body is read to its end first: a client that is still sending would not see the response
        close = {"Connection": "close"} if message.get("more_body") else {}
        raise Problem(413, f"the request body is larger than {settings.max_bytes} bytes: send a smaller one.", close)
    return b"".join(parts)
