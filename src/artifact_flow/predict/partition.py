"""Partition: some rows of an input are predicted into one part of the output, here or on a worker.

A part is a file of predictions; one of rejected rows, where there are any; and, written last, a JSON file that says
what is in both, by which a part is known to be finished.
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
    Model,
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
    write_file,
    written_aside,
)
from artifact_flow.predict.plan import Format, Hashes, Partition, open_input

SUSPICIOUS = 100  # rejected rows, from which on more than half of the rows end the job


@dataclass(frozen=True)
class Shipped:
    """A model and its contract as bytes: machines do not share a disk."""

    name: str
    model: bytes
    contract: bytes
    sha256: Hashes

    @staticmethod
    def of(path: Path) -> "Shipped":
        """Return a model's file and the contract beside it; both were opened before."""
        model, contract = path.read_bytes(), (path.parent / CONTRACT).read_bytes()
        hashes = Hashes(model=hash_bytes(model), contract=hash_bytes(contract))
        return Shipped(path.name, model, contract, hashes)

    def open(self) -> Model:
        """Return the model, opened after its checks, once in a process; raise ModelError when its bytes are others."""
        return _open_shipped(self)


@lru_cache(maxsize=1)
def _open_shipped(shipped: Shipped) -> Model:
    if Hashes(model=hash_bytes(shipped.model), contract=hash_bytes(shipped.contract)) != shipped.sha256:
        raise ModelError(f"{shipped.name} reached a worker with other bytes, so it was not opened: run it again.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, shipped.name)
        path.write_bytes(shipped.model)
        (path.parent / CONTRACT).write_bytes(shipped.contract)
        return open_pair(path, [shipped.sha256.model])


@dataclass(frozen=True)
class Task:
    """A partition, and where its rows come from and go to."""

    partition: Partition
    file: File
    plan: str  # the sha256 of plan.json
    out: str
    format: Format
    ids: str

    def place(self, kind: str) -> str:
        """Return where a file of the part is: "part" and "rejected" rows, or what is "told" of them."""
        stem = f"{self.partition.number:05}"
        names = {
            "part": f"part-{stem}.{self.format}",
            "rejected": f"rejected-{stem}.jsonl",
            "told": f"part-{stem}.json",
        }
        return join(self.out, names[kind])


class Part(BaseModel):
    """What is told of a finished part, and of what was unusual in its rows."""

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
        """What was unusual in the rows."""
        return Findings(dict(self.out_of_range), {name: dict(values) for name, values in self.unseen.items()})


@dataclass(frozen=True)
class Done:
    """A finished part, and whether an earlier run had finished it."""

    number: int
    part: Part
    kept: bool


def finish_partition(task: Task, shipped: Shipped) -> Done:
    """Predict a partition's rows into its part, unless the part is there already, whole and of the same plan.

    Raises DataError when the input is damaged, was changed, or hardly a row of it fits.
    """
    kept = _kept_part(task)
    if kept:
        return Done(task.partition.number, kept, kept=True)
    find_again(task.file)
    model = shipped.open()
    try:
        part = _write_part(task, model, rejects=None)
    except DataError:
        with tempfile.TemporaryFile("w+b") as file:
            part = _write_part(task, model, Rejects(task, file))
    find_again(task.file)
    write_file(task.place("told"), (part.model_dump_json() + "\n").encode())
    return Done(task.partition.number, part, kept=False)


def _kept_part(task: Task) -> Part | None:
    """Return what is told of a part whose files are those that it tells of."""
    told = read_file(task.place("told"))
    if told is None:
        return None
    try:
        part = Part.model_validate_json(told)
    except ValidationError:
        return None
    if part.plan != task.plan or hash_place(task.place("part")) != part.sha256:
        return None
    return part if hash_place(task.place("rejected")) == part.rejected_sha256 else None


def _write_part(task: Task, model: Model, rejects: "Rejects | None") -> Part:
    """Write the predictions, and the rejected rows; without `rejects`, a row that does not fit raises DataError."""
    partition, report = task.partition, Report(rows=task.partition.first)
    with (
        open_input(task.file, model.contract, report, partition.groups, partition.skipped) as source,
        written_aside(task.place("part")) as aside,
    ):
        if rejects:
            batches = _predict_fitting(source, model, report, rejects)
        else:
            batches = predict_batches(source, model, report)
        with open_writer(aside) as write:
            for batch in batches:
                write(batch.set_column(0, ID, _cast_ids(batch[ID], task)))
        rows, rejected = report.rows - partition.first, rejects.count if rejects else 0
        if partition.rows not in (None, rows + rejected):
            raise DataError(
                f"{task.file.name} has {rows + rejected} rows where {partition.rows} were counted: write one JSON "
                "object on each line, and let nobody write while it is read."
            )
        if not rows:
            raise DataError(f"{task.file.name}: no row fits the contract; {rejects and rejects.first}")
        sha256 = hash_file(aside)
    if rejected and rejects:
        with written_aside(task.place("rejected")) as aside:
            rejects.copy_to(aside)
            rejected_sha256 = hash_file(aside)
    else:
        remove_file(task.place("rejected"))
    return Part(
        plan=task.plan,
        rows=rows,
        rejected=rejected,
        sha256=sha256,
        rejected_sha256=rejected_sha256 if rejected else None,
        ignored=report.ignored.get(task.file.name, []),
        out_of_range=report.findings.out_of_range,
        unseen=report.findings.unseen,
    )


def _cast_ids(ids: pa.ChunkedArray, task: Task) -> pa.ChunkedArray:
    try:
        return ids.cast(pa.string() if task.ids == "text" else pa.int64())
    except pa.ArrowException as error:
        raise DataError(f"{task.file.name}: an id does not fit 64 bits ({error}): write ids as text.") from error


@dataclass
class Rejects:
    """The rows that do not fit, in a file of their own, in their order; raises DataError when they are too many."""

    task: Task
    file: IO[bytes]
    count: int = 0
    first: str = ""
    waiting: list[tuple[int, Any, str]] = field(default_factory=list)

    def add(self, row: int, id_: Any, reason: str) -> None:
        """Note a row by its number in the file, what names it in the output, and what is wrong with it."""
        self.waiting.append((row, id_, reason))

    def write(self, upto: int, rows: int) -> None:
        """Write what was noted of rows up to a number; `rows` were predicted so far."""
        ready = sorted((one for one in self.waiting if one[0] <= upto), key=lambda one: one[0])
        self.waiting = [one for one in self.waiting if one[0] > upto]
        for row, id_, reason in ready:
            told = {"input": self.task.file.name, "row": row, "id": id_, "reason": reason}
            self.file.write(json.dumps(told, ensure_ascii=False, default=str).encode() + b"\n")
            self.first = self.first or f"the first is row {row}: {reason}"
        self.count += len(ready)
        if self.count > max(SUSPICIOUS, rows):
            raise DataError(
                f"{self.task.file.name}: {self.count} of {self.count + rows} rows do not fit the contract; {self.first}"
            )

    def copy_to(self, path: Path) -> None:
        """Write the whole file to a path."""
        self.file.seek(0)
        with path.open("wb") as file:
            shutil.copyfileobj(self.file, file)


def _predict_fitting(source: Source, model: Model, report: Report, rejects: Rejects) -> Iterator[pa.Table]:
    """Yield what `predict_batches` yields, of the rows that fit; note the others."""
    contract, missing, first = model.contract, source.form.missing, report.rows - source.first_row
    roles, identifier = input_roles(source.names, contract)

    def unreadable(row: int, reason: str) -> None:
        rejects.add(row, None if identifier else first + row, reason)

    for numbers, raw in stream_raw(source, roles, unreadable):
        reasons = find_misfits(raw, roles, missing)
        places = np.setdiff1d(np.arange(len(raw)), list(reasons))
        fitting = np.ones(len(places), dtype=bool)
        typed = type_columns(raw.take(places), roles, missing, source.name, 0) if len(places) else raw.slice(0, 0)
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
        rejects.write(upto=int(numbers.max(initial=0)), rows=report.rows - rejects.task.partition.first)
    rejects.write(upto=sys.maxsize, rows=report.rows - rejects.task.partition.first)
