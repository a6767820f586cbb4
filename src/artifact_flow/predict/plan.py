"""Plan: which rows make which part of the output. The same inputs give the same plan, on one machine or many."""

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
from artifact_flow.core.table.raw_rows import count_rows
from artifact_flow.core.table.source import PARQUET, Form, Source, detect_format, open_parquet, parquet_names
from artifact_flow.predict.files import Report, input_roles, note_ignored, open_rows
from artifact_flow.predict.places import File, is_url, open_file, read_start

PARTITION_ROWS = 1 << 20  # that a run of a Parquet file's row groups has at least, where it is not the last one

Format: TypeAlias = Literal["parquet", "csv", "jsonl"]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Input(_Part):
    """A file of rows, as it was when the plan was made."""

    name: str
    format: Literal["CSV", "Parquet", "JSON lines"]
    size: int
    sha256: str | None  # of a local file's bytes
    etag: str | None  # of an object: a hash would cost a second download
    ids: Literal["text", "number", "row number"]
    rows: list[int]  # of each row group; of a text file all, or none where its own ids made counting needless


class Partition(_Part):
    """The rows that make one part of the output."""

    number: int
    input: int  # its number
    groups: tuple[int, int] | None  # first row group, and the one behind the last; None: the whole file
    skipped: int  # rows of the file before these
    first: int  # the number over all inputs of the first row, where rows have no ids of their own
    rows: int | None  # None: not counted
    size: int  # bytes of the file that it reads, about

    @property
    def stem(self) -> str:
        """The number as names of files have it."""
        return f"{self.number:05}"


class Hashes(_Part):
    """The sha256 of the files that predict."""

    model: str
    contract: str


class Plan(_Part):
    """What a job does: written first, into plan.json, so that it is told from another job."""

    version: Literal[1] = 1
    model: str
    sha256: Hashes
    format: Format
    ids: Literal["text", "number"]
    inputs: list[Input]
    partitions: list[Partition]

    def content(self) -> bytes:
        """Return the plan as plan.json holds it."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


@contextmanager
def open_input(
    file: File, contract: Contract, report: Report, groups: tuple[int, int] | None = None, skipped: int = 0
) -> Iterator[Source]:
    """Yield a file as a table, of Parquet some row groups, with `skipped` rows before them.

    What it holds beside what the model knows is noted in the report. Raises DataError when it is no table, or lacks a
    column.
    """
    if detect_format(read_start(file.url, len(PARQUET))) == "Parquet":
        # Arrow reads a local file by its path, without Python
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
    """Return what the plan needs to know of a file: its identity, its kind of ids and its rows.

    Raises DataError when it is no table of this contract.
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


def make_plan(inputs: Sequence[Input], model: str, hashes: Hashes, format_: Format) -> Plan:
    """Return the plan for inputs in their order.

    Raises DataError when the inputs' ids are of several kinds, or when there are no rows.
    """
    kinds = {one.ids: one.name for one in reversed(inputs)}
    if len(kinds) > 1:
        told = ", ".join(f"{kind} in {name}" for kind, name in kinds.items())
        raise DataError(f"the inputs' ids are of several kinds ({told}): predict each kind into a folder of its own.")
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
        raise DataError(f"{inputs[0].name} has no rows, nor has another input: there is nothing to predict.")
    ids: Literal["text", "number"] = "text" if "text" in kinds else "number"
    return Plan(model=model, sha256=hashes, format=format_, ids=ids, inputs=list(inputs), partitions=partitions)


def cut_groups(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return runs of row groups of PARTITION_ROWS rows or the least more, the last one's rest aside; none is empty."""
    runs, start, held = [], 0, 0
    for number, count in enumerate(rows, start=1):
        held += count
        if held >= PARTITION_ROWS or (held and number == len(rows)):
            runs.append((start, number))
            start, held = number, 0
    return runs
