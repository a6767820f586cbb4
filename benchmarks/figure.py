"""Figure: two things measured, their ratio, and the bar it is held against. It knows nothing of what they are."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Series:
    """What was measured of one thing, in the order in which it was: times, memory or answers a second."""

    name: str
    values: list[float] = field(default_factory=list)
    unit: Literal["s", "ms", "MB", "/s"] = "s"


@dataclass(frozen=True)
class Figure:
    """How many times as much as `beside` the thing `measured` takes, and the bar that this ratio should keep."""

    measured: Series
    beside: Series
    relation: Literal["≤", "≥"]
    bar: float

    @property
    def ratio(self) -> float:
        """The ratio of the two medians."""
        return median(self.measured.values) / median(self.beside.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of two values of the same turn."""
        ratios = [a / b for a, b in zip(self.measured.values, self.beside.values, strict=True)]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool:
        """Whether the ratio of the medians keeps the bar."""
        return self.ratio <= self.bar if self.relation == "≤" else self.ratio >= self.bar

    def as_json(self) -> dict[str, Any]:
        """Return the figure with every value that it rests on."""
        return asdict(self) | {"ratio": self.ratio, "spread": self.spread, "met": self.met}


def limit_series(measured: Series, allowed: float) -> Figure:
    """Return what was measured against what is allowed, in the same unit."""
    return Figure(measured, Series("allowed", [allowed] * len(measured.values), measured.unit), "≤", 1.0)


def limit_memory(name: str, peaks: list[float], allowed: float) -> Figure:
    """Return the highest of the peaks, in MB, against what is allowed."""
    return limit_series(Series(name, [max(peaks)], "MB"), allowed)


@dataclass(frozen=True)
class Contender:
    """A thing to time: `take_time` does it once and returns its wall time in seconds."""

    name: str
    take_time: Callable[[], float]


@dataclass(frozen=True)
class Meter:
    """How often each thing is timed, and whom to tell after each time."""

    runs: int
    advance: Callable[[], object]

    def compare(self, measured: Contender, beside: Contender, relation: Literal["≤", "≥"], bar: float) -> Figure:
        """Return the figure of two things timed in turn; every second turn starts with the other one."""
        pair = [(measured, Series(measured.name)), (beside, Series(beside.name))]
        for run in range(self.runs):
            for contender, times in pair if run % 2 == 0 else reversed(pair):
                times.values.append(contender.take_time())
                self.advance()
        return Figure(pair[0][1], pair[1][1], relation, bar)
