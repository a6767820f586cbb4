"""Figure: two things timed in turn, their ratio, and the bar it is held against. It knows nothing of what they are."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Times:
    """The wall times of one thing in seconds, in the order in which they were taken."""

    name: str
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """How many times as long as `beside` the thing `measured` takes, and the bar that this ratio should keep."""

    measured: Times
    beside: Times
    relation: Literal["≤", "≥"]
    bar: float

    @property
    def ratio(self) -> float:
        """The ratio of the two medians."""
        return median(self.measured.seconds) / median(self.beside.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of two times taken in the same turn."""
        ratios = [a / b for a, b in zip(self.measured.seconds, self.beside.seconds, strict=True)]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool:
        """Whether the ratio of the medians keeps the bar."""
        return self.ratio <= self.bar if self.relation == "≤" else self.ratio >= self.bar

    def as_json(self) -> dict[str, Any]:
        """Return the figure with every time, in seconds, that it rests on."""
        return asdict(self) | {"ratio": self.ratio, "spread": self.spread, "met": self.met}


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
        pair = [(measured, Times(measured.name)), (beside, Times(beside.name))]
        for run in range(self.runs):
            for contender, times in pair if run % 2 == 0 else reversed(pair):
                times.seconds.append(contender.take_time())
                self.advance()
        return Figure(pair[0][1], pair[1][1], relation, bar)
