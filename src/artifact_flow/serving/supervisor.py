"""Supervisor: the process above several workers: it replaces those that die and stops all of them together."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from socket import socket

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.serving.listener import DRAIN_SECONDS, stop_connections
from artifact_flow.serving.orders import FindSettings, end_without_terminal, give_order
from artifact_flow.serving.shared import read_shared, write_shared

ABSENT = "absent"  # the file in the workers' shared folder with the number of workers that cannot be started
RETRY_SECONDS = 5.0  # until a worker that could not start is tried again

logger = logging.getLogger("artifact_flow.serving")


class Supervisor(Multiprocess):
    """uvicorn's supervisor, except that the others serve on when one cannot be replaced, and that SIGHUP reloads."""

    def __init__(self, config: Config, listener: socket, find: FindSettings) -> None:
        """Take the workers' configuration and socket, and the function that returns the settings to open."""
        super().__init__(config, [listener])
        self._find, self._turn = find, threading.Lock()
        self._absent: dict[int, float | None] = {}  # place without a worker → when to try again, None while trying

    @property
    def failed(self) -> bool:
        """Whether no worker is left and none could start."""
        return len(self._absent) == len(self.processes)

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that died; stop if none can start."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            due = self._absent.get(place)
            if process.is_alive(self.config.timeout_worker_healthcheck):
                if place in self._absent and process.is_ready():
                    del self._absent[place]
                    self._publish(f"worker {process.pid} has started")
            elif due is None:
                self._bury(place, process)
            elif time.monotonic() >= due:
                self._start(place)
                self._absent[place] = None
        if self.failed:
            logger.error("no worker can start: the service stops.")
            self.should_exit.set()

    def terminate_all(self) -> None:
        """Stop all workers; their last connections are accepted before they close the socket."""
        super().terminate_all()
        time.sleep(0.9 * DRAIN_SECONDS)
        for listener in self.sockets:
            stop_connections(listener)

    def handle_hup(self) -> None:
        """Tell the workers what to open; the registry is asked in a thread, because the workers are supervised here."""
        if not end_without_terminal():
            threading.Thread(target=self._order, name="reload", daemon=True).start()

    def _order(self) -> None:
        with self._turn:
            try:
                order = {"settings": self._find().dump()}
            except ArtifactFlowError as error:
                order = {"refused": str(error)}
            except Exception:
                logger.exception("internal error while finding what to reload")
                order = {"refused": "internal error: the service's log has the details."}
            give_order(order)
            for process in self.processes:
                if process.pid is not None and process.exitcode is None:
                    os.kill(process.pid, signal.SIGHUP)

    def _bury(self, place: int, process: Process) -> None:
        """Replace a worker that died, later if it could not start."""
        process.kill()
        process.join()
        if process.exitcode == STARTUP_FAILURE:
            self._absent[place] = time.monotonic() + RETRY_SECONDS
            self._publish(f"worker {process.pid} could not start and is tried again in {RETRY_SECONDS:g} s")
        else:
            logger.error("worker %s died: another one takes its place.", process.pid)
            self._start(place)

    def _start(self, place: int) -> None:
        self.processes[place] = Process(self.config, self.sockets)
        self.processes[place].start()

    def _publish(self, event: str) -> None:
        """Log an event with the number of absent workers, and tell that number to the workers."""
        absent = len(self._absent)
        logger.error("%s: %d of %d workers are absent.", event, absent, len(self.processes))
        with suppress(OSError):
            write_shared(ABSENT, str(absent))


def count_absent() -> int:
    """Return the number of workers that are absent because they cannot start."""
    return int(read_shared(ABSENT) or 0)
