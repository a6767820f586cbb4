"""Search: 200 fits in one process, in two processes of loky, and on two Dask workers.

One loky search loses a process halfway. All searches must give the same model.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Contender, Figure, Meter
from benchmarks.workspace import CommandError, Workspace

WORKER = Path(__file__).with_name("searcher.py")
WORKERS, DEADLY = 2, 100  # number of processes; number of fits after which one process is killed


def compare_searches(project: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield a serial search compared with loky, with Dask, and with loky when a process is killed.

    Raises CommandError when the models differ.
    """
    models: dict[str, str] = {}

    def contender(backend: str, name: str, *more: str) -> Contender:
        def take_time() -> float:
            command = ("env", "PYTHONPATH=src", sys.executable, str(WORKER), backend, str(WORKERS), *more)
            found = json.loads(project.run(*command))
            models[found["sha256"]] = name
            if len(models) > 1:
                raise CommandError(f"the searches give different models: {' and '.join(models.values())}")
            return float(found["seconds"])

        return Contender(name, take_time)

    serial, loky, killed, dask = meter.take_turns(
        [
            contender("serial", "a search of 200 fits, one process"),
            contender("loky", f"by loky in {WORKERS} processes"),
            contender("loky", f"by loky in {WORKERS} processes, one killed after {DEADLY} fits", str(DEADLY)),
            contender("dask", f"on {WORKERS} Dask workers, start and end"),
        ]
    )
    yield Figure(serial, loky, "≥", 1.5)
    yield Figure(serial, dask, "≥", 1.25)
    yield Figure(serial, killed)
