"""Server: uvicorn, told what this service needs of it: patience with nobody, and a way out that fails no request."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from artifact_flow.core.base.errors import ServeError
from artifact_flow.core.base.files import repository_root
from artifact_flow.serving.logs import SHARED, log_config
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import VARIABLE, Settings

KEEP_ALIVE_SECONDS = 65  # longer than the 60 s of usual load balancers, so that they close first
BACKLOG = 2048
GRACE_SECONDS = 20  # that requests have to end; Kubernetes kills after 30


class Protocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with a limit on how long a request may take to arrive."""

    waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request that is not whole must be so in time."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            self._stop_waiting()
        elif self.waiting is None and self.timeout_keep_alive_task is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self.waiting = self.loop.call_later(self.app.settings.body_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None

    def _give_up(self) -> None:
        self.waiting = None
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started:
            problem = Problem(408, f"the request did not arrive within {self.app.settings.body_seconds:g} s.")
            answer = problem.response()
            head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            self.transport.write(f"HTTP/1.1 408 Request Timeout\r\n{head}connection: close\r\n\r\n".encode())
            self.transport.write(bytes(answer.body))
            self.app.count_error(problem.status)
        self.transport.close()


def serve(settings: Settings) -> None:
    """Serve until told to stop; raise ServeError when that cannot begin."""
    with _bound(settings) as listener, _shared_state(settings.workers):
        os.environ[VARIABLE] = settings.dump()
        config = uvicorn.Config(
            "artifact_flow.serving.app:create",
            factory=True,
            workers=settings.workers,
            http=Protocol,
            loop="uvloop",
            ws="none",
            log_config=log_config(),
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        # uvicorn raises the signal again when it is done: told to stop, a service that stops has done well
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        address = listener.getsockname()
        sys.stderr.write(f"serving {', '.join(settings.models)} on http://{settings.host}:{address[1]}\n")
        if settings.workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
            return
        supervisor = Multiprocess(config, sockets=[listener])
        supervisor.run()
        if any(process.exitcode == 3 for process in supervisor.processes):
            sys.exit(1)


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)  # who comes while the models are opened waits, and is not refused
        except (OSError, OverflowError) as error:
            raise ServeError(
                f"{settings.host}:{settings.port} cannot be listened on ({error}): choose another by --host and --port."
            ) from error
        listener.set_inheritable(True)
        yield listener


@contextmanager
def _shared_state(workers: int) -> Iterator[None]:
    """Give several workers a folder for what they count together."""
    if workers == 1:
        yield
        return
    root = repository_root()
    parent = root / ".artifact-flow" if (root / ".dvc").is_dir() else None
    if parent:
        parent.mkdir(exist_ok=True)
    folder = tempfile.mkdtemp(prefix="serve-", dir=parent)
    os.environ[SHARED] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
