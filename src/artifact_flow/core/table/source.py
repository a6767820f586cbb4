"""Source: what a raw table is (CSV, Parquet or JSON lines, gzip or not), how it is written, and its columns' names.

The format is detected from the first bytes, never from the file's name. `typed_rows` and `raw_rows` read the rows.
"""

import csv as text_csv
import io
import json as text_json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.complaints import damaged_file
from artifact_flow.core.table.dialect import SEPARATORS, SNIFFED_ROWS, clean
from artifact_flow.core.table.ending import MARK, OPEN_QUOTE
from artifact_flow.core.table.form import Form, Name
from artifact_flow.core.table.kinds import refuse_others
from artifact_flow.core.table.names import Header, name_columns
from artifact_flow.core.table.streams import rejoin

Format = Literal["CSV", "Parquet", "JSON lines"]
# The type of a JSON value; a column takes the type of its first value.
JSON_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"  # the first bytes of such files
START_BYTES = 64  # enough to detect the format and a byte order mark
HEAD_BYTES = 1 << 20  # enough to detect the format, the separator and the names
NO_BLANK = re.compile(r"\S")
COLUMN_BYTES = 1 << 16  # read at a time from a Parquet column, so that a whole column chunk is never in memory


@dataclass(frozen=True)
class Source:
    """An opened raw table: its name, format and form, and the names of its columns."""

    name: Name
    file: Any  # a stream; for Parquet, a path or a seekable file
    format: Format
    form: Form
    names: list[str]
    types: Mapping[str, pa.DataType] = field(default_factory=dict)  # of JSON lines, by their first values
    groups: Sequence[int] | None = None  # of Parquet: the row groups to read; None: all
    skipped: int = 0  # rows before these groups
    renamed: Mapping[str, str] = field(default_factory=dict)  # name → the same name of an earlier column, in a CSV

    @property
    def first_row(self) -> int:
        """The number of the first row of values."""
        return 1 + (self.form.header and self.format == "CSV") + self.skipped


def detect_format(head: bytes) -> Format:
    """Return a file's format, detected from its first bytes after unpacking."""
    if head.startswith(PARQUET):
        return "Parquet"
    return "JSON lines" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "CSV"


def open_raw(path: Path) -> IO[bytes]:
    """Open a file without unpacking it; raise DataError when it cannot be opened."""
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}: name a CSV, Parquet or JSON lines file.") from error


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file and unpack gzip while reading; raise DataError when it cannot be opened."""
    with open_raw(path) as file:
        packed = file.read(2) == GZIP
    return pa.input_stream(str(path), compression="gzip" if packed else None)  # type: ignore[no-any-return]


def open_source(path: Path, form: Form) -> IO[bytes]:
    """Open a file as `open_unpacked` does, and clean a text table while reading."""
    stream = open_unpacked(path)
    try:
        start = stream.read(START_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise damaged_file(path, error) from error
    if detect_format(start) == "CSV":
        whole = rejoin(start, stream)
        cleaned = clean(whole, start, form, path)
        if cleaned is not whole:
            return cleaned
    return open_unpacked(path)  # Arrow reads the file without going through Python


def open_table(name: Name, stream: IO[bytes], form: Form, expected: Sequence[str]) -> Source:
    """Return a stream, read from its start, as a source; it need not be seekable unless it is Parquet.

    `form` declares how a CSV is written; if its separator does not give the `expected` columns, the other separators
    are tried. Raises DataError when the table is empty.
    """
    start = stream.read(2)
    stream = rejoin(start, stream)
    if start == GZIP:
        stream = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "gzip")
    head = read_head(stream, name)
    format_ = detect_format(head)
    file = rejoin(head, stream)
    if format_ == "Parquet":
        return Source(name, file, format_, form, [])
    if format_ == "JSON lines":
        types = _json_types(head)
        return Source(name, file, format_, form, list(types), types)
    cleaned = clean(file, head[:START_BYTES], form, name)
    if cleaned is not file:
        head = read_head(cleaned, name)
        file = rejoin(head, cleaned)
    header = csv_header(head, form, name)
    for mark in SEPARATORS:
        with suppress(DataError):
            found = csv_header(head, replace(form, separator=mark), name)
            if not set(expected) <= set(header.names) and set(expected) <= set(found.names):
                form, header = replace(form, separator=mark), found
    return Source(name, file, format_, form, header.names, renamed=header.renamed)


def open_parquet(file: Any, name: Name) -> pq.ParquetFile:
    """Open a Parquet file, given as a path or a seekable file; raise DataError when it is damaged."""
    buffer = COLUMN_BYTES if isinstance(file, str | Path) else 0  # a store sends a whole column chunk per request
    try:
        return pq.ParquetFile(file, buffer_size=buffer, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise damaged_file(name, error) from error


def read_names(path: Path, form: Form) -> list[str]:
    """Return the names of a file's columns; column_1, column_2 … for a CSV without a header.

    Raises DataError when the file is empty, or, unless it is a CSV, when a name is empty or occurs twice.
    """
    return read_header(path, form).names


def read_header(path: Path, form: Form) -> Header:
    """Return the names of a file's columns as `read_names` does, and as the file gives them."""
    with open_source(path, form) as file:
        head = read_head(file, path)
    format_ = detect_format(head)
    if format_ == "CSV":
        return csv_header(head, form, path)
    names = parquet_names(path, path) if format_ == "Parquet" else _check_names(list(_json_types(head)), path)
    return Header(names, names)


def parquet_names(file: Any, name: Name) -> list[str]:
    """Return the column names of a Parquet file, given as a path or a seekable file; errors call it `name`."""
    return _check_names(open_parquet(file, name).schema_arrow.names, name)


def csv_header(head: bytes, form: Form, path: Name) -> Header:
    """Return the columns in the first bytes of a CSV; raise DataError when it has no row or is not UTF-8."""
    first, *rows = csv_rows(head, form, path)
    if form.header:
        return name_columns(first, rows)
    names = [f"column_{place}" for place in range(1, len(first) + 1)]
    return Header(names, names)


def csv_rows(head: bytes, form: Form, path: Name) -> list[list[str]]:
    """Return the first rows of a CSV, the header being one; raise DataError when it has no row or is not UTF-8."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # otherwise the head merely ends within a character
            row = head[: error.start].count(b"\n") + 1
            raise DataError(
                f"{path}, row {row}: not UTF-8 (byte {error.start}): save the file as UTF-8, or name its "
                "encoding, as `init --encoding` does."
            ) from error
        text = head[: error.start].decode("utf-8-sig")
    whole = len(head) < HEAD_BYTES
    reader = text_csv.reader(io.StringIO(f"{text}\n{MARK}" if whole else text, newline=""), delimiter=form.separator)
    try:
        first = next(reader)
        rows = list(islice(filter(None, reader), SNIFFED_ROWS))
    except text_csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: {error}: close every quotation mark.") from error
    if whole and any(MARK in value for value in first):
        raise DataError(f"{path}, row 1: {OPEN_QUOTE}")
    if not first:
        raise DataError(f"{path} begins with an empty line: remove it, so that the first line is the header.")
    if rows and (rows[-1] == [MARK] if whole else len(rows) < SNIFFED_ROWS):
        rows = rows[:-1]  # our own, or the head ends within it
    if whole and form.header and not rows:
        raise DataError(f"{path} has a header and no rows.")
    return [first, *rows]


def read_start(path: Path, form: Form) -> str | None:
    """Return the first text of a CSV, decoded and cleaned; None for a file that is not CSV."""
    with open_source(path, form) as file:
        head = read_head(file, path)
    return head.decode("utf-8-sig", errors="replace") if detect_format(head) == "CSV" else None


def read_head(file: IO[bytes], path: Name) -> bytes:
    """Return the first bytes of an unpacked file; raise DataError when it is damaged or empty."""
    try:
        head = file.read(HEAD_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise damaged_file(path, error) from error
    if not head.strip(b"\xef\xbb\xbf \r\n\t"):
        raise DataError(f"{path} is empty: it needs a header and rows.")
    refuse_others(head, path)
    return bytes(head)


def _check_names(names: list[str], path: Name) -> list[str]:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(f"{path} has several columns named {', '.join(twice)}: give each column a different name.")
    return names


def _json_types(head: bytes) -> dict[str, pa.DataType]:
    """Return each key in the first bytes of JSON lines with the type of its first non-null value."""
    types: dict[str, pa.DataType] = {}
    text, place, decoder = head.decode("utf-8-sig", errors="replace"), 0, text_json.JSONDecoder()
    with suppress(ValueError):  # the head ends within a row, or the row is invalid, which its reader reports
        while first := NO_BLANK.search(text, place):
            row, place = decoder.raw_decode(text, first.start())
            for name, value in row.items() if isinstance(row, dict) else ():
                if types.get(name, pa.null()) == pa.null():
                    types[name] = pa.null() if value is None else JSON_TYPES.get(type(value), pa.string())
    return types
