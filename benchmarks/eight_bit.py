"""Eight bits: what 8-bit weights cost the houses' linear model, by the stage quantize and by other quantizers."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, Series
from benchmarks.throughput import FLOW
from benchmarks.workspace import Workspace

WORKER = Path(__file__).with_name("quantizers.py")
DOLLARS = 100  # thousands, in which the target is counted


def compare_eight_bit(project: Workspace, scratch: Path) -> Iterator[Figure]:
    """Yield how far 8 bits take the predictions of the test split from the float model's, and the bytes of each file.

    Once: no time is measured, and the same files give the same values.
    """
    command = ("env", "PYTHONPATH=src", sys.executable, str(WORKER), str(FLOW), str(scratch))
    told = json.loads(project.run(*command))
    off = [
        Series(f"{name}: off the float model (R² {cost['r2']:.4f})", [DOLLARS * cost["off"]], "k$")
        for name, cost in told.items()
    ]
    sizes = [Series(f"{name}: file", [cost["bytes"]], "B") for name, cost in told.items() if cost["bytes"]]
    for ours, *others in (off[:-1], sizes):  # the last is the float model itself
        yield from (Figure(ours, other) for other in others)
