"""Partition: some rows of an input are predicted into one part of the output, in this process or on a worker.

A part is a file of predictions, a file of rejected rows if there are any, and a JSON summary of both. The summary is
written last and marks the part as finished.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.encoding import Findings
from artifact_flow.core.base.errors import DataError, ModelError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.table.columns import find_misfits, type_columns
from artifact_flow.core.table.raw_rows import stream_raw
from artifact_flow.core.table.source import Source
from artifact_flow.core.table.tables import ID
from artifact_flow.core.table.writers import open_writer
from artifact_flow.predict.files import (
    Predictor,
    Report,
    find_gaps,
    gap_reason,
    input_roles,
    open_pair,
    predict_batch,
    predict_batches,
)
from artifact_flow.predict.places import (
    File,
    find_again,
    hash_place,
    join,
    read_file,
    remove_file,
    staged_file,
    write_file,
)
from artifact_flow.predict.plan import Hashes, PartFormat, Partition, open_input

SUSPICIOUS = 100  # with more rejected rows than this, and more than half of the rows, the job fails


@dataclass(frozen=True)
class Shipped:
    """A model and its contract as bytes, because machines do not share a disk."""

    name: str
    model: bytes
    contract: bytes
    sha256: Hashes

    @staticmethod
    def of(path: Path) -> "Shipped":
        """Read a model file and the contract in its folder, which have passed their checks."""
        model, contract = path.read_bytes(), (path.parent / CONTRACT).read_bytes()
        hashes = Hashes(model=hash_bytes(model), contract=hash_bytes(contract))
        return Shipped(path.name, model, contract, hashes)

    def open(self) -> Predictor:
        """Check and open the model, once per process; raise ModelError when its bytes have changed."""
        return _open_shipped(self)


@lru_cache(maxsize=1)
def _open_shipped(shipped: Shipped) -> Predictor:
    if Hashes(model=hash_bytes(shipped.model), contract=hash_bytes(shipped.contract)) != shipped.sha256:
        raise ModelError(
            f"{shipped.name} reached a worker with different bytes, so it was not opened: run the command again."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, shipped.name)
        path.write_bytes(shipped.model)
        (path.parent / CONTRACT).write_bytes(shipped.contract)
        return open_pair(path, [shipped.sha256.model])


@dataclass(frozen=True)
class Assignment:
    """A partition with its input file, and with the folder and format of its output."""

    partition: Partition
    file: File
    plan: str  # the sha256 of plan.json
    out: str
    format: PartFormat
    ids: str

    def place(self, kind: str) -> str:
        """Return the path of a file of the part: its "part" (predictions), its "rejected" rows or its "summary"."""
        stem = f"{self.partition.number:05}"
        names = {
            "part": f"part-{stem}.{self.format}",
            "rejected": f"rejected-{stem}.jsonl",
            "summary": f"part-{stem}.json",
        }
        return join(self.out, names[kind])


class Part(BaseModel):
    """The summary of a finished part, with the unusual values in its rows."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    plan: str  # the sha256 of plan.json
    rows: int
    rejected: int
    sha256: str  # of the predictions
    rejected_sha256: str | None
    ignored: list[str]
    out_of_range: dict[str, int]
    unseen: dict[str, dict[str, int]]

    @property
    def findings(self) -> Findings:
        """The unusual values in the rows."""
        return Findings(dict(self.out_of_range), {name: dict(values) for name, values in self.unseen.items()})


@dataclass(frozen=True)
class Done:
    """A finished part, and whether an earlier run finished it."""

    number: int
    part: Part
    kept: bool


def finish_partition(assignment: Assignment, shipped: Shipped) -> Done:
    """Predict a partition's rows into its part, unless a complete part of the same plan exists.

    Raises DataError when the input is damaged, has changed, or mostly violates the contract.
    """
    kept = _kept_part(assignment)
    if kept:
        return Done(assignment.partition.number, kept, kept=True)
    find_again(assignment.file)
    model = shipped.open()
    try:
        part = _write_part(assignment, model, rejects=None)
    except DataError:
        with tempfile.TemporaryFile("w+b") as file:
            part = _write_part(assignment, model, Rejects(assignment, file))
    find_again(assignment.file)
    write_file(assignment.place("summary"), (part.model_dump_json() + "\n").encode())
    return Done(assignment.partition.number, part, kept=False)


def _kept_part(assignment: Assignment) -> Part | None:
    """Return the summary of an existing part, or None unless its plan and its files match."""
    summary = read_file(assignment.place("summary"))
    if summary is None:
        return None
    try:
        part = Part.model_validate_json(summary)
    except ValidationError:
        return None
    if part.plan != assignment.plan or hash_place(assignment.place("part")) != part.sha256:
        return None
    return part if hash_place(assignment.place("rejected")) == part.rejected_sha256 else None


def _write_part(assignment: Assignment, model: Predictor, rejects: "Rejects | None") -> Part:
    """Write predictions and rejected rows; without `rejects`, raise DataError at the first row that does not fit."""
    partition, report = assignment.partition, Report(rows=assignment.partition.first)
    with (
        open_input(assignment.file, model.contract, report, partition.groups, partition.skipped) as source,
        staged_file(assignment.place("part")) as path,
    ):
        if rejects:
            batches = _predict_fitting(source, model, report, rejects)
        else:
            batches = predict_batches(source, model, report)
        with open_writer(path) as write:
            for batch in batches:
                write(batch.set_column(0, ID, _cast_ids(batch[ID], assignment)))
        rows, rejected = report.rows - partition.first, rejects.count if rejects else 0
        if partition.rows not in (None, rows + rejected):
            raise DataError(
                f"{assignment.file.name} has {rows + rejected} rows, but {partition.rows} were counted: write one JSON "
                "object per line, and do not change the file while it is read."
            )
        if not rows:
            raise DataError(f"{assignment.file.name}: no row fits the contract; {rejects and rejects.first}")
        sha256 = hash_file(path)
    if rejected and rejects:
        with staged_file(assignment.place("rejected")) as path:
            rejects.copy_to(path)
            rejected_sha256 = hash_file(path)
    else:
        remove_file(assignment.place("rejected"))
    return Part(
        plan=assignment.plan,
        rows=rows,
        rejected=rejected,
        sha256=sha256,
        rejected_sha256=rejected_sha256 if rejected else None,
        ignored=report.ignored.get(assignment.file.name, []),
        out_of_range=report.findings.out_of_range,
        unseen=report.findings.unseen,
    )


def _cast_ids(ids: pa.ChunkedArray, assignment: Assignment) -> pa.ChunkedArray:
    try:
        return ids.cast(pa.string() if assignment.ids == "text" else pa.int64())
    except pa.ArrowException as error:
        raise DataError(f"{assignment.file.name}: an id does not fit 64 bits ({error}): write ids as text.") from error


@dataclass
class Rejects:
    """The rows that do not fit the contract, in order, in a temporary file."""

    assignment: Assignment
    file: IO[bytes]
    count: int = 0
    first: str = ""
    waiting: list[tuple[int, Any, str]] = field(default_factory=list)

    def add(self, row: int, id_: Any, reason: str) -> None:
        """Record a row: its number in the file, its id in the output, and what is wrong with it."""
        self.waiting.append((row, id_, reason))

    def write(self, upto: int, rows: int) -> None:
        """Write the recorded rows up to number `upto`; raise DataError when too many of the rows were rejected."""
        ready = sorted((one for one in self.waiting if one[0] <= upto), key=lambda one: one[0])
        self.waiting = [one for one in self.waiting if one[0] > upto]
        for row, id_, reason in ready:
            entry = {"input": self.assignment.file.name, "row": row, "id": id_, "reason": reason}
            self.file.write(json.dumps(entry, ensure_ascii=False, default=str).encode() + b"\n")
            self.first = self.first or f"the first is row {row}: {reason}"
        self.count += len(ready)
        if self.count > max(SUSPICIOUS, rows):
            raise DataError(
                f"{self.assignment.file.name}: {self.count} of {self.count + rows} rows do not fit the contract; "
                f"{self.first}"
            )

    def copy_to(self, path: Path) -> None:
        """Copy the temporary file to a path."""
        self.file.seek(0)
        with path.open("wb") as file:
            shutil.copyfileobj(self.file, file)


def _predict_fitting(source: Source, model: Predictor, report: Report, rejects: Rejects) -> Iterator[pa.Table]:
    """Yield what `predict_batches` yields for the rows that fit; record the others in `rejects`."""
    contract, form, first = model.contract, source.form, report.rows - source.first_row
    roles, identifier = input_roles(source.names, contract)

    def unreadable(row: int, reason: str) -> None:
        rejects.add(row, None if identifier else first + row, reason)

    for numbers, raw in stream_raw(source, roles, unreadable):
        reasons = find_misfits(raw, roles, form)
        places = np.setdiff1d(np.arange(len(raw)), list(reasons))
        fitting = np.ones(len(places), dtype=bool)
        typed = type_columns(raw.take(places), roles, form, source.name, 0) if len(places) else raw.slice(0, 0)
        for feature in contract.features:
            gaps = find_gaps(typed, feature, contract)
            for gap in np.flatnonzero(gaps.to_numpy() if gaps is not None else []).tolist():
                reasons.setdefault(int(places[gap]), gap_reason(feature))
                fitting[gap] = False
        for place, reason in reasons.items():
            row = int(numbers[place])
            rejects.add(row, raw[identifier][place].as_py() if identifier else first + row, reason)
        typed = typed.filter(pa.array(fitting))
        if len(typed):
            ids = typed[identifier] if identifier else pa.array(numbers[places[fitting]] + first)
            yield predict_batch(typed, ids, model, report.findings)
        report.rows += len(typed)
        rejects.write(upto=int(numbers.max(initial=0)), rows=report.rows - rejects.assignment.partition.first)
    rejects.write(upto=sys.maxsize, rows=report.rows - rejects.assignment.partition.first)
