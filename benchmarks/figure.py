"""Figure: two measurements, their ratio, and the bar, if any, that the ratio must meet; whatever is measured."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Series:
    """The values measured for one contender, in order of measurement."""

    name: str
    values: list[float] = field(default_factory=list)
    unit: str = "s"


@dataclass(frozen=True)
class Figure:
    """The ratio of the series `measured` to the series `beside`, and the bar, if any, that it must meet."""

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
        """The smallest and the largest ratio of two values from the same turn."""
        ratios = [a / b for a, b in zip(self.measured.values, self.beside.values, strict=True)]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool:
        """Whether the ratio of the medians meets the bar; true without a bar."""
        if self.bar is None:
            return True
        return self.ratio <= self.bar if self.relation == "≤" else self.ratio >= self.bar

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON data, with every measured value."""
        return asdict(self) | {"ratio": self.ratio, "spread": self.spread, "met": self.met}


def limit_series(measured: Series, allowed: float) -> Figure:
    """Return a figure that compares a series with an allowed maximum in the same unit."""
    return Figure(measured, Series("allowed", [allowed] * len(measured.values), measured.unit), "≤", 1.0)


def limit_memory(name: str, peaks: list[float], allowed: float) -> Figure:
    """Return a figure that compares the highest of the peaks, in MB, with an allowed maximum."""
    return limit_series(Series(name, [max(peaks)], "MB"), allowed)


@dataclass(frozen=True)
class Contender:
    """A command to measure: `measure` runs it once and returns its wall time or its rate, in `unit`."""

    name: str
    measure: Callable[[], float]
    unit: str = "s"


@dataclass(frozen=True)
class Meter:
    """The number of runs of each contender, and the callback after each run."""

    runs: int
    advance: Callable[[], object]

    def take_turns(self, contenders: Sequence[Contender]) -> list[Series]:
        """Measure the contenders alternately and return their series; every second turn is in reverse order."""
        every = [(contender, Series(contender.name, unit=contender.unit)) for contender in contenders]
        for run in range(self.runs):
            for contender, series in every if run % 2 == 0 else reversed(every):
                series.values.append(contender.measure())
                self.advance()
        return [series for _, series in every]

    def compare(
        self, measured: Contender, beside: Contender, relation: Literal["≤", "≥"] = "≤", bar: float | None = None
    ) -> Figure:
        """Return the figure of two contenders measured alternately."""
        one, other = self.take_turns([measured, beside])
        return Figure(one, other, relation, bar)
