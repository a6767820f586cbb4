"""Figure: two things measured, their ratio, and the bar, if any, it is held against. It knows not what they are."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Series:
    """What was measured of one thing, in the order in which it was."""

    name: str
    values: list[float] = field(default_factory=list)
    unit: str = "s"


@dataclass(frozen=True)
class Figure:
    """How many times as much as `beside` the thing `measured` takes, and the bar, if any, that this should keep."""

    measured: Series
    beside: Series
    relation: Literal["≤", "≥"] = "≤"
    bar: float | None = None

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
        """Whether the ratio of the medians keeps the bar, where there is one."""
        if self.bar is None:
            return True
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
    """A thing to measure: `measure` does it once and returns, in `unit`, its wall time or how much it did in it."""

    name: str
    measure: Callable[[], float]
    unit: str = "s"


@dataclass(frozen=True)
class Meter:
    """How often each thing is measured, and whom to tell after each time."""

    runs: int
    advance: Callable[[], object]

    def take_turns(self, contenders: Sequence[Contender]) -> list[Series]:
        """Return what was measured of each contender, in turn; every second turn goes the other way round."""
        every = [(contender, Series(contender.name, unit=contender.unit)) for contender in contenders]
        for run in range(self.runs):
            for contender, series in every if run % 2 == 0 else reversed(every):
                series.values.append(contender.measure())
                self.advance()
        return [series for _, series in every]

    def compare(
        self, measured: Contender, beside: Contender, relation: Literal["≤", "≥"] = "≤", bar: float | None = None
    ) -> Figure:
        """Return the figure of two things measured in turn."""
        one, other = self.take_turns([measured, beside])
        return Figure(one, other, relation, bar)
