"""Readers: CSV, Parquet and JSON lines become Arrow columns of declared types. The only module that reads raw tables.

What a file is, its first bytes tell, not its name; gzip is unpacked on the way. A value that does not fit its column
is refused with its row, counted as a spreadsheet does: the header is row 1.
"""

import csv as text_csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv, json

from artifact_flow.encoding import Column, Text
from artifact_flow.errors import DataError
from artifact_flow.params import Role, closest

Format = Literal["CSV", "Parquet", "JSON lines"]
SEPARATORS = (",", ";", "\t")
TRUE = tuple(form(word) for word in ("true", "yes", "t", "y") for form in (str.lower, str.title, str.upper))
FALSE = tuple(form(word) for word in ("false", "no", "f", "n") for form in (str.lower, str.title, str.upper))
TYPES: dict[str, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("s"),
    "category": pa.string(),
    "id": pa.string(),
}
WORDS = {"number": "no number", "boolean": "neither true nor false", "date": "no ISO date such as 2026-11-21"}
BATCH_ROWS = 1 << 17
BLOCK_BYTES = 1 << 22
SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Form:
    """How a text table is written."""

    separator: str = ","
    header: bool = True
    missing: tuple[str, ...] = ("", "NA")


def detect_format(head: bytes) -> Format:
    """Return what a file is from its first (unpacked) bytes."""
    if head.startswith(b"PAR1"):
        return "Parquet"
    return "JSON lines" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "CSV"


def open_source(path: Path) -> IO[bytes]:
    """Return a file, unpacked where it is gzip; raise DataError when it cannot be opened or is empty."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        opened = pa.input_stream(str(path), compression="gzip" if packed else None)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}: name a CSV, Parquet or JSON lines file.") from error
    return opened  # type: ignore[no-any-return]


def read_names(path: Path, form: Form) -> list[str]:
    """Return the names of a file's columns; column_1, column_2 … for a CSV without a header.

    Raises DataError when the file is empty or a name is empty or stands twice.
    """
    with open_source(path) as file:
        head = _read_head(file, path)
    format_ = detect_format(head)
    if format_ == "Parquet":
        names = _open_parquet(path).schema_arrow.names
    elif format_ == "JSON lines":
        names = list(json.read_json(io.BytesIO(head.partition(b"\n")[0])).column_names)
    else:
        names = csv_names(head, form, path)
    return _check_names(names, path)


def csv_names(head: bytes, form: Form, path: Path) -> list[str]:
    """Return the column names in the first bytes of a CSV; raise DataError when it is empty or no UTF-8."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else the head ends within a character
            row = head[: error.start].count(b"\n") + 1
            raise DataError(f"{path}, row {row}: not UTF-8 (byte {error.start}): save the file as UTF-8.") from error
        text = head[: error.start].decode("utf-8-sig")
    rows = text_csv.reader(io.StringIO(text, newline=""), delimiter=form.separator)
    first = next((row for row in rows if row), None)
    if first is None:
        raise DataError(f"{path} is empty: it needs a header and rows.")
    return [name.strip() for name in first] if form.header else [f"column_{i + 1}" for i in range(len(first))]


def sniff_separator(path: Path) -> str:
    """Return the one of comma, semicolon and tab that parts the first line of a text file most often."""
    with open_source(path) as file:
        line = _read_head(file, path).decode("utf-8-sig", errors="replace").partition("\n")[0]
    return max(SEPARATORS, key=lambda mark: len(next(text_csv.reader([line], delimiter=mark), ())))


def read_columns(path: Path, form: Form, roles: Mapping[str, Role]) -> pa.Table:
    """Return the columns that `roles` names, typed, all rows at once.

    Raises DataError naming the row at fault, or a column that is missing.
    """
    with open_source(path) as file:
        format_ = detect_format(_read_head(file, path))
    if format_ == "Parquet":
        try:
            table = _open_parquet(path).read(columns=list(roles))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error
        return pa.table(_settle(_cast(table, roles, path, 1), roles, path, 1))
    names = read_names(path, form)
    for threads in (True, False):  # only one thread counts the rows of what it refuses
        try:
            with open_source(path) as file:
                if format_ == "JSON lines":
                    return pa.concat_tables(_json_batches(file, roles, path))
                table = csv.read_csv(file, **_csv_options(form, names, roles, threads))
        except pa.ArrowException as error:
            if not threads or format_ != "CSV":
                raise refusal(error, path, names) from error
        except OSError as error:
            raise _damaged(path, error) from error
        else:
            return pa.table(_settle(table, roles, path, 1 + form.header))
    raise AssertionError  # the second turn returns or raises


def read_texts(path: Path, form: Form) -> pa.Table:
    """Return every column of a CSV or Parquet file as text, trimmed, with null where a value is missing.

    Raises DataError when the file is empty, has no rows, or cannot be read as a table.
    """
    names = read_names(path, form)
    with open_source(path) as file:
        parquet = detect_format(_read_head(file, path)) == "Parquet"
    table = read_columns(path, form, dict.fromkeys(names, "category"))
    if not table.num_rows:
        raise DataError(f"{path} has a header and no rows." if not parquet else f"{path} has no rows.")
    return table


@dataclass(frozen=True)
class Source:
    """A raw table that was opened: where it came from, what it is, and the names of its columns."""

    name: Path
    file: IO[bytes]
    format: Format
    form: Form
    names: list[str]


def open_table(name: Path, stream: IO[bytes], form: Form, expected: Sequence[str]) -> Source:
    """Return a stream (from its start, not seekable for a pipe) as a table; Parquet needs a seekable one.

    `form` says how a CSV is written; where its separator does not give the `expected` columns, the others are tried.
    Without a header the columns are the `expected` ones, in their order. Raises DataError when the table is empty.
    """
    start = stream.read(2)
    stream = rejoin(start, stream)
    if start == b"\x1f\x8b":
        stream = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "gzip")
    head = _read_head(stream, name)
    format_ = detect_format(head)
    if format_ == "Parquet":
        return Source(name, stream, format_, form, [])
    file = rejoin(head, stream)
    if format_ == "JSON lines":
        return Source(name, file, format_, form, list(expected))
    forms = [form, *(replace(form, separator=mark) for mark in SEPARATORS)]
    found = {each.separator: csv_names(head, each, name) for each in forms}
    form = next((each for each in forms if set(expected) <= set(found[each.separator])), forms[0])
    names = found[form.separator]
    if not form.header and len(names) == len(expected):
        names = list(expected)
    return Source(name, file, format_, form, _check_names(names, name))


def rejoin(head: bytes, rest: IO[bytes]) -> IO[bytes]:
    """Return a stream whose first bytes were read already as one that has them again."""
    return io.BufferedReader(_Rejoined(head, rest), BLOCK_BYTES)


class _Rejoined(io.RawIOBase):
    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self.head, self.rest = memoryview(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self.head[: len(buffer)] or self.rest.read(len(buffer))
        self.head = self.head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def stream_columns(source: Source, roles: Mapping[str, Role]) -> Iterator[pa.Table]:
    """Yield the columns that `roles` names, typed, in batches of bounded size and in the file's order.

    Raises DataError naming the row at fault.
    """
    path, row = source.name, 1 + (source.form.header and source.format == "CSV")
    try:
        if source.format == "JSON lines":
            yield from _json_batches(source.file, roles, path)
            return
        if source.format == "Parquet":
            parquet = pq.ParquetFile(source.file, pre_buffer=False)
            batches: Iterator[Any] = parquet.iter_batches(BATCH_ROWS, columns=list(roles), use_threads=False)
        else:
            batches = iter(csv.open_csv(source.file, **_csv_options(source.form, source.names, roles, threads=False)))
        for batch in batches:
            table = pa.Table.from_batches([batch])
            if source.format == "Parquet":
                table = _cast(table, roles, path, row)
            yield _settle(table, roles, path, row)
            row += table.num_rows
    except pa.ArrowException as error:
        raise (_damaged(path, error) if source.format == "Parquet" else refusal(error, path, source.names)) from error
    except OSError as error:
        raise _damaged(path, error) from error


def to_column(column: pa.ChunkedArray | pa.Array) -> Column:
    """Return a typed Arrow column as the encoding takes it: float64 with NaN where missing, or text."""
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


def refusal(error: Exception, path: Path, names: Sequence[str]) -> DataError:
    """Return Arrow's complaint about a text file as one sentence: file, row, column, value, what to do."""
    message = " ".join(str(error).split())
    row = re.search(r"Row #(\d+)", message)
    where = f"{path}, row {row[1]}" if row else str(path)
    if found := re.search(r"Expected (\d+) columns, got (\d+)", message):
        return DataError(f"{where}: {found[2]} values instead of {found[1]}: mend that row, or quote its separators.")
    column = re.search(r"column #(\d+)", message)
    name = names[int(column[1])] if column and int(column[1]) < len(names) else "a column"
    if "UTF8" in message:
        return DataError(f"{where}: {name} is not UTF-8: save the file as UTF-8.")
    if found := re.search(r"conversion error to (\w+).*invalid value '(.*)'$", message):
        kinds = {"double": "number", "bool": "boolean", "timestamp": "date"}
        word = WORDS[kinds.get(found[1], "number")]
        return DataError(
            f"{where}: {name} is {found[2]!r}, which is {word}: mend it, or name it as a missing value, "
            "or give the column another role."
        )
    return DataError(f"{where} cannot be read as a table: {message.rstrip('.')}.")


def _read_head(file: IO[bytes], path: Path) -> bytes:
    try:
        head = file.read(1 << 20)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    if not head.strip(b"\xef\xbb\xbf \r\n\t"):
        raise DataError(f"{path} is empty: it needs a header and rows.")
    return bytes(head)


def _check_names(names: list[str], path: Path) -> list[str]:
    empty = [number for number, name in enumerate(names, start=1) if not name]
    if empty:
        raise DataError(
            f"{path}: column {empty[0]} has no name: name it in the header, or say that there is no header."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]}: give each column a name of its own.")
    return names


def _csv_options(form: Form, names: Sequence[str], roles: Mapping[str, Role], threads: bool) -> dict[str, Any]:
    missing = [pad + text + end for text in form.missing for pad, end in (("", ""), (" ", ""), ("", " "))]
    return {
        "read_options": csv.ReadOptions(
            use_threads=threads,
            column_names=list(names),
            skip_rows_after_names=1 if form.header else 0,
            block_size=BLOCK_BYTES,
        ),
        "parse_options": csv.ParseOptions(delimiter=form.separator, newlines_in_values=True),
        "convert_options": csv.ConvertOptions(
            include_columns=list(roles),
            column_types={name: TYPES[role] for name, role in roles.items()},
            null_values=missing,
            strings_can_be_null=True,
            true_values=(*TRUE, "1"),
            false_values=(*FALSE, "0"),
        ),
    }


def _json_batches(file: IO[bytes], roles: Mapping[str, Role], path: Path) -> Iterator[pa.Table]:
    """Yield typed tables from JSON lines; a key that is absent is a missing value."""
    row, types = 1, {name: {"boolean": pa.bool_(), "number": pa.float64()}.get(role) for name, role in roles.items()}
    known = {name: kind or pa.string() for name, kind in types.items()}
    reader = json.open_json(
        file,
        read_options=json.ReadOptions(use_threads=False),
        parse_options=json.ParseOptions(explicit_schema=pa.schema(known), unexpected_field_behavior="ignore"),
    )
    for batch in reader:
        table = _cast(pa.Table.from_batches([batch]), roles, path, row)
        yield _settle(table, roles, path, row)
        row += table.num_rows


def _cast(table: pa.Table, roles: Mapping[str, Role], path: Path, row: int) -> pa.Table:
    """Return a Parquet file's (or JSON lines') columns in the types of their roles."""
    columns = {}
    for name, role in roles.items():
        column, wanted = table[name], TYPES[role]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_null(column.type):
            column = column.cast(wanted)
        if column.type != wanted and not (role == "id" and pa.types.is_integer(column.type)):
            try:
                column = _convert(column, wanted)
            except pa.ArrowException as error:
                raise _misfit(column, name, role, path, row) from error
        columns[name] = column
    return pa.table(columns)


def _convert(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_boolean(wanted) and pa.types.is_string(kind):
        return pc.cast(pc.utf8_lower(column), wanted)
    if pa.types.is_timestamp(wanted) and pa.types.is_timestamp(kind):
        return column.cast(wanted, safe=False)  # seconds are enough for a date
    if pa.types.is_string(wanted) and pa.types.is_boolean(kind):
        return pc.if_else(column, "true", "false")
    if pa.types.is_boolean(wanted) and not pa.types.is_boolean(kind):
        column = column.cast(pa.int64())
        if not pc.all(pc.is_in(column, pa.array([0, 1, None]))).as_py():
            raise pa.ArrowInvalid("neither 0 nor 1")
    return column.cast(wanted)


def _misfit(column: pa.ChunkedArray, name: str, role: Role, path: Path, row: int) -> DataError:
    for offset, value in enumerate(column):
        try:
            _convert(pa.chunked_array([pa.array([value.as_py()], type=column.type)]), TYPES[role])
        except pa.ArrowException:
            return DataError(
                f"{path}, row {row + offset}: {name} is {value.as_py()!r}, which is {WORDS.get(role, 'no text')}: "
                "mend it, or give the column another role."
            )
    return DataError(f"{path}: {name} is {column.type}, which is {WORDS.get(role, 'no text')}.")


def _settle(table: pa.Table, roles: Mapping[str, Role], path: Path, row: int) -> pa.Table:
    """Return a batch with text trimmed, NaN as missing, and no infinity in it; `row` is that of its first row."""
    columns = {}
    for name, role in roles.items():
        column = table[name]
        if role == "number":
            column = _check_finite(column, name, path, row)
        elif pa.types.is_string(column.type):
            column = _trim(column)
        columns[name] = column
    return pa.table(columns)


def _check_finite(column: pa.ChunkedArray, name: str, path: Path, row: int) -> pa.ChunkedArray:
    bounds = pc.min_max(column).as_py()
    for value in (bounds["min"], bounds["max"]):
        if value is not None and abs(value) == float("inf"):
            first = row + pc.index(column, pa.scalar(value)).as_py()
            raise DataError(f"{path}, row {first}: {name} is {value}: mend it, or leave it empty if it is not known.")
    if pc.any(pc.is_nan(column)).as_py():
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    return column


def _trim(column: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"{path} is damaged or cut off ({reason}): copy it again from where it came.")


def missing_columns(wanted: Sequence[str], names: Sequence[str], path: Path) -> None:
    """Raise DataError when `names`, a file's columns, lack one of `wanted`, with a guess at one that was renamed."""
    lacking = [name for name in wanted if name not in names]
    if lacking:
        free = [name for name in names if name not in wanted]
        guess = closest(lacking[0], free)
        raise DataError(f"{path} has no column {', '.join(lacking)}{guess}; it has: {', '.join(names)}.")
