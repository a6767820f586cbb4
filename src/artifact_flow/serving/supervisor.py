"""Supervisor: the parent of several workers, and the files by which it tells them what to open on a reload."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from artifact_flow.core.base.errors import ArtifactFlowError, ServeError
from artifact_flow.serving.logs import MODULE, shared_folder
from artifact_flow.serving.settings import VARIABLE, ServiceSettings, load_settings

FindSettings = Callable[[], ServiceSettings]

logger = logging.getLogger(MODULE)

ORDER, OPENED = "order.json", "opened.json"  # in the workers' folder: what to open; what one of them has opened


class Supervisor(Multiprocess):
    """uvicorn's supervisor of several workers, which on SIGHUP reload instead of being restarted."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket], find: FindSettings) -> None:
        """Take what uvicorn's supervisor takes, and the function that returns the settings to open."""
        super().__init__(config, sockets)
        self._find, self._turn = find, threading.Lock()

    def handle_hup(self) -> None:
        """Tell the workers what to open; the registry is asked in a thread, because the workers are supervised here."""
        if not end_without_terminal():
            threading.Thread(target=self._order, name="reload", daemon=True).start()

    def _order(self) -> None:
        with self._turn:
            try:
                order: dict[str, Any] = {"settings": self._find().dump()}
            except ArtifactFlowError as error:
                order = {"refused": str(error)}
            except Exception:
                logger.exception("internal error while finding what to reload")
                order = {"refused": "internal error: the service's log has the details."}
            _write(ORDER, json.dumps(order))
            for process in self.processes:
                if process.pid is not None and process.exitcode is None:
                    os.kill(process.pid, signal.SIGHUP)


def end_without_terminal(started_in_one: bool = os.isatty(0)) -> bool:
    """Ask this process to stop if SIGHUP came because its terminal was closed; return whether it did."""
    if started_in_one and not os.isatty(0):
        os.kill(os.getpid(), signal.SIGTERM)
        return True
    return False


def find_ordered() -> ServiceSettings:
    """Return the settings that the supervisor told its workers to open; raise ServeError when it found none."""
    order = json.loads(_read(ORDER) or "{}")
    if "refused" in order:
        raise ServeError(order["refused"])
    return load_settings(os.environ | {VARIABLE: order.get("settings", os.environ.get(VARIABLE, ""))})


def find_opened() -> ServiceSettings:
    """Return the settings that a worker has opened at the last reload, else those of the start."""
    opened = _read(OPENED)
    return load_settings(os.environ | ({VARIABLE: opened} if opened else {}))


def keep_opened(settings: ServiceSettings) -> None:
    """Record settings that a worker has opened, for workers that start later."""
    _write(OPENED, settings.dump())


def ordered() -> str | None:
    """Return the settings that the supervisor told its workers to open, None if it did not."""
    order: dict[str, str] = json.loads(_read(ORDER) or "{}")
    return order.get("settings")


def _read(name: str) -> str | None:
    folder = shared_folder()
    try:
        return (folder / name).read_text() if folder else None
    except OSError:
        return None


def _write(name: str, text: str) -> None:
    """Write a file of the workers' folder as a whole; a single process has no such folder."""
    folder = shared_folder()
    if folder:
        file = Path(folder, f"{name}.{os.getpid()}")
        file.write_text(text)
        file.replace(folder / name)
