"""Server: uvicorn with the service's protocol, and a shutdown that fails no request."""

import asyncio
import os
import signal
import socket
import sys
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from artifact_flow.serving.listener import BACKLOG, listen, raise_file_limit, stop_connections
from artifact_flow.serving.orders import FindSettings
from artifact_flow.serving.output import log_config
from artifact_flow.serving.protocol import Protocol
from artifact_flow.serving.settings import VARIABLE
from artifact_flow.serving.shared import open_shared
from artifact_flow.serving.supervisor import Supervisor

KEEP_ALIVE_SECONDS = 65  # longer than the usual 60 s of load balancers, so that they close first
GRACE_SECONDS = 20  # for requests to finish after SIGTERM; Kubernetes kills after 30
ACCEPT_SECONDS = 0.1  # for waiting connections to be accepted


class Server(uvicorn.Server):
    """uvicorn's server, which accepts the last connections before it closes its socket."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop after the requests in progress, and after those of connections that wait to be accepted."""
        for listener in sockets or []:
            stop_connections(listener)
        await asyncio.sleep(ACCEPT_SECONDS)
        await super().shutdown(sockets)


def serve(find: FindSettings) -> None:
    """Serve until SIGTERM or SIGINT; raise ServeError when the address cannot be bound.

    `find` returns the settings; a reload calls it again.
    """
    settings = find()
    raise_file_limit()
    with listen(settings.host, settings.port) as listener, open_shared(settings.workers):
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
            Server(config).run(sockets=[listener])
            return
        supervisor = Supervisor(config, listener, find)
        supervisor.run()
        if supervisor.failed:
            sys.exit(1)


def _create(find: FindSettings) -> ASGIApp:
    from artifact_flow.serving.app import create  # noqa: PLC0415 - a supervisor needs neither models nor metrics

    return create(find)
