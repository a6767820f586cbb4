"""Protocol: uvicorn's HTTP protocol with bounds on what a connection may send, and on how long it may take.

It refuses what the application never sees: a head that is too long, a request that does not arrive, an answer that is
not read, and a connection for which the process has no file descriptor.
"""

import asyncio
import logging
import resource
from functools import cache
from pathlib import Path

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from artifact_flow.serving.output import Complaint
from artifact_flow.serving.problems import Problem

HEAD_BYTES = 65_536  # of a request's line and header fields, or around the chunks of its body
URL_BYTES = 8_192
SPARE_FILES = 32  # descriptors that stay free for files
FIRST_REQUEST_SECONDS = 1.0  # for a connection that is new at the shutdown to send its request
LINGER_SECONDS = 2.0  # in which a refused client may read the answer while it is still sending

logger = logging.getLogger("artifact_flow.serving")
crowded = Complaint(logger.error)


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits on heads, on time and on the number of connections."""

    timer: asyncio.TimerHandle | None = None  # for a request to arrive
    reading: asyncio.TimerHandle | None = None  # for an answer to be read
    unsent = 0  # bytes of an answer that wait until the client reads
    outside = 0  # bytes of the current request that are not its body's
    refused = False
    url = b""  # the address of the last request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request, or refuse a connection too many."""
        super().connection_made(transport)
        if len(self.connections) <= allowed_connections():
            self._start_timer()
            return
        crowded.say(f"{len(self.connections)} connections leave no file descriptor free: raise the limit (ulimit -n).")
        self._refuse(Problem(503, "too many connections: retry later.", {"Retry-After": "1"}))
        self.transport.close()  # at once: it takes a file descriptor

    def data_received(self, data: bytes) -> None:
        """Process bytes; stop the timer when the request is complete, else start it."""
        if self.refused:
            return
        self.outside += len(data)
        super().data_received(data)
        if self.outside > HEAD_BYTES and not self.refused:
            self._refuse_head()
        if self.refused:
            return
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            self._stop_timer()
        elif self.timer is None and self.timeout_keep_alive_task is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Start the answer unless the head is too long."""
        if len(self.url) > URL_BYTES or (self.outside > HEAD_BYTES and self._head() > HEAD_BYTES):
            self._refuse_head()
        if not self.refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, around which as many bytes are allowed."""
        left = self.outside - 2 * len(body)
        self.outside = left if left > 0 else 0
        if not self.refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self.outside = 0
        if not self.refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP."""
        if not self.refused:
            self._refuse(Problem(400, "the bytes are not a valid HTTP/1.1 request: send one, see /docs."))

    def pause_writing(self) -> None:
        """Count the bytes that wait for the client, and give it time to read them."""
        super().pause_writing()
        self._forget_unsent()
        self.unsent = self.transport.get_write_buffer_size()
        self.app.resources.memory.held += self.unsent
        self.reading = self.loop.call_later(self.app.settings.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Continue after the client has read."""
        self._forget_unsent()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_timer()
        self._forget_unsent()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close after the request in progress; a connection that is still new may send its first request."""
        if self.cycle is None and not self.refused:
            self.loop.call_later(FIRST_REQUEST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_head(self) -> None:
        if len(self.url) > URL_BYTES:
            sentence = f"the address is longer than {URL_BYTES} bytes: send data in the body."
            self._refuse(Problem(414, sentence))
        else:
            sentence = f"the header fields are longer than {HEAD_BYTES} bytes: send data in the body."
            self._refuse(Problem(431, sentence))

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, then ignore what still arrives and close the connection."""
        self.refused = True
        self._stop_timer()
        self.app.count_error(problem.status)
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            answer = problem.response(self.url.partition(b"?")[0].decode("latin-1"))
            fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            head = STATUS_LINE[problem.status] + fields.encode() + b"connection: close\r\n\r\n"
            self.transport.write(head + bytes(answer.body))
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _forget_unsent(self) -> None:
        self.app.resources.memory.held -= self.unsent
        self.unsent = 0
        if self.reading is not None:
            self.reading.cancel()
            self.reading = None

    def _start_timer(self) -> None:
        self.timer = self.loop.call_later(self.app.settings.body_seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _time_out(self) -> None:
        self.timer = None
        if not self.transport.is_closing():
            seconds = self.app.settings.body_seconds
            self._refuse(Problem(408, f"the request did not arrive within {seconds:g} s."))


@cache
def allowed_connections() -> int:
    """Return how many connections a process may have, so that some file descriptors stay free."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - len(list(Path("/dev/fd").iterdir())) - SPARE_FILES)
