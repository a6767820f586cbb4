"""Server: uvicorn with request timeouts and graceful shutdown."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from artifact_flow.core.base.errors import ServeError
from artifact_flow.core.base.files import repository_root
from artifact_flow.serving.logs import SHARED, log_config
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import VARIABLE, ServiceSettings
from artifact_flow.serving.supervisor import FindSettings, Supervisor

KEEP_ALIVE_SECONDS = 65  # longer than the usual 60 s of load balancers, so that they close first
BACKLOG = 2048
GRACE_SECONDS = 20  # for requests to finish after SIGTERM; Kubernetes kills after 30


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a time limit for a request to arrive."""

    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Process bytes; stop the timer when the request is complete, else start it."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            self._stop_timer()
        elif self.timer is None and self.timeout_keep_alive_task is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self.timer = self.loop.call_later(self.app.settings.body_seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _time_out(self) -> None:
        self.timer = None
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


def serve(find: FindSettings) -> None:
    """Serve until SIGTERM or SIGINT; raise ServeError when the address cannot be bound.

    `find` returns the settings; a reload calls it again.
    """
    settings = find()
    with _bound(settings) as listener, _shared_state(settings.workers):
        os.environ[VARIABLE] = settings.dump()
        config = uvicorn.Config(
            partial(_create, find) if settings.workers == 1 else "artifact_flow.serving.app:create",
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
        # uvicorn raises the signal again when it has stopped; ignored here, so that the exit code is 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        address = listener.getsockname()
        sys.stderr.write(f"serving {', '.join(settings.models)} on http://{settings.host}:{address[1]}\n")
        if settings.workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
            return
        supervisor = Supervisor(config, [listener], find)
        supervisor.run()
        if any(process.exitcode == 3 for process in supervisor.processes):
            sys.exit(1)


def _create(find: FindSettings) -> ASGIApp:
    from artifact_flow.serving.app import create  # noqa: PLC0415 - a supervisor needs neither models nor metrics

    return create(find)


@contextmanager
def _bound(settings: ServiceSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)  # clients that connect while the models are opened wait
        except (OSError, OverflowError) as error:
            raise ServeError(
                f"cannot listen on {settings.host}:{settings.port} ({error}): choose another by --host and --port."
            ) from error
        listener.set_inheritable(True)
        yield listener


@contextmanager
def _shared_state(workers: int) -> Iterator[None]:
    """Create a folder for several workers to share: their metrics, windows and the log's lock."""
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
