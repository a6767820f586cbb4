"""Machine: its description, and the CPU time that other processes use during a measurement."""

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
QUIET_LOAD, QUIET_OTHERS = (
    0.5 * CORES,
    0.1 * CORES,
)  # maxima on a quiet machine: load of the last minute, cores used by others


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
    """Counts the CPU time of all processes except this one and its finished children, from its creation on."""

    start: float = field(default_factory=time.monotonic)
    others: float = field(default_factory=_others_seconds)

    def cores_of_others(self) -> float:
        """Return the average number of cores used by other processes; 0.0 when this process was alone."""
        return max(0.0, (_others_seconds() - self.others) / (time.monotonic() - self.start))
