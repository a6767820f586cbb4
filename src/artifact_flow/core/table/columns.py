"""Columns: Arrow columns converted to the types of their roles, and to the form that the encoding takes.

A value that does not fit its column raises DataError with its row. Blanks around text are trimmed; NaN is missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.cells import FALSE, TRUE
from artifact_flow.core.base.dates import RULES, WHOLE_SECONDS, ZONED
from artifact_flow.core.base.encoding import SECONDS_A_DAY, Column, Text
from artifact_flow.core.base.errors import DataError, closest
from artifact_flow.core.base.params import Role, Style
from artifact_flow.core.table.form import Form, Name
from artifact_flow.core.table.numbers import parse_numbers

TYPES: dict[str, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("s"),
    "day-first date": pa.timestamp("s"),
    "month-first date": pa.timestamp("s"),
    "category": pa.string(),
    "text": pa.string(),
    "id": pa.string(),
}
NAMED = 10  # columns listed in a message, at most
WORDS = {
    "number": "not a number",
    "boolean": "neither true nor false",
    "date": "not an ISO date such as 2026-11-21",
    "day-first date": "not a date such as 21.11.2026 or 2026-11-21",
    "month-first date": "not a date such as 11/21/2026 or 2026-11-21",
}


def type_columns(table: pa.Table, roles: Mapping[str, Role], form: Form, path: Name, row: int) -> pa.Table:
    """Return a batch with each column in the type of its role, text trimmed, missing values null.

    `row` is the number of its first row. Raises DataError with the first row whose value does not fit or is infinite.
    """
    columns = {}
    for name, role in roles.items():
        if role == "number" and pa.types.is_float64(table[name].type) and all(map(_is_finite, table[name].chunks)):
            columns[name] = table[name]
            continue
        column = _trim(_unpack(table[name], TYPES[role]), form.missing)
        if role in RULES:
            column = _write_iso(column, role)
        if column.type != TYPES[role] and not (role == "id" and pa.types.is_integer(column.type)):
            style = form.numbers.get(name)
            try:
                column = _without_nan(_convert(column, TYPES[role], style))
            except pa.ArrowException as error:
                raise _misfit(column, name, role, path, row, style) from error
        if role == "number":
            _refuse_infinite(column, name, path, row)
        columns[name] = column
    return pa.table(columns)


def find_misfits(table: pa.Table, roles: Mapping[str, Role], form: Form) -> dict[int, str]:
    """Return position → reason for each row of a batch that `type_columns` would reject.

    Raises DataError when a column's type, such as a list, can never fit its role.
    """
    found: dict[int, str] = {}
    for name, role in roles.items():
        if not _misfit_reason(table[name], name, role, form):
            continue
        if pa.types.is_nested(table[name].type):
            type_columns(table.select([name]), {name: role}, form, "a row", 0)
        column = _trim(_unpack(table[name], TYPES[role]), form.missing)
        reasons = _misfit_values(column.unique(), name, role, form)
        bad = np.asarray(pc.is_in(column, pa.array(reasons, column.type)).to_numpy())
        for place in np.flatnonzero(bad).tolist():
            found.setdefault(place, reasons[column[place].as_py()])
    return found


def _misfit_values(values: pa.Array, name: str, role: Role, form: Form) -> dict[Any, str]:
    """Return value → reason for the distinct values that do not fit, found by bisection: most columns have few."""
    reason = _misfit_reason(pa.chunked_array([values]), name, role, form)
    if not reason:
        return {}
    if len(values) == 1:
        return {values[0].as_py(): reason}
    half = len(values) // 2
    halves = (_misfit_values(part, name, role, form) for part in (values[:half], values[half:]))
    return {value: reason for part in halves for value, reason in part.items()}


def _misfit_reason(column: pa.ChunkedArray, name: str, role: Role, form: Form) -> str:
    try:
        type_columns(pa.table({name: column}), {name: role}, form, "", 0)
    except DataError as error:
        return str(error).partition(": ")[2]
    return ""


def _unpack(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Return a column as plain values: no dictionary, no NaN, text as Arrow's `string` type."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return column.cast(wanted)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return _without_nan(column)


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def _is_finite(chunk: pa.Array) -> bool:
    """Return whether every number of an array is present and finite, the usual case, in two passes without a copy."""
    if chunk.null_count or not len(chunk):
        return not len(chunk)
    values = chunk.to_numpy()
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))  # a NaN would be the minimum and the maximum


def _trim(column: pa.ChunkedArray, missing: Sequence[str]) -> pa.ChunkedArray:
    if not pa.types.is_string(column.type):
        return column
    trimmed = pc.utf8_trim_whitespace(column)
    gaps = pc.is_in(trimmed, pa.array(["", *missing]))
    return pc.if_else(gaps, pa.scalar(None, pa.string()), trimmed) if pc.any(gaps).as_py() else trimmed


def _write_iso(column: pa.ChunkedArray, role: Role) -> pa.ChunkedArray:
    """Return dates as ISO 8601 text by the rules of their role; other text unchanged, and moments as they are."""
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())  # 20240115
    if pa.types.is_string(column.type) and not pc.all(pc.match_substring_regex(column, WHOLE_SECONDS)).as_py():
        for pattern, replacement in RULES[role]:
            column = pc.replace_substring_regex(column, pattern, replacement)
    return column


def _convert(column: pa.ChunkedArray, wanted: pa.DataType, style: Style | None) -> pa.ChunkedArray:
    kind = column.type
    if style and pa.types.is_float64(wanted) and pa.types.is_string(kind):
        return parse_numbers(column, style)
    if pa.types.is_boolean(wanted) and pa.types.is_string(kind):
        true, false = (pc.is_in(column, pa.array(words)) for words in ((*TRUE, "1"), (*FALSE, "0")))
        if not pc.all(pc.or_(pc.or_(true, false), pc.is_null(column))).as_py():
            raise pa.ArrowInvalid("neither true nor false")
        return pc.if_else(column.is_valid(), true, pa.scalar(None, pa.bool_()))
    if pa.types.is_timestamp(wanted) and pa.types.is_string(kind):
        zoned, null = pc.match_substring_regex(column, ZONED), pa.scalar(None, kind)
        if pc.any(zoned).as_py():  # Arrow parses a column with offsets or one without
            instants = pc.if_else(zoned, column, null).cast(pa.timestamp("s", "UTC")).cast(wanted)
            return pc.coalesce(instants, pc.if_else(zoned, null, column).cast(wanted))
    if pa.types.is_string(wanted) and pa.types.is_boolean(kind):
        return pc.if_else(column, "true", "false")
    if pa.types.is_boolean(wanted):
        column = column.cast(pa.int64())
        if not pc.all(pc.is_in(column, pa.array([0, 1, None]))).as_py():
            raise pa.ArrowInvalid("neither 0 nor 1")
    rounded = (pa.types.is_timestamp(kind) and pa.types.is_timestamp(wanted)) or pa.types.is_integer(kind)
    return column.cast(wanted, safe=not rounded)  # a date keeps whole seconds, a number 53 bits


def _misfit(  # noqa: PLR0913, PLR0917 - what the sentence names
    column: pa.ChunkedArray, name: str, role: Role, path: Name, row: int, style: Style | None
) -> DataError:
    """Return the error for the first value that does not fit its role, found by bisection."""
    first, end = 0, len(column)
    while end - first > 1:
        middle = (first + end) // 2
        first, end = (middle, end) if _fits(column.slice(first, middle - first), role, style) else (first, middle)
    if _fits(column.slice(first, 1), role, style):
        return DataError(f"{path}: {name} is {column.type}, which is {WORDS.get(role, 'not text')}.")
    word = f"not a number written as {style}" if style and role == "number" else WORDS.get(role, "not text")
    return no_fit(f"{path}, row {row + first}", name, repr(column[first].as_py()), word)


def _fits(column: pa.ChunkedArray, role: Role, style: Style | None) -> bool:
    try:
        _convert(column, TYPES[role], style)
    except pa.ArrowException:
        return False
    return True


def no_fit(where: str, name: str, value: str, word: str) -> DataError:
    """Return the error for a value that does not fit its column's role."""
    return DataError(
        f"{where}: {name} is {value}, which is {word}: fix it, or list it as a missing value, or give the column "
        "another role, such as left out."
    )


def _refuse_infinite(column: pa.ChunkedArray, name: str, path: Name, row: int) -> None:
    bounds = pc.min_max(column).as_py()
    if any(value is not None and abs(value) == float("inf") for value in bounds.values()):
        first = pc.index(pc.is_inf(column), pa.scalar(True)).as_py()
        raise DataError(
            f"{path}, row {row + first}: {name} is {column[first].as_py()}: fix it, or leave it empty if it is unknown."
        )


def to_column(column: pa.ChunkedArray | pa.Array) -> Column:
    """Return a typed Arrow column in the form the encoding takes: float64 with NaN for missing, or text."""
    kind = column.type
    if pa.types.is_string(kind):
        encoded = column.dictionary_encode()
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return Text(encoded.dictionary.to_pylist(), index)
    if pa.types.is_timestamp(kind):
        seconds = column.cast(pa.timestamp("s")).cast(pa.int64()).cast(pa.float64())  # Parquet keeps milliseconds
        column, kind = pc.divide(seconds, float(SECONDS_A_DAY)), pa.float64()
    if not pa.types.is_float64(kind):
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy())


def missing_columns(wanted: Sequence[str], names: Sequence[str], path: Name) -> None:
    """Raise DataError when one of `wanted` is not in `names`, a file's columns; suggest the closest name."""
    held, asked = set(names), set(wanted)
    lacking = [name for name in wanted if name not in held]
    if lacking:
        free = [name for name in names if name not in asked]
        guess = closest(lacking[0], free)
        raise DataError(f"{path} has no column {_first(lacking)}{guess}; it has: {_first(names)}.")


def _first(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
