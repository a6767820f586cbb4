"""Machine: what it is, and who else uses it while something is measured."""

import os
import platform
import re
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("dvc", "joblib", "numpy", "pyarrow", "scikit-learn", "scipy")
CORES = len(os.sched_getaffinity(0))
QUIET_LOAD, QUIET_OTHERS = 0.5 * CORES, 0.1 * CORES  # at most: load of the last minute, cores that others use


def describe_machine() -> dict[str, Any]:
    """Return the CPU model, the number of cores, the system, and the versions of Python and the libraries."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": CORES,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def _others_seconds() -> float:
    # /proc/stat, first line, in ticks: user nice system idle iowait irq softirq steal; see proc_stat(5)
    ticks = [int(value) for value in Path("/proc/stat").read_text().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


@dataclass(frozen=True)
class Watch:
    """Counts, from its making on, the CPU time of everything but this process and its finished children."""

    start: float = field(default_factory=time.monotonic)
    others: float = field(default_factory=_others_seconds)

    def cores_of_others(self) -> float:
        """Return how many cores others have kept busy on average; 0.0 when this process was alone."""
        return max(0.0, (_others_seconds() - self.others) / (time.monotonic() - self.start))
