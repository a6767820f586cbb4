"""Orders: the files by which a supervisor tells its workers, and these tell later ones, what a reload opened."""

import json
import os
import signal
from collections.abc import Callable

from artifact_flow.core.base.errors import ServeError
from artifact_flow.serving.settings import VARIABLE, ServiceSettings, load_settings
from artifact_flow.serving.shared import read_shared, write_shared

FindSettings = Callable[[], ServiceSettings]

ORDER, OPENED = "order.json", "opened.json"  # in the workers' folder: what to open; what one of them has opened


def give_order(order: dict[str, str]) -> None:
    """Tell the workers which settings to open, or why there are none."""
    write_shared(ORDER, json.dumps(order))


def end_without_terminal(started_in_one: bool = os.isatty(0)) -> bool:
    """Ask this process to stop if SIGHUP came because its terminal was closed; return whether it did."""
    if started_in_one and not os.isatty(0):
        os.kill(os.getpid(), signal.SIGTERM)
        return True
    return False


def find_ordered() -> ServiceSettings:
    """Return the settings that the supervisor told its workers to open; raise ServeError when it found none."""
    order = json.loads(read_shared(ORDER) or "{}")
    if "refused" in order:
        raise ServeError(order["refused"])
    return load_settings(os.environ | {VARIABLE: order.get("settings", os.environ.get(VARIABLE, ""))})


def find_opened() -> ServiceSettings:
    """Return the settings that a worker has opened at the last reload, else those of the start."""
    opened = read_shared(OPENED)
    return load_settings(os.environ | ({VARIABLE: opened} if opened else {}))


def keep_opened(settings: ServiceSettings) -> None:
    """Record settings that a worker has opened, for workers that start later."""
    write_shared(OPENED, settings.dump())


def ordered() -> str | None:
    """Return the settings that the supervisor told its workers to open, None if it did not."""
    order: dict[str, str] = json.loads(read_shared(ORDER) or "{}")
    return order.get("settings")
