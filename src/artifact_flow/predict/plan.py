"""Plan: which rows go into which part of the output. It depends on the inputs only, not on the number of machines."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.raw_rows import count_rows
from artifact_flow.core.table.source import PARQUET, Source, detect_format, open_parquet, parquet_names
from artifact_flow.predict.files import Report, input_roles, note_ignored, open_rows
from artifact_flow.predict.places import File, is_url, open_file, read_start

PARTITION_ROWS = 1 << 20  # minimum rows in a run of Parquet row groups, except for the last run of a file

PartFormat: TypeAlias = Literal["parquet", "csv", "jsonl"]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Input(_Record):
    """An input file, and its state when the plan was made."""

    name: str
    format: Literal["CSV", "Parquet", "JSON lines"]
    size: int
    sha256: str | None  # of a local file; None for an object
    etag: str | None  # of an object, because a hash would need a second download
    ids: Literal["text", "number", "row number"]
    rows: list[int]  # per Parquet row group; for a text file its total, or empty if it has its own ids


class Partition(_Record):
    """The rows that go into one part of the output."""

    number: int
    input: int  # index of the input
    groups: tuple[int, int] | None  # first row group, and the one after the last; None: the whole file
    skipped: int  # rows of the file before this partition
    first: int  # number of the first row, counted over all inputs; the id if rows have none
    rows: int | None  # None: not counted
    size: int  # approximate number of bytes to read

    @property
    def stem(self) -> str:
        """The number as it appears in file names."""
        return f"{self.number:05}"


class Hashes(_Record):
    """The sha256 of the model and of its contract."""

    model: str
    contract: str


class Plan(_Record):
    """The content of plan.json, which is written first and identifies the job."""

    version: Literal[1] = 1
    model: str
    sha256: Hashes
    format: PartFormat
    ids: Literal["text", "number"]
    inputs: list[Input]
    partitions: list[Partition]

    def content(self) -> bytes:
        """Return the bytes of plan.json."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


@contextmanager
def open_input(
    file: File, contract: Contract, report: Report, groups: tuple[int, int] | None = None, skipped: int = 0
) -> Iterator[Source]:
    """Open a file as a table; `groups` selects row groups of a Parquet file, with `skipped` rows before them.

    Columns that the model does not use are added to the report. Raises DataError when the file is not a table or lacks
    a column.
    """
    if detect_format(read_start(file.url, len(PARQUET))) == "Parquet":
        # given a path, Arrow reads a local file without going through Python
        with nullcontext(file.url) if not is_url(file.url) else open_file(file.url, seekable=True) as parquet:
            names = parquet_names(parquet, file.name)
            chosen = range(*groups) if groups else None
            source = Source(file.name, parquet, "Parquet", Form(), names, groups=chosen, skipped=skipped)
            note_ignored(source, contract, report)
            yield source
    else:
        with open_file(file.url) as stream:
            source = open_rows(file.name, stream, contract)
            note_ignored(source, contract, report)
            yield source


def survey_input(file: File, contract: Contract) -> Input:
    """Return the facts about a file that the plan needs: its identity, its kind of ids and its number of rows.

    Raises DataError when it is not a table that fits the contract.
    """
    with open_input(file, contract, Report()) as source:
        _, identifier = input_roles(source.names, contract)
        ids: Literal["text", "number", "row number"] = "row number"
        rows: list[int] = []
        if source.format == "Parquet":
            parquet = open_parquet(source.file, file.name)
            rows = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
        if identifier:
            kinds = (
                {identifier: parquet.schema_arrow.field(identifier).type}
                if source.format == "Parquet"
                else source.types
            )
            kind = kinds.get(identifier, pa.string())
            ids = "number" if pa.types.is_integer(kind) else "text"
        elif source.format != "Parquet":
            rows = [count_rows(source)]
    return Input(
        name=file.name,
        format=source.format,
        size=file.size,
        sha256=None if is_url(file.url) else hash_file(Path(file.url)),
        etag=file.state if is_url(file.url) else None,
        ids=ids,
        rows=rows,
    )


def make_plan(inputs: Sequence[Input], model: str, hashes: Hashes, format_: PartFormat) -> Plan:
    """Return the plan for the inputs, in the given order.

    Raises DataError when the inputs have different kinds of ids, or when there are no rows.
    """
    kinds = {one.ids: one.name for one in reversed(inputs)}
    if len(kinds) > 1:
        found = ", ".join(f"{kind} in {name}" for kind, name in kinds.items())
        raise DataError(f"the inputs have different kinds of ids ({found}): predict each kind into a separate folder.")
    partitions: list[Partition] = []
    first = 0
    for number, one in enumerate(inputs):
        for start, stop in cut_groups(one.rows) if one.format == "Parquet" else [(0, len(one.rows))]:
            rows = sum(one.rows[start:stop])
            partitions.append(
                Partition(
                    number=len(partitions),
                    input=number,
                    groups=(start, stop) if one.format == "Parquet" else None,
                    skipped=sum(one.rows[:start]),
                    first=first,
                    rows=rows if one.rows else None,
                    size=one.size * rows // sum(one.rows) if rows else one.size,
                )
            )
            first += rows
    if not partitions:
        raise DataError(f"{inputs[0].name} has no rows, and neither has any other input: there is nothing to predict.")
    ids: Literal["text", "number"] = "text" if "text" in kinds else "number"
    return Plan(model=model, sha256=hashes, format=format_, ids=ids, inputs=list(inputs), partitions=partitions)


def cut_groups(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return runs of row groups, each the shortest with PARTITION_ROWS rows except for the last; none is empty."""
    runs, start, held = [], 0, 0
    for number, count in enumerate(rows, start=1):
        held += count
        if held >= PARTITION_ROWS or (held and number == len(rows)):
            runs.append((start, number))
            start, held = number, 0
    return runs
