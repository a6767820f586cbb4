"""Encoding: raw columns, checked against the contract's features, become the model's matrix. numpy only.

What `train`, `infer`, `predict` and a service share, so that a row means the same everywhere: numbers as they are,
booleans as 0 and 1, dates as days since 1970, categories as their index in the contract. A missing number is NaN, a
missing category the index behind the last one, an unseen category -1 (no column of a one-hot encoder).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

SECONDS_A_DAY = 86_400  # a date is a number of days
UNSEEN = -1
KEPT = 20  # different unseen values of a column that are kept by name; OTHERS counts the rows of the rest
OTHERS = "…"


class Feature(Protocol):
    """What the encoding needs of a contract's feature."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def type(self) -> str:
        """One of number, boolean, date, category."""

    @property
    def min(self) -> float | None:
        """The least value of the train split, of a column that is no category."""

    @property
    def max(self) -> float | None:
        """The greatest one."""

    @property
    def categories(self) -> list[str] | None:
        """The values of a category in the train split."""


@dataclass(frozen=True)
class Text:
    """A text column: its distinct values, and for each row the index of its value, -1 where it is missing."""

    values: Sequence[str]
    index: np.ndarray


Column = np.ndarray | Text  # float64 of shape [rows] with NaN where missing, or text


@dataclass
class Findings:
    """What was allowed but is worth a word: rows out of the training range and unseen categories, by column."""

    out_of_range: dict[str, int] = field(default_factory=dict)
    unseen: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, other: "Findings") -> None:
        """Count another batch's findings in."""
        for name, rows in other.out_of_range.items():
            self.out_of_range[name] = self.out_of_range.get(name, 0) + rows
        for name, values in other.unseen.items():
            mine = self.unseen.setdefault(name, {})
            for value, rows in values.items():
                kept = value if value in mine or len(mine) < KEPT else OTHERS
                mine[kept] = mine.get(kept, 0) + rows


def encode_rows(
    features: Sequence[Feature], columns: Mapping[str, Column], dtype: type[np.floating] = np.float64
) -> tuple[np.ndarray, Findings]:
    """Return the matrix of shape [rows, features], row-major, and what was found while encoding it."""
    rows = len(_index(columns[features[0].name])) if features else 0
    X, findings = np.empty((rows, len(features)), dtype), Findings()
    for number, feature in enumerate(features):
        column = columns[feature.name]
        if isinstance(column, Text):
            X[:, number] = _encode_text(feature, column, findings)
        else:
            _count_out_of_range(feature, column, findings)
            X[:, number] = column
    return X, findings


def _index(column: Column) -> np.ndarray:
    return column.index if isinstance(column, Text) else column


def _encode_text(feature: Feature, column: Text, findings: Findings) -> np.ndarray:
    categories = feature.categories or []
    place = {value: code for code, value in enumerate(categories)}
    codes = np.array([*(place.get(value, UNSEEN) for value in column.values), len(categories)])
    encoded = codes[column.index]  # -1, missing, is the last one
    if UNSEEN in codes:
        counts = np.bincount(column.index[encoded == UNSEEN], minlength=len(column.values))
        found = {column.values[i]: int(counts[i]) for i in np.flatnonzero(counts).tolist()}
        if found:
            findings.unseen[feature.name] = found
    return np.asarray(encoded)


def _count_out_of_range(feature: Feature, column: np.ndarray, findings: Findings) -> None:
    if feature.min is None or feature.max is None or not len(column):
        return
    # two passes without a temporary; a comparison for each row only where there is something to count
    low, high = np.fmin.reduce(column), np.fmax.reduce(column)
    if low < feature.min or high > feature.max:
        rows = np.count_nonzero(column < feature.min) + np.count_nonzero(column > feature.max)
        findings.out_of_range[feature.name] = int(rows)
