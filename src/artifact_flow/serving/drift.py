"""Drift: compare the distribution of each column in recent rows with that in the training rows. numpy only.

Each column's rows are counted in the bins of the contract's reference (quantile bins of a number, the values of a
category, and one bin each for values that training never saw and for missing values). A text counts by its number of
characters. A column drifts when two measures agree:

- population stability index, Σ (p - q) ln(p / q) (Siddiqi, Credit Risk Scorecards, 2006): from 0.1 a column deserves
  attention, from 0.25 it has changed. It measures the size of the change, independently of the number of rows.
- Pearson's chi-squared test of homogeneity, p value by Wilson and Hilferty (1931), times the number of columns
  (Bonferroni): whether the change could be chance, given the numbers of recent rows and of training rows.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from artifact_flow.core.base.bins import EDGE_DIGITS, FLOAT32_ROUNDING, count_bins
from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.figures import round_figure

Verdict = Literal["alert", "warn", "ok", "few rows"]
VERDICTS: tuple[Verdict, ...] = ("alert", "warn", "ok", "few rows")  # the worst first
WARN, ALERT = 0.1, 0.25  # population stability index
CHANCE = 0.01  # corrected p value below which a change is not chance
MIN_ROWS = 100  # fewer rows are too few for ten bins


@dataclass(frozen=True)
class ColumnDrift:
    """One column: its bins, the share of training rows and of recent rows in each, and the two measures."""

    name: str
    status: Verdict
    psi: float
    p_value: float  # corrected for the number of columns
    missing: float  # share of recent rows without a value
    missing_reference: float
    unseen: float  # share of recent rows with a value outside the training range or a category not seen in training
    bins: list[str]
    reference: list[float]
    current: list[float]


@dataclass(frozen=True)
class Drift:
    """The drift of all columns, the most drifted first."""

    status: Verdict
    rows: int
    min_rows: int
    columns: list[ColumnDrift]

    def document(self, shown: int) -> dict[str, Any]:
        """Return the drift as a JSON object with the `shown` most drifted columns."""
        return {
            "status": self.status,
            "rows": self.rows,
            "min_rows": self.min_rows,
            "warn": WARN,
            "alert": ALERT,
            "columns_in_all": len(self.columns),
            "columns": [asdict(column) for column in self.columns[:shown]],
        }


def measure_drift(features: Sequence[Feature], X: np.ndarray, trained_rows: int, min_rows: int = MIN_ROWS) -> Drift:
    """Return the drift of encoded rows X [rows, features] from the features' reference of `trained_rows` rows."""
    of = len(features)
    columns = [
        _measure(feature, _values(feature, X[:, number]), trained_rows, of, min_rows)
        for number, feature in enumerate(features)
    ]
    columns.sort(key=lambda column: (VERDICTS.index(column.status), -column.psi))
    return Drift(columns[0].status, len(X), min_rows, columns)


def _values(feature: Feature, x: np.ndarray) -> np.ndarray:
    """Return a column's own values, which the contract's edges bin: encoded ones with the offset added."""
    return x.astype(np.float64) + feature.offset if feature.offset else x


def _measure(feature: Feature, x: np.ndarray, trained: int, columns: int, min_rows: int) -> ColumnDrift:
    bins, reference, counts, unseen = _count(feature, x)
    rows = max(len(x), 1)
    # half a row more in every bin avoids an infinite logarithm for empty bins (Agresti, Categorical Data Analysis)
    expected = (reference * trained + 0.5) / (trained + 0.5 * len(reference))
    current = (counts + 0.5) / (rows + 0.5 * len(counts))
    used = (counts + reference) > 0  # bins that are empty in both carry no information
    psi = float(np.sum(((current - expected) * np.log(current / expected))[used])) if len(x) else 0.0
    p_value = _chance(counts, reference * trained) if len(x) else 1.0
    if feature.type == "number" and len(feature.edges or []) == 2 and len(x):  # a single bin would hide every change
        distance, chance = _compare_means(feature, x, trained)
        psi, p_value = max(psi, distance), min(p_value, chance)
    p_value = min(1.0, columns * p_value)
    status: Verdict = "ok"
    if len(x) < min_rows:
        status = "few rows"
    elif p_value < CHANCE and psi >= WARN:
        status = "alert" if psi >= ALERT else "warn"
    return ColumnDrift(
        name=feature.name,
        status=status,
        psi=round(psi, 6),
        p_value=float(f"{p_value:.4g}"),
        missing=round(float(counts[-1]) / rows, 6),
        missing_reference=feature.missing,
        unseen=round(unseen / rows, 6),
        bins=bins,
        reference=[round(float(share), 6) for share in reference],
        current=[round(float(count) / rows, 6) for count in counts],
    )


def _count(feature: Feature, x: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray, int]:
    """Return the bins' names, their shares in training, the rows in each, and the rows with an unseen value."""
    known = 1.0 - feature.missing
    if feature.type == "category":
        names = [*(feature.categories or []), "unseen", "missing"]
        unseen, missing = len(names) - 2, len(names) - 1
        codes = x.astype(np.int64)  # -1 is unseen, the code after the last category is missing
        places = np.where(codes < 0, unseen, np.where(codes == unseen, missing, codes))
        counts = np.bincount(places, minlength=len(names))
        reference = np.array([*(share * known for share in feature.shares), 0.0, feature.missing])
        return names, reference, counts.astype(float), int(counts[-2])
    gaps = np.isnan(x)
    values, edges = x[~gaps].astype(np.float64), feature.edges or []
    out = len(values) if feature.min is None else _count_outside(values, feature.min, feature.max or 0.0)
    if len(edges) < 2:  # a constant, or a column without values
        here = len(values) - out
        names = [*(_show_number(edge, 0.0) for edge in edges), "other", "missing"]
        counts = np.array([*([here] if len(edges) else []), out if len(edges) else len(values), gaps.sum()])
        reference = np.array([*([known] if len(edges) else []), 0.0, feature.missing])
        return names, reference, counts.astype(float), out
    if feature.type == "boolean" and feature.mean is not None:
        true = np.count_nonzero(values)
        counts = np.array([len(values) - true, true, gaps.sum()], float)
        reference = np.array([(1 - feature.mean) * known, feature.mean * known, feature.missing])
        return ["false", "true", "missing"], reference, counts, out
    counts = count_bins(values, edges)
    reference = np.array([*(share * known for share in feature.shares), feature.missing])
    return [*_name_bins(feature, edges), "missing"], reference, np.array([*counts, gaps.sum()], float), out


def _count_outside(values: np.ndarray, low: float, high: float) -> int:
    """Return how many values lie outside a range by more than float32 rounding of its bounds."""
    below, above = (FLOAT32_ROUNDING * abs(bound) for bound in (low, high))
    if low < high:
        below, above = (min(slack, 1e-6 * high - 1e-6 * low) for slack in (below, above))
    with np.errstate(over="ignore"):
        return int(np.count_nonzero((values < low - below) | (values > high + above)))


def _name_bins(feature: Feature, edges: Sequence[float]) -> list[str]:
    names = []
    for place, (left, right) in enumerate(itertools.pairwise(edges)):
        if feature.type == "date":  # days since 1970
            shown = [str(np.datetime64(int(edge), "D")) for edge in (left, right)]
        else:
            shown = [_show_number(edge, right - left) for edge in (left, right)]
        beyond = "below " if place == 0 else "above "
        names.append(f"{beyond}{shown[0]}" if left == right else " to ".join(shown))
    return names


def _show_number(value: float, distance: float) -> str:
    """Return a number with enough digits to distinguish it from another one at `distance`."""
    return f"{round_figure(value, EDGE_DIGITS, distance):.15g}"


def _compare_means(feature: Feature, x: np.ndarray, trained: int) -> tuple[float, float]:
    """Return the stability index and the p value of a number with a single bin, from its mean.

    For two normal distributions whose means are d standard deviations apart, the index is d².
    """
    values = x[~np.isnan(x)].astype(np.float64)
    if not len(values) or not feature.std:
        return 0.0, 1.0
    distance = (float(values.mean()) - (feature.mean or 0.0)) / feature.std
    z = abs(distance) / math.sqrt(1 / len(values) + 1 / trained)
    return distance**2, math.erfc(z / math.sqrt(2))


def _chance(counts: np.ndarray, trained: np.ndarray) -> float:
    """Return the p value of Pearson's test that both sets of counts come from one distribution."""
    used = (counts + trained) > 0
    counts, trained = counts[used], trained[used]
    freedom = len(counts) - 1
    if freedom < 1:
        return 1.0
    n, m = counts.sum(), trained.sum()
    both = (counts + trained) / (n + m)
    statistic = float(np.sum((counts - n * both) ** 2 / (n * both)) + np.sum((trained - m * both) ** 2 / (m * both)))
    spread = 2 / (9 * freedom)
    z = ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return 0.5 * math.erfc(z / math.sqrt(2))
