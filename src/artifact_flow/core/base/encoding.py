"""Encoding: typed columns and the contract's features become the model's matrix. Imports numpy only.

`train`, `infer`, `predict` and the service share it, so that a row means the same everywhere: numbers are unchanged,
booleans are 0 and 1, dates are days since 1970, categories are their index in the contract; a feature's offset,
if it has one, is subtracted. A missing number is NaN, a missing category the index after the last category, an unseen
category -1 (which has no column in a one-hot encoder). A text stays a text, and a missing one is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

SECONDS_A_DAY = 86_400  # a date is a number of days
UNSEEN = -1
KEPT = 20  # distinct unseen values of a column that are kept by name, at most; OTHERS counts the rows of the rest
OTHERS = "…"


class FeatureLike(Protocol):
    """The part of a contract's `Feature` that the encoding needs."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def type(self) -> str:
        """One of number, boolean, date, category, text."""

    @property
    def min(self) -> float | None:
        """The smallest value in the train split, of a text its length; None for a category."""

    @property
    def max(self) -> float | None:
        """The largest value in the train split, of a text its length; None for a category."""

    @property
    def offset(self) -> float | None:
        """The number that is subtracted from each value, or None."""

    @property
    def categories(self) -> list[str] | None:
        """The values of a category in the train split; None for other types."""


@dataclass(frozen=True)
class Text:
    """A text column: its distinct values, and for each row the index of its value, or -1 if it is missing."""

    values: Sequence[str]
    index: np.ndarray


Column = np.ndarray | Text  # float64 of shape [rows] with NaN where missing, or text


@dataclass
class Findings:
    """Accepted but reported, by column: the number of rows outside the training range, and unseen categories."""

    out_of_range: dict[str, int] = field(default_factory=dict)
    unseen: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, other: "Findings") -> None:
        """Add another batch's findings to these."""
        for name, rows in other.out_of_range.items():
            self.out_of_range[name] = self.out_of_range.get(name, 0) + rows
        for name, values in other.unseen.items():
            mine = self.unseen.setdefault(name, {})
            for value, rows in values.items():
                kept = value if value in mine or len(mine) < KEPT else OTHERS
                mine[kept] = mine.get(kept, 0) + rows


def encode_rows(
    features: Sequence[FeatureLike], columns: Mapping[str, Column], dtype: type[np.floating] = np.float64
) -> tuple[np.ndarray, Findings]:
    """Return the row-major matrix of shape [rows, features], of objects if it has texts, and the findings."""
    rows = len(_index(columns[features[0].name])) if features else 0
    kind = object if have_text(features) else dtype
    X, findings = np.empty((rows, len(features)), kind), Findings()
    for number, feature in enumerate(features):
        column = columns[feature.name]
        if feature.type == "text" and isinstance(column, Text):
            X[:, number] = np.array([*column.values, ""], dtype=object)[column.index]  # index -1 selects the last
        elif isinstance(column, Text):
            X[:, number] = _encode_text(feature, column, findings)
        else:
            _count_out_of_range(feature, column, findings)
            X[:, number] = column - feature.offset if feature.offset else column
    return X, findings


def have_text(features: Sequence[FeatureLike]) -> bool:
    """Return whether one of the features is a text, so that encoded rows are objects."""
    return any(feature.type == "text" for feature in features)


def measure_texts(texts: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return the number of characters of each text, float64 of shape [rows], NaN for an empty one."""
    lengths = np.array([len(text) for text in texts], dtype=np.float64)
    return np.where(lengths > 0, lengths, np.nan)


def measure_rows(features: Sequence[FeatureLike], X: np.ndarray) -> np.ndarray:
    """Return encoded rows [rows, features] as numbers only: a text as its number of characters."""
    if not have_text(features):
        return X
    columns = [
        measure_texts(X[:, number]) if feature.type == "text" else X[:, number].astype(np.float64)
        for number, feature in enumerate(features)
    ]
    return np.column_stack(columns)


def _index(column: Column) -> np.ndarray:
    return column.index if isinstance(column, Text) else column


def _encode_text(feature: FeatureLike, column: Text, findings: Findings) -> np.ndarray:
    categories = feature.categories or []
    place = {value: code for code, value in enumerate(categories)}
    codes = np.array([*(place.get(value, UNSEEN) for value in column.values), len(categories)])
    encoded = codes[column.index]  # index -1, a missing value, selects the last code
    if UNSEEN in codes:
        counts = np.bincount(column.index[encoded == UNSEEN], minlength=len(column.values))
        found = {column.values[i]: int(counts[i]) for i in np.flatnonzero(counts).tolist()}
        if found:
            findings.unseen[feature.name] = found
    return np.asarray(encoded)


def _count_out_of_range(feature: FeatureLike, column: np.ndarray, findings: Findings) -> None:
    if feature.min is None or feature.max is None or not len(column):
        return
    # two passes without a temporary array; rows are compared only if there is something to count
    low, high = np.fmin.reduce(column), np.fmax.reduce(column)
    if low < feature.min or high > feature.max:
        rows = np.count_nonzero(column < feature.min) + np.count_nonzero(column > feature.max)
        findings.out_of_range[feature.name] = int(rows)
