"""Verify: reproduce HEAD in clean clones under changed surroundings, and compare each file with its dvc.lock.

A lock alone proves nothing (`dvc commit -f` writes any bytes into it): only `dvc repro --force` in a clean clone does.
`verify` reads HEAD, never the working tree, and writes only clones, which it removes.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from artifact_flow.core.base.determinism import broken_promises
from artifact_flow.core.base.errors import VerifyError
from artifact_flow.core.base.interpreter import LEAN
from artifact_flow.proof.clone import Reproduction, reproduce
from artifact_flow.proof.compare import METRIC_TOLERANCE, PROBABILITY_TOLERANCE, Finding, compare
from artifact_flow.proof.head import Head, git, leave_out_unavailable, open_head
from artifact_flow.proof.surroundings import FULL, Surroundings

WORKSPACE = Path(".artifact-flow")  # ignored by git and DVC


@dataclass(frozen=True)
class Proof:
    """Whether HEAD matches its locks, and the stages that were left out because their data is not available."""

    holds: bool
    left_out: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Return whether everything that was verified matches the locks."""
        return self.holds


def verify_head(
    every: Sequence[Surroundings] = FULL,
    pipelines: Sequence[str] = (),
    repository: Path | None = None,
    console: Console | None = None,
) -> Proof:
    """Print a table with one line for each tracked file, and return whether HEAD reproduces what its locks say.

    HEAD is reproduced once in each of the surroundings `every`. `pipelines` are paths of dvc.yaml files from the
    repository's root; by default, all that have a lock in HEAD, without the stages whose data is not available on this
    machine. Raises VerifyError when there is nothing to verify, or when a pipeline of HEAD fails.
    """
    console = console or Console()
    head = open_head(repository or Path.cwd(), pipelines)
    if not pipelines:
        head, notes = leave_out_unavailable(head)
        for note in notes:
            console.print(f"[yellow]{note}[/]")
        if not head.stages:
            raise VerifyError("no stage is left to verify: provide the data named above.")
    if git(head.root, "status", "--porcelain"):
        console.print(f"[yellow]The working tree has uncommitted changes; `verify` checks commit {head.commit}.[/]")
    reasons = broken_promises((head.read(LEAN) or b"").decode(), os.environ, head.portable)
    if reasons:
        console.print(
            f"[yellow]Bytes are not guaranteed here ({'; '.join(reasons)}): comparing labels, metrics (within "
            f"{METRIC_TOLERANCE}) and probabilities (within {PROBABILITY_TOLERANCE}) instead.[/]"
        )
    (head.root / WORKSPACE).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="verify-", dir=head.root / WORKSPACE) as folder:
        reproductions = list(_reproduce_all(head, every, Path(folder), console))
        findings = compare(head, reproductions, tolerant=bool(reasons))
    _print_findings(findings, head.commit, len(every), console)
    return Proof(all(finding.verdict != "different" for finding in findings), head.left_out)


def _reproduce_all(head: Head, every: Sequence[Surroundings], folder: Path, console: Console) -> Iterator[Reproduction]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")

        def announce(stage: str) -> None:
            progress.update(task, description=f"{title}: {stage}")

        for number, surroundings in enumerate(every, start=1):
            title = f"{number}/{len(every)} {surroundings.name}"
            progress.reset(task)
            started = time.monotonic()
            reproduction = reproduce(head, surroundings, folder / str(number), announce)
            console.print(f"reproduced {title} in {time.monotonic() - started:.1f} s")
            yield reproduction


def _print_findings(findings: Sequence[Finding], commit: str, runs: int, console: Console) -> None:
    colours = {"same bytes": "green", "same predictions": "yellow", "same metrics": "yellow", "different": "red"}
    table = Table("file", "verdict", "likely cause", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(finding.path, f"[{colours[finding.verdict]}]{finding.verdict}[/]", finding.cause)
    console.print(table)
    verdicts = [finding.verdict for finding in findings]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in colours if v in verdicts)
    console.print(f"commit {commit}, {len(findings)} files, {runs} surroundings: {counts}")
