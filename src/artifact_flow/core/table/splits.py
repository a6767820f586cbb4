"""Splits: which rows are tested: drawn by the seed, whole groups, the last in time, or those that the file names.

A column by which `data.split` splits becomes a key, one whole number a row: the group's number in sorted order, the
place in time (equal times have equal places), or 1 for a test row and 0 for another.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.errors import DataError, closest
from artifact_flow.core.base.params import PARAMS, By, DataParams, SplitParams
from artifact_flow.core.table.columns import type_columns
from artifact_flow.core.table.form import Form

TESTED = ("test",)  # the values of `data.split.test` by default
NAMED = 10  # values listed in a message, at most


@dataclass(frozen=True)
class Key:
    """By what a table is split, and the key of each row, int64 of shape [rows]."""

    by: By
    values: np.ndarray


def read_key(column: pa.ChunkedArray, split: SplitParams, source: str) -> np.ndarray:
    """Return the key of each row, int64 of shape [rows], from the column by which a table is split.

    Raises DataError when the column lacks a value, holds one group or one time only, holds no times, or none of the
    values that `data.split.test` names.
    """
    where = f"{source}: {split.column}, by which data.split splits,"
    if split.test is not None and split.by != "column":
        raise DataError(f"{PARAMS}: data.split.test is for data.split.by: column, not {split.by}: remove it.")
    if column.null_count:
        raise DataError(
            f"{where} has no value in {column.null_count} of {len(column)} rows: fill them, or split by another column."
        )
    if split.by == "column":
        return _find_named(column, split, where)
    times = _read_times(column, where) if split.by == "time" and pa.types.is_string(column.type) else column
    encoded = times.combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    if len(values) < 2:
        found = f"holds only the value {values[0]}" if values else "has no row"
        raise DataError(f"{where} {found}, and each split needs at least one: split by another column.")
    rank = {value: place for place, value in enumerate(_sort(values))}
    ranks = np.array([rank[value] for value in values], dtype=np.int64)
    return np.asarray(ranks[encoded.indices.to_numpy()])


def draw_test_rows(params: DataParams, y: np.ndarray, key: Key | None) -> np.ndarray:
    """Return the positions of the test split's rows; without a key, those of scikit-learn's train_test_split.

    Raises ValueError when the share `data.test_size` leaves a split without a row.
    """
    if key is None:
        return _draw_rows(params, y)
    if key.by == "column":
        return np.flatnonzero(key.values)
    if key.by == "group":  # as GroupShuffleSplit draws: the share is one of the groups
        return np.flatnonzero(np.isin(key.values, _shuffle(params, int(key.values.max()) + 1, "groups")))
    first = np.sort(key.values)[len(y) - _count_test(params, len(y), "rows")]
    return np.flatnonzero(key.values >= first if first else key.values > first)  # equal times stay together


def _draw_rows(params: DataParams, y: np.ndarray) -> np.ndarray:
    if params.stratify:
        from sklearn.model_selection import train_test_split  # noqa: PLC0415 - takes a second to import

        _, test = train_test_split(np.arange(len(y)), test_size=params.test_size, random_state=params.seed, stratify=y)
        return np.asarray(test)
    return _shuffle(params, len(y), "rows")


def _shuffle(params: DataParams, count: int, what: str) -> np.ndarray:
    """Return the numbers, of those below `count`, that ShuffleSplit draws for the test split."""
    return np.random.RandomState(params.seed).permutation(count)[: _count_test(params, count, what)]


def _count_test(params: DataParams, count: int, what: str) -> int:
    tested = math.ceil(count * params.test_size)
    if tested >= count:
        raise ValueError(f"{tested} of {count} {what} would be in the test split and none in the train split")
    return tested


def _find_named(column: pa.ChunkedArray, split: SplitParams, where: str) -> np.ndarray:
    """Return 1 for each row whose value is one of `data.split.test`, else 0."""
    texts = column.cast(pa.string()).combine_chunks()
    held = [str(value) for value in _sort(texts.unique().to_pylist())]
    wanted = [_show(value) for value in (TESTED if split.test is None else split.test)]
    some = ", ".join(held[:NAMED]) + (" …" if len(held) > NAMED else "")
    for value in wanted:
        if value not in held:
            raise DataError(
                f"{where} never is {value}{closest(value, held)}: name the values of the test split in "
                f"data.split.test; it holds: {some or 'nothing'}."
            )
    if len(set(wanted)) == len(held):
        raise DataError(f"{where} holds only {some}, all of the test split, and the train split has no row.")
    return np.asarray(pc.is_in(texts, pa.array(wanted)).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _read_times(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Return a column of texts as numbers if each is one, else as dates."""
    try:
        return column.cast(pa.float64())
    except pa.ArrowException:
        pass
    try:
        return type_columns(pa.table({"time": column}), {"time": "date"}, Form(missing=()), "", 0)["time"]
    except DataError as error:
        found = re.search(r"time is (.+?), which is", str(error))
        raise DataError(
            f"{where} is {found[1] if found else 'text'} in a row, which is neither a number nor an ISO date such as "
            "2026-11-21: fix it, or split by another column."
        ) from error


def _sort(values: Sequence[Any]) -> list[Any]:
    """Return values sorted, texts as whole numbers where all are."""
    try:
        return sorted(values, key=int if values and isinstance(values[0], str) else None)
    except ValueError:
        return sorted(values)


def _show(value: object) -> str:
    """Return a value of params.yaml as the text of a column's value."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
