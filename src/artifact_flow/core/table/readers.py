"""Readers: CSV, Parquet and JSON lines become Arrow columns of declared types. The only module that reads raw tables.

What a file is, its first bytes tell, not its name; gzip is unpacked on the way. A value that does not fit its column
is refused with its row, counted as a spreadsheet does: the header is row 1.
"""

import csv as text_csv
import io
import json as text_json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv, json

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import MISSING, Role, TableParams
from artifact_flow.core.table.columns import FALSE, TRUE, TYPES, WORDS, Name, no_fit, type_columns

Format = Literal["CSV", "Parquet", "JSON lines"]
SEPARATORS = (",", ";", "\t")
# What a value of JSON becomes; a column takes the type of its first value.
JSON_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
JSON_WORDS = {
    "string": "text",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}
JSON_KINDS = {bool: "true or false", str: "text", list: "a list", dict: "an object"}
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"  # how their files begin
HEAD_BYTES = 1 << 20  # that tell what a file is
SNIFFED_ROWS = 20
NO_BLANK = re.compile(r"\S")
BATCH_ROWS = 1 << 16
BLOCK_BYTES = 1 << 22
COLUMN_BYTES = 1 << 16  # of a Parquet column that are read at a time: its chunk is never in memory as a whole
PADDING = 4  # blanks on one side of what stands for a missing value or a boolean are fewer


@dataclass(frozen=True)
class Form:
    """How a text table is written."""

    separator: str = ","
    header: bool = True
    missing: tuple[str, ...] = MISSING

    @staticmethod
    def of(table: TableParams) -> "Form":
        """Return how one's own text table is written."""
        return Form(table.separator, table.header, tuple(table.missing))


def detect_format(head: bytes) -> Format:
    """Return what a file is from its first (unpacked) bytes."""
    if head.startswith(PARQUET):
        return "Parquet"
    return "JSON lines" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "CSV"


def open_raw(path: Path) -> IO[bytes]:
    """Return a file as it is; raise DataError when it cannot be opened."""
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}: name a CSV, Parquet or JSON lines file.") from error


def open_source(path: Path) -> IO[bytes]:
    """Return a file, unpacked where it is gzip; raise DataError when it cannot be opened."""
    with open_raw(path) as file:
        packed = file.read(2) == GZIP
    return pa.input_stream(str(path), compression="gzip" if packed else None)  # type: ignore[no-any-return]


def read_names(path: Path, form: Form) -> list[str]:
    """Return the names of a file's columns; column_1, column_2 … for a CSV without a header.

    Raises DataError when the file is empty or a name is empty or stands twice.
    """
    with open_source(path) as file:
        head = _read_head(file, path)
    format_ = detect_format(head)
    if format_ == "Parquet":
        return parquet_names(path, path)
    return _check_names(list(_json_types(head)) if format_ == "JSON lines" else csv_names(head, form, path), path)


def parquet_names(file: Any, name: Name) -> list[str]:
    """Return the column names of a Parquet file, a path or what can be read from its end; `name` is its own."""
    return _check_names(open_parquet(file, name).schema_arrow.names, name)


def csv_names(head: bytes, form: Form, path: Name) -> list[str]:
    """Return the column names in the first bytes of a CSV; raise DataError when it holds no row, or is no UTF-8."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else the head ends within a character
            row = head[: error.start].count(b"\n") + 1
            raise DataError(f"{path}, row {row}: not UTF-8 (byte {error.start}): save the file as UTF-8.") from error
        text = head[: error.start].decode("utf-8-sig")
    rows = text_csv.reader(io.StringIO(text, newline=""), delimiter=form.separator)
    try:
        first = next(rows)
        second = next(filter(None, rows), None) if form.header else first
    except text_csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: {error}: close every quotation mark.") from error
    if not first:
        raise DataError(f"{path} begins with an empty line: remove it, so that the first line is the header.")
    if not second and len(head) < HEAD_BYTES:
        raise DataError(f"{path} has a header and no rows.")
    return [" ".join(name.split()) for name in first] if form.header else [f"column_{i + 1}" for i in range(len(first))]


def sniff_separator(path: Path) -> str:
    """Return the one of comma, semicolon and tab that parts the first rows of a text file most evenly, and most often.

    A comma for a file that is no CSV.
    """
    with open_source(path) as file:
        head = _read_head(file, path)
    if detect_format(head) != "CSV":
        return ","
    text = head.decode("utf-8-sig", errors="replace")

    def evenness(mark: str) -> tuple[bool, int]:
        rows = text_csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        try:
            counts = [len(row) for row in islice(filter(None, rows), SNIFFED_ROWS)]
        except text_csv.Error:
            return False, 0
        return min(counts) == max(counts) > 1, counts[0]

    return max(SEPARATORS, key=evenness)


def read_columns(path: Path, form: Form, roles: Mapping[str, Role]) -> pa.Table:
    """Return the columns that `roles` names, typed, all rows at once.

    Raises DataError naming the row at fault, or a column that is missing.
    """
    with open_source(path) as file:
        format_ = detect_format(_read_head(file, path))
    if format_ == "Parquet":
        try:
            table = open_parquet(path, path).read(columns=list(roles))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error
        return type_columns(table, roles, form.missing, path, 1)
    if format_ == "JSON lines":
        with open_source(path) as file:
            return pa.concat_tables(stream_columns(open_table(path, file, form, []), roles))
    names = read_names(path, form)
    for threads in (True, False):  # only one thread counts the rows of what it refuses
        try:
            with open_source(path) as file:
                table = csv.read_csv(file, **_csv_options(form, names, roles, threads))
        except pa.ArrowException as error:
            if not threads:
                raise refusal(error, path, names) from error
        except OSError as error:
            raise _damaged(path, error) from error
        else:
            return type_columns(table, roles, form.missing, path, 1 + form.header)
    raise AssertionError  # the second turn returns or raises


def read_texts(path: Path, form: Form, names: Sequence[str]) -> pa.Table:
    """Return some columns of a file as text, trimmed, with null where a value is missing.

    Raises DataError when the file is empty, has no rows, or cannot be read as a table.
    """
    table = read_columns(path, form, dict.fromkeys(names, "category"))
    if not table.num_rows:
        raise DataError(f"{path} has no rows.")
    return table


@dataclass(frozen=True)
class Source:
    """A raw table that was opened: where it came from, what it is, and the names of its columns."""

    name: Name
    file: Any  # a stream; of Parquet a path, or what can be read from its end
    format: Format
    form: Form
    names: list[str]
    types: Mapping[str, pa.DataType] = field(default_factory=dict)  # of JSON lines, as their first values have them
    groups: Sequence[int] | None = None  # of Parquet: the row groups to read, all where it is None
    skipped: int = 0  # rows before those

    @property
    def first_row(self) -> int:
        """The number of the first row of values."""
        return 1 + (self.form.header and self.format == "CSV") + self.skipped


def open_table(name: Name, stream: IO[bytes], form: Form, expected: Sequence[str]) -> Source:
    """Return a stream (from its start, not seekable for a pipe) as a table; Parquet needs a seekable one.

    `form` says how a CSV is written; where its separator does not give the `expected` columns, the others are tried.
    Without a header the columns are the `expected` ones, in their order. Raises DataError when the table is empty.
    """
    start = stream.read(2)
    stream = rejoin(start, stream)
    if start == GZIP:
        stream = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "gzip")
    head = _read_head(stream, name)
    format_ = detect_format(head)
    file = rejoin(head, stream)
    if format_ == "Parquet":
        return Source(name, file, format_, form, [])
    if format_ == "JSON lines":
        types = _json_types(head)
        return Source(name, file, format_, form, list(types), types)
    names = csv_names(head, form, name)
    for mark in SEPARATORS:
        with suppress(DataError):
            found = csv_names(head, replace(form, separator=mark), name)
            if not set(expected) <= set(names) and set(expected) <= set(found):
                form, names = replace(form, separator=mark), found
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
    path, row = source.name, source.first_row
    try:
        for batch in _batches(source, roles):
            table = pa.Table.from_batches([batch])
            yield type_columns(table, roles, source.form.missing, path, row)
            row += table.num_rows
    except pa.ArrowException as error:
        raise (
            _damaged(path, error) if source.format == "Parquet" else refusal(error, path, source.names, row)
        ) from error
    except OSError as error:
        raise _damaged(path, error) from error
    if row == source.first_row:
        raise DataError(f"{path} has no rows.")


def _batches(source: Source, roles: Mapping[str, Role]) -> Iterator[pa.RecordBatch]:
    if source.format == "Parquet":
        parquet = open_parquet(source.file, source.name)
        yield from parquet.iter_batches(BATCH_ROWS, row_groups=source.groups, columns=list(roles), use_threads=False)
    elif source.format == "CSV":
        yield from csv.open_csv(source.file, **_csv_options(source.form, source.names, roles, threads=False))
    else:
        yield from json.open_json(
            source.file,
            read_options=json.ReadOptions(use_threads=False),
            parse_options=json.ParseOptions(
                explicit_schema=_json_schema(source.types, roles), unexpected_field_behavior="ignore"
            ),
        )


def count_rows(source: Source) -> int:
    """Return the number of rows of a CSV or of JSON lines, readable or not; raise DataError when it is damaged."""
    if source.format == "JSON lines":
        try:
            return sum(1 for line in source.file if line.strip())
        except (pa.ArrowException, OSError) as error:
            raise _damaged(source.name, error) from error
    ragged: list[int] = []
    first: dict[str, Role] = {source.names[0]: "category"}
    rows = sum(len(numbers) for numbers, _ in stream_raw(source, first, lambda row, _: ragged.append(row)))
    return rows + len(ragged)


def stream_raw(
    source: Source, roles: Mapping[str, Role], unreadable: Callable[[int, str], object]
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yield the columns that `roles` names as they stand, in batches, with the number of each row in the file.

    `unreadable` is told the number of a line that is no row, and why, before the batch that it would have stood in.
    Raises DataError when the file is damaged.
    """
    try:
        if source.format == "CSV":
            yield from _raw_csv(source, roles, unreadable)
        elif source.format == "JSON lines":
            yield from _raw_lines(source, roles, unreadable)
        else:
            row = source.first_row
            for batch in _batches(source, roles):
                yield np.arange(row, row + len(batch)), pa.Table.from_batches([batch])
                row += len(batch)
    except pa.ArrowException as error:
        text = source.format == "CSV"
        raise refusal(error, source.name, source.names) if text else _damaged(source.name, error) from error
    except OSError as error:
        raise _damaged(source.name, error) from error


def _raw_csv(
    source: Source, roles: Mapping[str, Role], unreadable: Callable[[int, str], object]
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    ragged: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        ragged.append(row.number)
        unreadable(row.number, ragged_row(row.expected_columns, row.actual_columns))
        return "skip"

    texts: dict[str, Role] = dict.fromkeys(roles, "category")
    options = _csv_options(source.form, source.names, texts, threads=False)  # only one thread numbers its rows
    options["parse_options"].invalid_row_handler = skip
    row = source.first_row
    for batch in csv.open_csv(source.file, **options):
        numbers = np.arange(row, row + len(batch) + len(ragged))
        numbers = numbers[~np.isin(numbers, ragged)][: len(batch)]
        yield numbers, pa.Table.from_batches([batch])
        if len(batch):
            row = int(numbers[-1]) + 1
        ragged = [number for number in ragged if number >= row]


def _raw_lines(
    source: Source, roles: Mapping[str, Role], unreadable: Callable[[int, str], object]
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    schema, row = _json_schema(source.types, roles), source.first_row
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
    """Return a line's values of the schema's columns; raise ValueError where it is no object, or a value no fit."""
    try:
        row = text_json.loads(line)
    except text_json.JSONDecodeError as error:
        raise ValueError(f"no JSON ({error.msg} at character {error.pos + 1}): mend the line.") from error
    if not isinstance(row, dict):
        raise ValueError("no JSON object: write one on each line.")
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
    return float(str(value)) if pa.types.is_floating(column.type) else value  # through text: a huge one is infinite


def ragged_row(expected: object, found: object) -> str:
    """Return what is wrong with a row that has another number of values than there are columns."""
    return f"{found} values instead of {expected}: mend that row, or quote its separators."


def other_kind(name: str, found: str, wanted: str) -> str:
    """Return what is wrong with a JSON value of another kind than the column's first one."""
    return f"{name} is {found}, where {wanted} belongs: write it the same way in every row."


def refusal(error: Exception, path: Name, names: Sequence[str], row: int = 1) -> DataError:
    """Return Arrow's complaint about a text file as one sentence: file, row, column, value, what to do.

    `row` is the number of the first row of the batch in question, from which Arrow counts in JSON lines.
    """
    message = " ".join(str(error).split())
    where = str(path)
    if found := re.search(r"Row #(\d+)", message):
        where = f"{path}, row {found[1]}"
    elif found := re.search(r"\.? in row (\d+)$", message):
        where, message = f"{path}, row {row + int(found[1])}", message[: found.start()]
    if found := re.search(r"Expected (\d+) columns, got (\d+)", message):
        return DataError(f"{where}: {ragged_row(found[1], found[2])}")
    column = re.search(r"column #(\d+)", message)
    name = names[int(column[1])] if column and int(column[1]) < len(names) else "a column"
    if "UTF8" in message:
        return DataError(f"{where}: {name} is not UTF-8: save the file as UTF-8.")
    if found := re.search(r"conversion error to (\w+).*invalid value '(.*)'$", message):
        kinds = {"double": "number", "bool": "boolean", "timestamp": "date"}
        word = WORDS[kinds.get(found[1], "number")]
        return no_fit(where, name, repr(found[2]), word)
    if found := re.search(r"Column\(/(.*)\) changed from (\w+) to (\w+)$", message):
        wanted, is_ = (JSON_WORDS.get(kind, kind) for kind in found.group(2, 3))
        return DataError(f"{where}: {other_kind(found[1], is_, wanted)}")
    return DataError(f"{where} cannot be read as a table: {message.rstrip('.')}.")


def _read_head(file: IO[bytes], path: Name) -> bytes:
    try:
        head = file.read(HEAD_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    if not head.strip(b"\xef\xbb\xbf \r\n\t"):
        raise DataError(f"{path} is empty: it needs a header and rows.")
    return bytes(head)


def _check_names(names: list[str], path: Name) -> list[str]:
    empty = [number for number, name in enumerate(names, start=1) if not name]
    if empty:
        raise DataError(
            f"{path}: column {empty[0]} has no name: name it in the header, or say that there is no header."
        )
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]}: give each column a name of its own.")
    return names


def _csv_options(form: Form, names: Sequence[str], roles: Mapping[str, Role], threads: bool) -> dict[str, Any]:
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
            # Arrow reads a date only without blanks around it and without fractions: `_convert` does
            column_types={name: pa.string() if role == "date" else TYPES[role] for name, role in roles.items()},
            null_values=[*(" " * blanks for blanks in range(PADDING**2)), *_padded(form.missing)],
            strings_can_be_null=True,
            true_values=_padded((*TRUE, "1")),
            false_values=_padded((*FALSE, "0")),
        ),
    }


def _padded(texts: Sequence[str]) -> list[str]:
    return [" " * left + text + " " * right for text in texts for left in range(PADDING) for right in range(PADDING)]


def _json_types(head: bytes) -> dict[str, pa.DataType]:
    """Return each key in the first bytes of JSON lines with the type of its first value that is not null."""
    types: dict[str, pa.DataType] = {}
    text, place, decoder = head.decode("utf-8-sig", errors="replace"), 0, text_json.JSONDecoder()
    with suppress(ValueError):  # the head ends within a row, or the reader will say what is wrong with it
        while first := NO_BLANK.search(text, place):
            row, place = decoder.raw_decode(text, first.start())
            for name, value in row.items() if isinstance(row, dict) else ():
                if types.get(name, pa.null()) == pa.null():
                    types[name] = pa.null() if value is None else JSON_TYPES.get(type(value), pa.string())
    return types


def _json_schema(types: Mapping[str, pa.DataType], roles: Mapping[str, Role]) -> pa.Schema:
    kinds = {}
    for name, role in roles.items():
        kind = types.get(name, pa.null())
        if pa.types.is_null(kind) or (role == "number" and pa.types.is_integer(kind)):
            kind = TYPES[role]
        kinds[name] = pa.string() if role == "date" else kind
    return pa.schema(kinds)


def open_parquet(file: Any, name: Name) -> pq.ParquetFile:
    """Return a Parquet file, a path or what can be read from its end, opened; raise DataError when it is damaged."""
    buffer = COLUMN_BYTES if isinstance(file, str | Path) else 0  # a store is asked for a whole column chunk
    try:
        return pq.ParquetFile(file, buffer_size=buffer, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from error


def _damaged(path: Name, error: Exception) -> DataError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"{path} is damaged or cut off ({reason}): copy it again from where it came.")
