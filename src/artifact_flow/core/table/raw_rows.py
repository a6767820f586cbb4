"""Raw rows: a source's columns before their values are checked, with each row's number in the file.

`predict` reads so: a line that cannot be parsed is reported with its number and skipped, and the others are kept.
"""

import io
import json as text_json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from artifact_flow.core.base.params import Role
from artifact_flow.core.table.complaints import damaged_file, explain_refusal, other_kind, ragged_row
from artifact_flow.core.table.ending import Ending
from artifact_flow.core.table.source import Source
from artifact_flow.core.table.typed_rows import BATCH_ROWS, csv_options, json_schema, stream_batches

JSON_KINDS = {bool: "true or false", str: "text", list: "a list", dict: "an object"}


def count_rows(source: Source) -> int:
    """Return the number of rows of a CSV or JSON lines source, valid or not; raise DataError when it is damaged."""
    if source.format == "JSON lines":
        try:
            return sum(1 for line in source.file if line.strip())
        except (pa.ArrowException, OSError) as error:
            raise damaged_file(source.name, error) from error
    ragged: list[int] = []
    first: dict[str, Role] = {source.names[0]: "category"}
    rows = sum(len(numbers) for numbers, _ in stream_raw(source, first, lambda row, _: ragged.append(row)))
    return rows + len(ragged)


def stream_raw(
    source: Source, roles: Mapping[str, Role], unreadable: Callable[[int, str], object]
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yield batches of the columns named in `roles`, unchecked, with the number in the file of each row.

    Calls `unreadable(number, reason)` for each line that cannot be parsed, before yielding the batch it belongs to.
    Raises DataError when the file is damaged.
    """
    try:
        if source.format == "CSV":
            yield from _raw_csv(source, roles, unreadable)
        elif source.format == "JSON lines":
            yield from _raw_lines(source, roles, unreadable)
        else:
            row = source.first_row
            for batch in stream_batches(source, roles):
                yield np.arange(row, row + len(batch)), pa.Table.from_batches([batch])
                row += len(batch)
    except pa.ArrowException as error:
        text = source.format == "CSV"
        raise explain_refusal(error, source.name, source.names) if text else damaged_file(source.name, error) from error
    except OSError as error:
        raise damaged_file(source.name, error) from error


def _raw_csv(
    source: Source, roles: Mapping[str, Role], unreadable: Callable[[int, str], object]
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    ragged: list[int] = []
    ending = Ending(source.name, source.names, source.form)

    def skip(row: csv.InvalidRow) -> str:
        if ending.take(row.text, row.number):
            return "skip"
        ragged.append(row.number)
        unreadable(row.number, ragged_row(row.expected_columns, row.actual_columns))
        return "skip"

    texts: dict[str, Role] = dict.fromkeys(roles, "category")
    options = csv_options(source.form, source.names, texts, threads=False)  # Arrow numbers rows only with one thread
    options["parse_options"].invalid_row_handler = skip
    row = source.first_row
    for batch in csv.open_csv(ending.append_to(source.file), **options):
        numbers = np.arange(row, row + len(batch) + len(ragged))
        numbers = numbers[~np.isin(numbers, ragged)][: len(batch)]
        yield numbers, pa.Table.from_batches([batch])
        if len(batch):
            row = int(numbers[-1]) + 1
        ragged = [number for number in ragged if number >= row]
    ending.check(row - 1)


def _raw_lines(
    source: Source, roles: Mapping[str, Role], unreadable: Callable[[int, str], object]
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    schema, row = json_schema(source.types, roles), source.first_row
    lines = (line for line in io.TextIOWrapper(source.file, "utf-8-sig", errors="replace") if line.strip())
    while some := list(islice(lines, BATCH_ROWS)):
        numbers, values = [], {name: list[Any]() for name in roles}
        for number, line in enumerate(some, start=row):
            try:
                found = _line_values(line, schema)
            except ValueError as error:
                unreadable(number, str(error))
                continue
            numbers.append(number)
            for name, value in found.items():
                values[name].append(value)
        yield np.array(numbers, dtype=np.int64), pa.table(values, schema=schema)
        row += len(some)


def _line_values(line: str, schema: pa.Schema) -> dict[str, Any]:
    """Return a line's value for each column of the schema; raise ValueError for a non-object or a misfit value."""
    try:
        row = text_json.loads(line)
    except text_json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos + 1}): fix that line.") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object: write one on each line.")
    return {column.name: _json_value(row.get(column.name), column) for column in schema}


def _json_value(value: Any, column: pa.Field) -> Any:
    if value is None:
        return None
    kind = bool if pa.types.is_boolean(column.type) else str if pa.types.is_string(column.type) else float
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number if kind is float else isinstance(value, kind)):
        found, wanted = (JSON_KINDS.get(one, "a number") for one in (type(value), kind))
        raise ValueError(other_kind(column.name, found, wanted))
    if pa.types.is_integer(column.type) and not (isinstance(value, int) and abs(value) < 2**63):
        raise ValueError(other_kind(column.name, str(value), "a whole number of 64 bits"))
    return float(str(value)) if pa.types.is_floating(column.type) else value  # through text: inf if huge
