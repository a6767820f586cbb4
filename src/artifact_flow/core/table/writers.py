"""Writers: write Arrow tables as CSV, Parquet or JSON lines, at once or batch by batch."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from artifact_flow.core.base.errors import FileError
from artifact_flow.core.base.files import replace_files

STREAM = Path("-")  # standard output; standard input for readers
SPECIAL = '[",\r\n]'  # characters because of which a text must be quoted


def write_csv(rows: pa.Table, path: Path) -> None:
    """Write a table as CSV; texts are quoted only if one of the table's texts needs quotes."""
    csv.write_csv(rows, path, _csv_options(needs_quotes(rows)))


def needs_quotes(rows: pa.Table) -> bool:
    """Return whether any text contains a comma, a quote or a line break."""
    # pyarrow's "needed" quotes every text, "none" rejects text that needs quotes
    texts = [column for column in rows.columns if pa.types.is_string(column.type)]
    return any(pc.any(pc.match_substring_regex(pc.unique(column), SPECIAL)).as_py() for column in texts)


@contextmanager
def open_writer(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends a batch to `path`: Parquet or JSON lines by its suffix, else CSV.

    The file is replaced when the block succeeds and unchanged when it fails.
    """
    with _part(path) as part:
        if path.suffix == ".jsonl":
            yield lambda rows: _append_lines(rows, part)
        elif path.suffix == ".parquet":
            parquet: list[pq.ParquetWriter] = []  # created by the first batch, with its types
            try:
                yield lambda rows: _append_parquet(rows, part, parquet)
            finally:
                for writer in parquet:
                    writer.close()
        else:
            header = iter([True])  # before the first batch only
            yield lambda rows: _append_csv(rows, part, next(header, False))


def _append_lines(rows: pa.Table, part: IO[bytes]) -> None:
    for place, column in enumerate(rows.columns):
        if pa.types.is_floating(column.type):  # JSON has no infinities and no NaN
            known = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
            rows = rows.set_column(place, rows.column_names[place], known)
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows.to_pylist())
    part.write(b"".join(line.encode() + b"\n" for line in lines))


def _append_parquet(rows: pa.Table, part: IO[bytes], parquet: list[pq.ParquetWriter]) -> None:
    if not parquet:
        texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
        ids = {field.name: "DELTA_BINARY_PACKED" for field in rows.schema if pa.types.is_integer(field.type)}
        writer = pq.ParquetWriter(part, rows.schema, compression="zstd", use_dictionary=texts, column_encoding=ids)
        parquet.append(writer)
    try:
        parquet[0].write_table(rows.cast(parquet[0].schema))
    except pa.ArrowInvalid as error:
        raise FileError(
            f"the inputs' ids are of two types ({' '.join(str(error).split())}): predict each into a separate file, "
            "or write CSV."
        ) from error


def _append_csv(rows: pa.Table, part: IO[bytes], header: bool) -> None:
    csv.write_csv(rows, part, _csv_options(needs_quotes(rows), header))


@contextmanager
def _part(path: Path) -> Iterator[IO[bytes]]:
    if path == STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists() and not path.is_file():  # a pipe or a device is written to, not replaced
        try:
            with path.open("wb") as file:
                yield file
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise FileError(f"cannot write {path}: {error.strerror}: name a file.") from error
        return
    with replace_files(path) as (part,), part.open("wb") as file:
        yield file


def _csv_options(quotes: bool, header: bool = True) -> csv.WriteOptions:
    style = "needed" if quotes else "none"
    # 1024 rows at a time, pyarrow's default, takes a third longer
    return csv.WriteOptions(include_header=header, quoting_style=style, quoting_header="none", batch_size=1 << 14)
