"""Typed rows: a source's declared columns as Arrow columns, each in the type of its role.

The first value that does not fit its column raises DataError with its row, counted as in a spreadsheet: the header is
row 1. `raw_rows` reads sources in which some rows may be unfit.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, json

from artifact_flow.core.base.cells import FALSE, TRUE
from artifact_flow.core.base.dates import RULES
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Role
from artifact_flow.core.table.columns import TYPES, type_columns
from artifact_flow.core.table.complaints import damaged_file, explain_refusal
from artifact_flow.core.table.ending import Ending
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.source import (
    Source,
    detect_format,
    open_parquet,
    open_source,
    open_table,
    read_head,
    read_names,
)
from artifact_flow.core.table.streams import BLOCK_BYTES

BATCH_ROWS = 1 << 16
PADDING = 4  # blanks allowed on each side of a missing mark or a boolean: fewer than this


def read_columns(path: Path, form: Form, roles: Mapping[str, Role]) -> pa.Table:
    """Return the columns named in `roles`, each in the type of its role, all rows at once.

    Raises DataError naming the row at fault, or a column that is missing.
    """
    with open_source(path, form) as file:
        format_ = detect_format(read_head(file, path))
    if format_ == "Parquet":
        try:
            table = open_parquet(path, path).read(columns=list(roles))
        except (pa.ArrowException, OSError) as error:
            raise damaged_file(path, error) from error
        return type_columns(table, roles, form, path, 1)
    if format_ == "JSON lines":
        with open_source(path, form) as file:
            return pa.concat_tables(stream_columns(open_table(path, file, form, []), roles))
    names = read_names(path, form)
    for threads in (True, False):  # Arrow numbers the rows of its errors only with one thread
        try:
            with open_source(path, form) as file:
                ending = Ending(path, names, form)
                table = csv.read_csv(ending.append_to(file), **csv_options(form, names, roles, threads, ending))
        except pa.ArrowException as error:
            if not threads:
                raise explain_refusal(error, path, names) from error
        except OSError as error:
            raise damaged_file(path, error) from error
        else:
            ending.check(form.header + table.num_rows)
            return type_columns(table, roles, form, path, 1 + form.header)
    raise AssertionError  # unreachable: the second pass returns or raises


def read_texts(path: Path, form: Form, names: Sequence[str]) -> pa.Table:
    """Return the named columns of a file as trimmed text, with null for a missing value.

    Raises DataError when the file is empty, has no rows, or cannot be read as a table.
    """
    table = read_columns(path, form, dict.fromkeys(names, "category"))
    if not table.num_rows:
        raise DataError(f"{path} has no rows.")
    return table


def stream_columns(source: Source, roles: Mapping[str, Role]) -> Iterator[pa.Table]:
    """Yield the columns named in `roles`, each in the type of its role, in bounded batches, in the file's order.

    Raises DataError naming the row at fault.
    """
    path, row = source.name, source.first_row
    try:
        for batch in stream_batches(source, roles):
            table = pa.Table.from_batches([batch])
            yield type_columns(table, roles, source.form, path, row)
            row += table.num_rows
    except pa.ArrowException as error:
        raise (
            damaged_file(path, error) if source.format == "Parquet" else explain_refusal(error, path, source.names, row)
        ) from error
    except OSError as error:
        raise damaged_file(path, error) from error
    if row == source.first_row:
        raise DataError(f"{path} has no rows.")


def stream_batches(source: Source, roles: Mapping[str, Role]) -> Iterator[pa.RecordBatch]:
    """Yield the columns named in `roles` as Arrow parses them, in batches; Arrow's errors pass unchanged."""
    if source.format == "Parquet":
        parquet = open_parquet(source.file, source.name)
        yield from parquet.iter_batches(BATCH_ROWS, row_groups=source.groups, columns=list(roles), use_threads=False)
    elif source.format == "CSV":
        ending, row = Ending(source.name, source.names, source.form), source.first_row
        options = csv_options(source.form, source.names, roles, threads=False, ending=ending)
        for batch in csv.open_csv(ending.append_to(source.file), **options):
            row += len(batch)
            yield batch
        ending.check(row - 1)
    else:
        yield from json.open_json(
            source.file,
            read_options=json.ReadOptions(use_threads=False),
            parse_options=json.ParseOptions(
                explicit_schema=json_schema(source.types, roles), unexpected_field_behavior="ignore"
            ),
        )


def csv_options(
    form: Form, names: Sequence[str], roles: Mapping[str, Role], threads: bool, ending: Ending | None = None
) -> dict[str, Any]:
    """Return the keyword arguments with which Arrow's CSV readers parse the columns named in `roles`.

    Without `ending`, the caller sets the handler of invalid rows.
    """
    parse = csv.ParseOptions(delimiter=form.separator, newlines_in_values=True)
    if ending:
        parse.invalid_row_handler = lambda row: "skip" if ending.take(row.text, row.number) else "error"
    booleans = "boolean" in roles.values()  # Arrow copies these words for each column: 0.2 s for 2000 columns
    return {
        "read_options": csv.ReadOptions(
            use_threads=threads,
            column_names=list(names),
            skip_rows_after_names=1 if form.header else 0,
            block_size=BLOCK_BYTES,
        ),
        "parse_options": parse,
        "convert_options": csv.ConvertOptions(
            include_columns=list(roles),
            # Arrow parses dates without blanks and fractions, and numbers in one style; `columns` parses the others
            column_types={
                name: pa.string() if role in RULES or name in form.numbers else TYPES[role]
                for name, role in roles.items()
            },
            null_values=[*(" " * blanks for blanks in range(PADDING**2)), *_padded(form.missing)],
            strings_can_be_null=True,
            true_values=_padded((*TRUE, "1")) if booleans else [],
            false_values=_padded((*FALSE, "0")) if booleans else [],
        ),
    }


def _padded(texts: Sequence[str]) -> list[str]:
    return [" " * left + text + " " * right for text in texts for left in range(PADDING) for right in range(PADDING)]


def json_schema(types: Mapping[str, pa.DataType], roles: Mapping[str, Role]) -> pa.Schema:
    """Return the schema by which JSON lines are read: a key's own type in the file, or its role's where it has none."""
    kinds = {}
    for name, role in roles.items():
        kind = types.get(name, pa.null())
        if pa.types.is_null(kind) or (role == "number" and pa.types.is_integer(kind)):
            kind = TYPES[role]
        kinds[name] = pa.string() if role in RULES and not pa.types.is_integer(kind) else kind
    return pa.schema(kinds)
