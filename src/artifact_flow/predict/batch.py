"""Batch: the files of a folder, a pattern or an object store are predicted in parts, by this process or on Dask.

The plan is written first. Then each partition is predicted independently: parts that an interrupted run has finished
are checked and kept, so that running the same command again resumes the job. The manifest is written last.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.errors import ArtifactFlowError, DataError, FileError, ScaleError
from artifact_flow.core.base.files import hash_bytes
from artifact_flow.predict.files import Report, open_pair
from artifact_flow.predict.partition import Assignment, Done, Shipped, finish_partition
from artifact_flow.predict.places import (
    File,
    absolute,
    find_files,
    join,
    make_folder,
    read_file,
    remove_staged,
    write_file,
)
from artifact_flow.predict.plan import Input, PartFormat, Plan, make_plan, survey_input
from artifact_flow.scale.cluster import TaskError, gather, open_cluster

if TYPE_CHECKING:
    from distributed import Client

PLAN, MANIFEST = "plan.json", "manifest.json"
AGAIN = "the same command again to resume"
PROGRESS_SECONDS = 10.0  # between lines of progress if stderr is not a terminal
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Job:
    """The arguments of a batch prediction: inputs, model, output folder, and where to run."""

    inputs: Sequence[str]
    model: Path
    out: str
    format: PartFormat = "parquet"
    allowed: Collection[str] = ()
    scheduler: str | None = None
    workers: int | None = None


@dataclass
class Summary(Report):
    """The report of all runs of a job, with the numbers of parts, of kept parts and of rejected rows."""

    parts: int = 0
    kept: int = 0
    rejected: int = 0


def run_job(job: Job) -> Summary:
    """Predict every row of the inputs into parts, and write the manifest; finished parts are kept.

    Raises ArtifactFlowError naming the problem; finished parts stay, and running the same job again resumes it.
    """
    _check_out(job)
    contract = open_pair(job.model, job.allowed).contract  # its checks read files in its folder, which workers lack
    shipped, files = Shipped.of(job.model), _find_inputs(job)
    here = [] if job.scheduler else files  # a running cluster reads them itself; one that is starting does not
    with _surveying(here, contract) as surveys, _cluster(job) as client:
        run = _Runner(client, shipped)
        surveyed = dict(
            run.each(_survey, list(enumerate(files)), lambda one: one[1].name) if job.scheduler else surveys
        )
        plan = make_plan([surveyed[number] for number in range(len(files))], job.model.name, shipped.sha256, job.format)
        _begin(job, plan)
        digest = hash_bytes(plan.content())
        assignments = [
            Assignment(one, files[one.input], digest, absolute(job.out), plan.format, plan.ids)
            for one in plan.partitions
        ]
        progress, parts = _Progress(assignments), dict[int, Done]()
        for done in run.each(finish_partition, assignments, lambda one: one.file.name):
            parts[done.number] = done
            progress.add(done)
        progress.end()
    return _end(job, plan, [parts[number] for number in range(len(assignments))])


@contextmanager
def _cluster(job: Job) -> "Iterator[Client | None]":
    """Yield a client of the job's cluster, or None if this process does the work."""
    if not (job.scheduler or job.workers):
        yield None
        return
    with ExitStack() as stack:
        # a terminal sends Ctrl-C to all processes: those started here ignore it, and end with this one
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            client = stack.enter_context(open_cluster(job.scheduler, job.workers))
        finally:
            signal.signal(signal.SIGINT, handler)
        yield client


@contextmanager
def _surveying(files: Sequence[File], contract: Contract) -> Iterator[Iterator[tuple[int, Input]]]:
    """Yield an iterator over the surveys of the files, which threads make in the background."""
    pool = ThreadPoolExecutor(min(32, os.cpu_count() or 1))
    try:
        yield enumerate(pool.map(lambda file: survey_input(file, contract), files))
    finally:
        pool.shutdown(cancel_futures=True)


def _survey(numbered: tuple[int, File], shipped: Shipped) -> tuple[int, Input]:
    number, file = numbered
    return number, survey_input(file, shipped.open().contract)


def _check_out(job: Job) -> None:
    out = job.out
    if out == "-" or (not out.endswith("/") and Path(out).suffix in (".csv", ".parquet", ".jsonl")):
        raise FileError(
            f"--out {out} is one file, but folders, patterns, URLs and workers write one file per part: "
            "name a folder, such as --out scored/."
        )
    if Path(out).is_file():
        raise FileError(f"--out {out} is a file: name a folder, such as --out scored/.")
    if "-" in job.inputs:
        raise DataError(
            "standard input is written to one file, not to a folder: name the files, or --out predictions.csv."
        )
    for given in job.inputs:
        if f"{absolute(out)}/".startswith(f"{absolute(given).rstrip('/')}/"):
            raise FileError(
                f"--out {out} is inside the input {given}, so its files would become input: name another folder."
            )


def _find_inputs(job: Job) -> list[File]:
    files: dict[str, File] = {}
    for given in job.inputs:
        for file in find_files(given):
            if files.setdefault(file.url, file) is not file:
                raise DataError(f"{file.name} is given twice: name it once.")
    return list(files.values())


def _begin(job: Job, plan: Plan) -> None:
    """Write the plan unless the folder has it; raise FileError when the folder has a different plan."""
    make_folder(job.out)
    place = join(job.out, PLAN)
    there = read_file(place)
    if there is None:
        write_file(place, plan.content())
    elif there != plan.content():
        raise FileError(f"{job.out} has {_difference(there, plan)}: name another folder, or remove this one.")


def _difference(there: bytes, plan: Plan) -> str:
    """Return in words how the plan of a folder differs from this one."""
    try:
        other = Plan.model_validate_json(there)
    except ValueError:
        return f"a damaged {PLAN}"
    if other.sha256 != plan.sha256:
        return f"predictions of another model ({other.model}, sha256 {other.sha256.model[:12]}…)"
    if other.inputs != plan.inputs:
        changed = [one.name for one in other.inputs if one not in plan.inputs] or [plan.inputs[-1].name]
        return f"predictions of other inputs ({changed[0]} has changed, or was not given)"
    return f"predictions in {other.format} format, with a different plan"


def _end(job: Job, plan: Plan, done: list[Done]) -> Summary:
    """Write the manifest and return the summary."""
    summary = Summary(parts=len(done), kept=sum(one.kept for one in done))
    for one in plan.inputs:
        summary.sha256[one.name] = one.sha256 or f"not taken, ETag {one.etag}"
    parts = [one.part for one in done]
    for partition, part in zip(plan.partitions, parts, strict=True):
        summary.rows += part.rows
        summary.rejected += part.rejected
        summary.findings.add(part.findings)
        if part.ignored:
            summary.ignored[plan.inputs[partition.input].name] = part.ignored
    manifest: dict[str, Any] = plan.model_dump(mode="json", exclude={"partitions"})
    manifest["rows"], manifest["rejected"] = summary.rows, summary.rejected
    manifest["out_of_range"], manifest["unseen"] = summary.findings.out_of_range, summary.findings.unseen
    manifest["parts"] = [
        {"name": f"part-{partition.number:05}.{plan.format}", "input": plan.inputs[partition.input].name}
        | partition.model_dump(mode="json", include={"groups", "first"})
        | part.model_dump(mode="json", include={"rows", "rejected", "sha256", "rejected_sha256"})
        for partition, part in zip(plan.partitions, parts, strict=True)
    ]
    write_file(join(job.out, MANIFEST), (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
    remove_staged(job.out)
    return summary


@dataclass
class _Progress:
    """Shows progress on stderr: one updated line on a terminal, else a line every few seconds."""

    assignments: Sequence[Assignment]
    start: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)
    parts: int = 0
    rows: int = 0  # predicted by this run
    size: int = 0  # input bytes of these rows
    left: int = 0  # input bytes that are not predicted yet

    def __post_init__(self) -> None:
        self.left = sum(one.partition.size for one in self.assignments)

    def add(self, done: Done) -> None:
        """Count a finished part, and show the progress."""
        size, now = self.assignments[done.number].partition.size, time.monotonic()
        self.parts, self.left = self.parts + 1, self.left - size
        if not done.kept:
            self.rows, self.size = self.rows + done.part.rows + done.part.rejected, self.size + size
        terminal = sys.stderr.isatty()
        if not terminal and now - self.shown < PROGRESS_SECONDS:
            return
        self.shown, seconds = now, max(now - self.start, 1e-3)
        line = f"{self.parts} of {len(self.assignments)} parts"
        if self.size:
            line += f", {self.rows / seconds:,.0f} rows/s, {self.left / self.size * seconds:.0f} s left"
        sys.stderr.write(f"\r\x1b[K{line}" if terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line on a terminal."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


@dataclass(frozen=True)
class _Runner:
    """Calls a function for each item, in this process or on the workers of a cluster."""

    client: "Client | None"
    shipped: Shipped

    def each(self, function: Callable[[T, Shipped], R], things: Sequence[T], name: Callable[[T], str]) -> Iterator[R]:
        """Yield results as they complete; raise the first ArtifactFlowError, or ScaleError when the cluster fails."""
        if self.client is None:
            yield from (function(thing, self.shipped) for thing in things)
            return
        from distributed import KilledWorker  # noqa: PLC0415 - heavy

        # a task, not scattered data: Dask recomputes it if the workers that hold it die
        shipped = self.client.submit(_same, self.shipped, pure=False)
        futures = {
            self.client.submit(_guarded, function, thing, shipped, pure=False, retries=2): thing for thing in things
        }
        try:
            for _, result in gather(self.client, futures, f"run {AGAIN}"):
                if isinstance(result, ArtifactFlowError):
                    raise result
                yield result
        except TaskError as failed:
            what, error = name(futures[failed.future]), failed.__cause__
            if isinstance(error, ArtifactFlowError):
                raise error from None
            if isinstance(error, KilledWorker):
                raise ScaleError(
                    f"{what}: {error.allowed_failures + 1} workers died while predicting it: give workers more "
                    f"memory, then run {AGAIN}."
                ) from error
            reason = " ".join(str(error).split()) or "no reason given"
            raise ScaleError(
                f"{what}: the cluster failed ({type(error).__name__}: {reason}): look at its log, then run {AGAIN}."
            ) from error


def _same(shipped: Shipped) -> Shipped:
    return shipped


def _guarded(function: Callable[[T, Shipped], R], thing: T, shipped: Shipped) -> R | ArtifactFlowError:
    """Return the result of a function, or the ArtifactFlowError that it raised, which a retry would not fix."""
    try:
        return function(thing, shipped)
    except ScaleError:  # a store that did not respond may do so when Dask retries
        raise
    except ArtifactFlowError as error:
        return error
