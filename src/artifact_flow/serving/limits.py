"""Limits: what protects the service from too many requests, too large bodies and too much queued work.

The limits on a request's head and on the time of its arrival are in `protocol`, where its bytes are read.
"""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from artifact_flow.serving.origins import PROBES
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import ServiceSettings

OPEN = ("/", *PROBES)  # answered at any load
SMALL = 10_000  # bytes of a body that arrived in one message: too few to count
MAX_RETRY = 60  # seconds that a refused client is asked to wait at most
ROW_BYTES = 1_000_000  # of the body of a single row, which is parsed while other requests wait
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
    """A thread pool for work that would block other requests: some runs, some waits, none waits too long.

    How long new work would wait is expected from the work that is taken and the time that such work took before.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        """Start with an empty queue."""
        self.pool = ThreadPoolExecutor(settings.slow_at_once, "slow")
        self.at_once, self.limit = settings.slow_at_once, settings.wait_seconds
        self._taken: dict[str, int] = {}  # kind of work → its size in all, running and waiting
        self._pace: dict[str, float] = {}  # kind of work → seconds for one unit of size, averaged

    async def run(self, work: Callable[[], Any], kind: str, size: int = 1) -> Any:
        """Return what `work` returns, run in another thread; raise Problem when it would wait too long for its turn.

        `size` is in any unit to which the time of this kind of work is proportional.
        """
        waiting = sum(taken * self._pace.get(name, 0.0) for name, taken in self._taken.items()) / self.at_once
        if waiting > self.limit:
            raise self._too_busy(waiting)
        begun = time.monotonic()
        self._taken[kind] = self._taken.get(kind, 0) + size

        def timed() -> Any:
            start = time.monotonic()
            if start - begun > self.limit:
                raise self._too_busy(start - begun)
            try:
                return work()
            finally:
                pace = (time.monotonic() - start) / max(size, 1)
                self._pace[kind] = pace if kind not in self._pace else 0.8 * self._pace[kind] + 0.2 * pace

        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, timed)
        finally:
            self._taken[kind] -= size

    def _too_busy(self, seconds: float) -> Problem:
        shown = min(math.ceil(seconds), MAX_RETRY)
        sentence = f"batches and images wait {shown} s for their turn, more than {self.limit:g} s: retry later."
        return Problem(503, sentence, {"Retry-After": str(shown)})


class BodyMemory:
    """The bytes of all request bodies in memory, limited so that many large bodies at once do not exhaust it."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Start with no bytes held."""
        self.limit, self.held = settings.held_bytes, 0

    def take(self, scope: Scope, size: int) -> None:
        """Count `size` bytes of a request's body; raise Problem when the limit would be exceeded."""
        if self.held + size > self.limit:
            raise Problem(503, "too many large request bodies at a time: retry later.", {"Retry-After": "1"})
        self.held += size
        scope["held"] = scope.get("held", 0) + size

    def release(self, scope: Scope) -> None:
        """Release the bytes of a request's body."""
        self.held -= scope.pop("held", 0)


async def read_body(request: Request, settings: ServiceSettings, memory: BodyMemory, limit: int | None = None) -> bytes:
    """Return a request's whole body; raise Problem when it is incomplete or larger than `limit` or `max_bytes`."""
    allowed = min(limit or settings.max_bytes, settings.max_bytes)
    message = await request.receive()
    if not message.get("more_body") and message["type"] == "http.request" and len(message["body"]) <= SMALL:
        return bytes(message["body"])
    parts: list[bytes] = []
    total, refused = 0, None
    while True:
        if message["type"] == "http.disconnect":
            raise Problem(400, "the request body ended early: send the complete body.")
        total += len(message["body"])
        if total <= allowed and refused is None:
            try:
                memory.take(request.scope, len(message["body"]))
                parts.append(message["body"])
            except Problem as problem:
                refused = problem
                parts.clear()
                memory.release(request.scope)
        if not message.get("more_body") or total > READ_TO_REFUSE * settings.max_bytes:
            break
        message = await request.receive()
    # a body is read to its end before it is refused: a client that is still sending would not see the response
    close = {"Connection": "close"} if message.get("more_body") else {}
    if total > allowed:
        raise Problem(413, f"the request body is larger than {allowed} bytes: send a smaller one.", close)
    if refused is not None:
        raise refused
    return b"".join(parts)
