"""Leaks: columns that give the target away: copies, copies in other units, sums, and values with one class each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

ROWS, COLUMNS = 1000, 60  # searched for leaks: rows, and the columns nearest to the target for sums
VALUES_PER_CLASS = 5  # at most, for a column whose every value belongs to one class
ROWS_PER_VALUE = 10  # at least, on average: with fewer, values belong to one class by chance
UNEXPLAINED = 1e-4  # share of the target's variance that rounding may leave in a copy in other units
LEAST_ROWS = 20  # from which such a copy is no chance


@dataclass(frozen=True)
class Leak:
    """Columns that give the target away, and what they do, as a verb in the third person singular or plural."""

    names: tuple[str, ...]
    verb: str


def find_leaks(y: np.ndarray, columns: Mapping[str, np.ndarray], classes: Sequence[str]) -> Iterator[Leak]:
    """Yield each column, or sum of two or three, that gives the target away in every row searched.

    `columns` are the encoded features by name, float64 [rows], NaN where a value is missing; `y` is the target, class
    indices if there are `classes`.
    """
    rows = np.linspace(0, len(y) - 1, min(len(y), ROWS)).astype(int)
    y, columns = y[rows], {name: column[rows] for name, column in columns.items()}
    if classes:
        yield from (Leak((name,), "reproduces") for name, column in columns.items() if _tells_class(column, y))
        return
    unexplained = {name: _unexplained(column, y) for name, column in columns.items()}
    copies = {name for name, column in columns.items() if np.allclose(column, y)}
    for name in columns:
        if name in copies:
            yield Leak((name,), "reproduces")
        elif unexplained[name] <= UNEXPLAINED and len(y) >= LEAST_ROWS:
            yield Leak((name,), "reproduces, in other units,")
    near = sorted(columns, key=unexplained.__getitem__)[:COLUMNS]
    kept = {name: column for name, column in columns.items() if name in near and name not in copies}
    for names in _sums(y, kept):
        yield Leak(names, "reproduce")


def _tells_class(column: np.ndarray, y: np.ndarray) -> bool:
    """Return whether each value, a missing one included, belongs to one class, and few values to each."""
    gaps = np.isnan(column)
    return _is_pure(np.where(gaps, -1e300, column), y) or _is_pure(gaps.astype(float), y)


def _is_pure(column: np.ndarray, y: np.ndarray) -> bool:
    values, index = np.unique(column, return_inverse=True)
    if not 1 < len(values) <= len(y) / 2:
        return False
    known = len(np.unique(y))
    few = len(values) == known or len(values) <= min(VALUES_PER_CLASS * known, len(y) / ROWS_PER_VALUE)
    return bool(
        few and known > 1 and len(np.unique(index * known + np.unique(y, return_inverse=True)[1])) == len(values)
    )


def _unexplained(column: np.ndarray, y: np.ndarray) -> float:
    """Return the share of the variance of y that no line through the column explains; 1 if values are missing."""
    if not np.isfinite(column).all():
        return 1.0
    x, z = column - column.mean(), y - y.mean()
    with np.errstate(all="ignore"):
        share = float(1 - (x @ z) ** 2 / ((x @ x) * (z @ z)))
    return share if np.isfinite(share) else 1.0


def _sums(y: np.ndarray, columns: Mapping[str, np.ndarray]) -> Iterator[tuple[str, ...]]:
    names, X = list(columns), np.array(list(columns.values())).reshape(len(columns), len(y))
    for size in (2, 3):
        chosen = np.array(list(combinations(range(len(names)), size)), dtype=int).reshape(-1, size)
        for row in range(min(2, len(y))):  # few sums are right in two rows by chance
            near = np.abs(X[chosen, row].sum(axis=1) - y[row]) <= 1e-5 * max(1.0, abs(y[row]))
            chosen = chosen[near]
        for places in chosen:
            if np.allclose(X[places].sum(axis=0), y):
                yield tuple(names[place] for place in places)
