"""Plain: rows that have every column of a model of numbers, each as JSON writes a number, read at once.

What is not so is left to `Rows`, which reads value by value and says what is wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

FLOAT32_MAX = 3.4e38  # a model takes float32
NUMERIC = frozenset((int, float))

Row = Mapping[str, Any]
Parsed = tuple[list[Row], np.ndarray]  # rows as their values were read, and their matrix


class PlainRows:
    """Reads rows of some names, at most `max_rows`; each function returns None for what is not plain."""

    def __init__(self, names: list[str], max_rows: int) -> None:
        """Take the columns in their order."""
        self.names, self.max_rows = names, max_rows
        self._quotes = 2 * len(names)  # in a row, when no column is given twice

    def parse_one(self, body: bytes) -> Row | None:
        """Return the row of a JSON object with every column once, in order, each a number for float32."""
        try:
            row = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(row) is not dict or list(row) != self.names or body.count(b'"') != self._quotes:
            return None
        values = row.values()
        try:  # the sum is as large as its largest part, and refuses what is no number but a boolean
            fits = sum(map(abs, values)) <= FLOAT32_MAX and bool not in map(type, values)
        except TypeError:
            return None
        return row if fits else None

    def parse_many(self, body: bytes) -> Parsed | None:
        """Return the rows of a JSON array of such objects."""
        try:
            rows = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(rows) is not list or body.count(b'"') != self._quotes * len(rows):
            return None
        return self.take(rows)

    def take(self, rows: list[Any]) -> Parsed | None:
        """Return rows that JSON objects gave."""
        if not 1 <= len(rows) <= self.max_rows or any(type(row) is not dict or list(row) != self.names for row in rows):
            return None
        X = self._as_matrix([value for row in rows for value in row.values()], len(rows))
        return None if X is None else (rows, X)

    def take_cells(self, rows: Sequence[Sequence[str]], places: Mapping[str, int]) -> Parsed | None:
        """Return rows of texts, in which each column has its place: one text is parsed faster than thousands."""
        wanted = [places[name] for name in self.names]
        if wanted != list(range(len(rows[0]))):
            rows = [[row[place] for place in wanted] for row in rows]
        try:
            values = orjson.loads(f"[{','.join(map(','.join, rows))}]")
        except orjson.JSONDecodeError:
            return None
        X = self._as_matrix(values, len(rows))  # a comma in a cell makes a value too many
        return None if X is None else ([dict(zip(self.names, row, strict=True)) for row in X.tolist()], X)

    def _as_matrix(self, values: list[Any], rows: int) -> np.ndarray | None:
        if len(values) != rows * len(self.names) or not set(map(type, values)) <= NUMERIC:
            return None
        try:
            X = np.array(values, np.float64).reshape(rows, -1)
        except OverflowError:  # an integer of very many digits
            return None
        return X if np.abs(X).max() <= FLOAT32_MAX else None
