"""Eight bits: the error that 8-bit weights add to the housing model, with the stage `quantize` and other quantizers."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, Series
from benchmarks.throughput import FLOW
from benchmarks.workspace import Workspace

WORKER = Path(__file__).with_name("quantizers.py")
DOLLARS = 100  # thousand dollars: the unit of the target


def compare_eight_bit(project: Workspace, scratch: Path) -> Iterator[Figure]:
    """Yield the error against the float model's predictions of the test split, and the size of each file in bytes.

    They are measured once: no time is involved, and the same files give the same values.
    """
    command = ("env", "PYTHONPATH=src", sys.executable, str(WORKER), str(FLOW), str(scratch))
    costs = json.loads(project.run(*command))
    off = [
        Series(f"{name}: off the float model (R² {cost['r2']:.4f})", [DOLLARS * cost["off"]], "k$")
        for name, cost in costs.items()
    ]
    sizes = [Series(f"{name}: file", [cost["bytes"]], "B") for name, cost in costs.items() if cost["bytes"]]
    for ours, *others in (off[:-1], sizes):  # the last one is the float model itself
        yield from (Figure(ours, other) for other in others)
