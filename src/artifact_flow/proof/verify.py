"""Verify: reproduce HEAD in clean clones under changed surroundings, and compare with each dvc.lock file by file.

A lock alone proves nothing (`dvc commit -f` writes any bytes into it): only `dvc repro --force` in a clean clone does.
It reads HEAD, never the working tree, and writes nothing but clones that it removes.
"""

import json
import os
import posixpath
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from artifact_flow.core.base.determinism import KERNEL_VARIABLES, THREAD_VARIABLES, broken_promises
from artifact_flow.core.base.errors import DataError, VerifyError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.lock import LOCK, merge_locks, output_hashes, parse_lock, shares_path, walk_stages
from artifact_flow.core.base.pipeline import PIPELINE, VALUES, parse_pipeline
from artifact_flow.core.base.progress import shown_download
from artifact_flow.core.model.predictions import METRICS, PREDICTIONS
from artifact_flow.core.table.builtin import FETCHED, VARIABLE, data_folder, is_here, load_arrays

LEAN = Path("requirements/lean.txt")
WORKSPACE = Path(".artifact-flow")  # ignored by git and DVC
GIT_LOCATION = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}
METRIC_TOLERANCE, PROBABILITY_TOLERANCE = 0.01, 0.05

Verdict = Literal["same bytes", "same predictions", "same metrics", "different"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # from best to worst
Hashes = dict[str, str]  # path → md5
Stages = dict[str, dict[str, Any]]  # of every lock, paths from the repository's root
EXPECTED: dict[Verdict, str] = {  # why other bytes are no fault, where bytes are not promised
    "same predictions": "other bytes, as another machine or library may give",
    "same metrics": "labels not compared: the committed predictions.csv is not in DVC's cache; `dvc pull` brings it",
}


@dataclass(frozen=True)
class Surroundings:
    """One way the world around a reproduction differs: exported variables and the clone's directory name."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    directory: str = "clone"


CHANGES = (
    Surroundings("hash seed", {"PYTHONHASHSEED": "4242"}),
    Surroundings("threads", dict.fromkeys(THREAD_VARIABLES, "2")),
    Surroundings("BLAS kernel", {"OPENBLAS_CORETYPE": "Prescott"}),
    Surroundings("CPU dispatch", {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}),
    Surroundings("locale and time zone", {"LC_ALL": "C", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}),
    Surroundings("directory name", directory="another directory, näme"),
)
AS_IT_IS = Surroundings("as it is")
EVERYTHING = Surroundings(
    "everything changed",
    {name: value for change in CHANGES for name, value in change.environ.items()},
    CHANGES[-1].directory,
)
FULL, QUICK = (AS_IT_IS, *CHANGES), (AS_IT_IS, EVERYTHING)


@dataclass(frozen=True)
class Head:
    """The commit that is verified: its repository, and the locks in question by their paths."""

    root: Path
    locks: dict[str, bytes]
    left_out: frozenset[str] = frozenset()  # stages that cannot run here

    @cached_property
    def stages(self) -> Stages:
        """What the locks say of each stage that the dvc.yaml beside them has and that is not left out."""
        stages = merge_locks({path: self.read(path) for path in self.locks})
        return {name: stage for name, stage in stages.items() if name not in self.left_out}

    @property
    def targets(self) -> list[str]:
        """What to reproduce: the dvc.yaml beside each lock or, where stages are left out, the others."""
        if self.left_out:
            return list(self.stages)
        return [_beside(path, PIPELINE) for path in self.locks]

    def read(self, path: str) -> dict[str, dict[str, Any]]:
        """Return what one lock says of each stage that the dvc.yaml beside it has."""
        said, values = (_committed(self.root, _beside(path, name)) for name in (PIPELINE, VALUES))
        return parse_lock(self.locks[path], parse_pipeline(said or b"", values or b""))


@dataclass(frozen=True)
class Proof:
    """Whether what was verified is as locked, and the stages that were left out for want of data."""

    holds: bool
    left_out: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Tell whether what was verified is as locked."""
        return self.holds


@dataclass(frozen=True)
class Reproduction:
    """What `dvc repro --force` left in one clone: its root, its locks' stages and the md5 of each output."""

    surroundings: Surroundings
    root: Path
    stages: Stages
    hashes: Hashes


@dataclass(frozen=True)
class Finding:
    """The verdict on one tracked file over all surroundings, and the likely cause where it is not the best one."""

    path: str
    verdict: Verdict
    cause: str = ""


def verify_head(
    every: Sequence[Surroundings] = FULL,
    pipelines: Sequence[str] = (),
    repository: Path | None = None,
    console: Console | None = None,
) -> Proof:
    """Print the proof, a table with one line for each tracked file; tell whether HEAD gives what its locks say.

    HEAD is reproduced once in each of the surroundings `every`. `pipelines` are paths of dvc.yaml from the repository's
    root; without them, each one that has a lock in HEAD, but for the stages whose data this machine cannot have.
    Raises VerifyError when there is nothing to verify, or when a pipeline of HEAD does not run to its end.
    """
    console = console or Console()
    root = Path(_git(repository or Path.cwd(), "rev-parse", "--show-toplevel"))
    commit = _git(root, "rev-parse", "--short", "HEAD")
    head = Head(root, _find_locks(root, pipelines, commit))
    if not pipelines:
        head = _leave_out_unavailable(head, console)
    if _git(root, "status", "--porcelain"):
        console.print(f"[yellow]The working tree has uncommitted changes; what is verified is commit {commit}.[/]")
    reasons = broken_promises((_committed(root, str(LEAN)) or b"").decode(), os.environ)
    if reasons:
        console.print(
            f"[yellow]Bytes are not promised here ({'; '.join(reasons)}): comparing labels, metrics (within "
            f"{METRIC_TOLERANCE}) and probabilities (within {PROBABILITY_TOLERANCE}) instead.[/]"
        )
    (root / WORKSPACE).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="verify-", dir=root / WORKSPACE) as folder:
        reproductions = list(_reproduce_all(head, every, Path(folder), console))
        findings = compare(head, reproductions, tolerant=bool(reasons))
    _print_findings(findings, commit, len(every), console)
    return Proof(all(finding.verdict != "different" for finding in findings), head.left_out)


def compare(head: Head, reproductions: Sequence[Reproduction], tolerant: bool) -> list[Finding]:
    """Return a finding for each output that the locks of HEAD name, and one for each lock itself.

    `tolerant` accepts other bytes where the predictions and metrics beside a file agree within the tolerances; the
    committed predictions are looked for in DVC's cache.
    """
    stages = head.stages
    promised = output_hashes(stages) | {path: hash_bytes(content, "md5") for path, content in head.locks.items()}
    folders = {posixpath.dirname(path) for path in promised if posixpath.basename(path) == METRICS.name}
    likeness = {folder: _likeness(head.root, folder, promised, reproductions) for folder in folders} if tolerant else {}
    findings = []
    for path, md5 in sorted(promised.items()):
        others = [r for r in reproductions if r.hashes.get(path) != md5]
        if not others:
            committed = _committed(head.root, path)
            if committed is None or hash_bytes(committed, "md5") == md5:
                findings.append(Finding(path, "same bytes"))
            else:
                cause = f"the committed file is not the one that {LOCK} names"
                findings.append(Finding(path, "different", cause))
        else:
            alike = _alike(path, likeness)
            cause = EXPECTED.get(alike) or likely_cause(path, stages, reproductions, others)
            findings.append(Finding(path, alike, cause))
    return findings


def _alike(path: str, likeness: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict on the metrics beside a file, or in the folders below it; the worst where there are many."""
    folder = posixpath.dirname(path)
    near = [verdict for place, verdict in likeness.items() if (f"{folder}/").startswith(f"{place}/")]
    below = [verdict for place, verdict in likeness.items() if not folder or f"{place}/".startswith(f"{folder}/")]
    return max(near or below or ["different"], key=VERDICTS.index)


def likely_cause(
    path: str, locked: Stages, reproductions: Sequence[Reproduction], others: Sequence[Reproduction]
) -> str:
    """Say why `path` came out differently in `others`, from what the locks of HEAD and the new ones say of it."""
    changed = _changed_inputs(path, locked, others[0].stages)
    if changed:
        return f"{LOCK} was made from another {', '.join(changed)}: run `dvc repro` and commit the lock"
    if len(others) < len(reproductions):
        return "depends on: " + ", ".join(r.surroundings.name for r in others)
    if len({r.hashes.get(path) for r in others}) > 1:
        return "not deterministic: each run gives other bytes"
    if posixpath.basename(path) == LOCK.name:
        return "names other outputs than this commit gives"
    if not any(path in r.hashes for r in others):
        return f"no run makes it: {LOCK} holds a stage that is not run; run `dvc repro` and commit the lock"
    return f"every run agrees on other bytes: {LOCK} was edited, forged by `dvc commit -f`, or made elsewhere"


def _changed_inputs(path: str, locked: Stages, new: Stages) -> list[str]:
    """Return the commands, parameters and source files upstream of `path` that differ between two locks."""
    made_by = {out["path"]: name for name, stage in locked.items() for out in stage.get("outs", ())}
    queue = [made_by[path]] if path in made_by else list(made_by.values())
    changed: dict[str, None] = {}
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        before, after = locked[name], new.get(name, {})
        if before.get("cmd") != after.get("cmd"):
            changed[f"command of {name}"] = None
        for file, values in before.get("params", {}).items():
            if values != after.get("params", {}).get(file):
                changed[f"{file} ({', '.join(values)})"] = None
        hashes = {dep["path"]: dep.get("md5") for dep in after.get("deps", ())}
        for dep in before.get("deps", ()):
            if dep["path"] in made_by:
                queue.append(made_by[dep["path"]])
            elif dep.get("md5") != hashes.get(dep["path"]):
                changed[dep["path"]] = None
    return list(changed)


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


def reproduce(head: Head, surroundings: Surroundings, folder: Path, announce: Callable[[str], object]) -> Reproduction:
    """Clone HEAD into `folder`, run `dvc repro --force` there on its pipelines, and return what it left.

    `announce` is called with each stage's name as it starts. Raises VerifyError when a stage fails.
    """
    root, clone = head.root, folder / surroundings.directory
    announce("clone")
    _git(root, "clone", "--quiet", "--no-hardlinks", str(root), str(clone))
    _git(clone, "checkout", "--quiet", "--detach", _git(root, "rev-parse", "HEAD"))
    _bring_data(head, clone)
    own = {*THREAD_VARIABLES, *KERNEL_VARIABLES}  # this process is pinned; the clone's code must pin itself
    environ = {k: v for k, v in _environ().items() if k not in own and not k.startswith("DVC_")} | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "DVC_SITE_CACHE_DIR": str(clone / ".dvc/tmp/site-cache"),
        VARIABLE: str(data_folder(os.environ, root)),
        **surroundings.environ,
    }
    output = []
    with subprocess.Popen(
        ["dvc", "repro", "--force", *head.targets],
        cwd=clone,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            if line.startswith("Running stage '"):
                announce(line.split("'")[1])
    if process.returncode:
        tail = "".join(output[-25:])
        raise VerifyError(
            f"`dvc repro --force` fails in a clean clone of HEAD ({surroundings.name}), so there is nothing to "
            f"compare; its last lines:\n{tail}"
        )
    stages = merge_locks({path: parse_lock((clone / path).read_bytes()) for path in head.locks})
    stages = {name: stage for name, stage in stages.items() if name not in head.left_out}
    made = output_hashes(stages)
    hashes = {path: md5 for path, md5 in made.items() if (clone / path).is_dir()}  # of its files, as DVC has just read
    hashes |= {path: hash_file(clone / path, "md5") for path in (*made, *head.locks) if (clone / path).is_file()}
    return Reproduction(surroundings, clone, stages, hashes)


def _bring_data(head: Head, clone: Path) -> None:
    """Copy into a clone the data that the locks name and git does not keep, such as a table that DVC tracks."""
    for dep in _sources(head.stages):
        here, there = head.root / dep["path"], clone / dep["path"]
        if not there.exists() and _is_at_hand(here, dep):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(here, there) if here.is_dir() else shutil.copy(here, there)


def _sources(stages: Stages) -> list[dict[str, Any]]:
    """Return what the stages read and none of them makes."""
    made = output_hashes(stages)
    return [dep for stage in stages.values() for dep in stage["deps"] if not _is_of(dep["path"], made)]


def _is_of(path: str, paths: Collection[str]) -> bool:
    """Tell whether a path is one of `paths`, or lies in one of them, or one of them in it."""
    return path in paths or any(shares_path(path, other) for other in paths)


def _is_at_hand(here: Path, dep: Mapping[str, Any]) -> bool:
    """Tell whether the working tree has the file that a lock names, or a directory, which DVC will compare."""
    return here.is_dir() or (here.is_file() and hash_file(here, "md5") == dep.get("md5"))


def _find_locks(root: Path, pipelines: Sequence[str], commit: str) -> dict[str, bytes]:
    """Return the content of each lock that HEAD holds, or of those beside `pipelines`."""
    names = _git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")
    held = [name for name in names if posixpath.basename(name) == LOCK.name and _beside(name, PIPELINE) in names]
    wanted = [posixpath.join(posixpath.dirname(posixpath.normpath(path)), LOCK.name) for path in pipelines] or held
    for path in wanted or [str(LOCK)]:
        if path not in held:
            raise VerifyError(f"commit {commit} holds no {path}: run `dvc repro`, `git add {path}` and commit it.")
    return {path: _committed(root, path) or b"" for path in wanted}


def _leave_out_unavailable(head: Head, console: Console) -> Head:
    """Return the head without the stages whose data cannot be had on this machine and those after them, and say so."""
    names = _git(head.root, "ls-tree", "-r", "-t", "-z", "--name-only", "HEAD").split("\0")
    known = {*names, *output_hashes(head.stages)}
    left_out: set[str] = set()
    for name, stage in head.stages.items():
        if name not in left_out and (reason := _lacking(stage, head.root, known)):
            after = walk_stages(head.stages, [name], "after")
            left_out.update(after)
            more = f" and {len(after) - 1} after it" if len(after) > 1 else ""
            console.print(f"[yellow]Not verified: stage {name}{more}, because {reason}[/]")
    if left_out >= head.stages.keys():
        raise VerifyError("no stage is left to verify: provide the data named above.")
    return replace(head, left_out=frozenset(left_out))


def _lacking(stage: Mapping[str, Any], root: Path, known: Collection[str]) -> str:
    """Return why a stage cannot have its data here, or "" where it can; `known` is what stages make and HEAD holds."""
    folder = data_folder(os.environ, root)
    blocks = [block for values in stage["params"].values() for block in values.values() if isinstance(block, dict)]
    try:
        for source in [block.get("source") for block in blocks]:
            if source in FETCHED and not is_here(source, folder):
                load_arrays(source, folder, shown_download)
    except DataError as error:
        return str(error)
    for dep in stage["deps"]:
        elsewhere = ":" in dep["path"] or dep["path"].startswith(("/", ".."))  # a URL or a file outside: DVC's affair
        if not elsewhere and not _is_of(dep["path"], known) and not _is_at_hand(root / dep["path"], dep):
            return (
                f"{dep['path']} is neither in the commit nor, as {LOCK} names it, in the working tree: `dvc pull` or "
                "`dvc checkout` brings what DVC tracks."
            )
    return ""


def _beside(path: str, name: Path) -> str:
    return posixpath.join(posixpath.dirname(path), name.name)


def _likeness(root: Path, folder: str, promised: Hashes, reproductions: Sequence[Reproduction]) -> Verdict:
    """Return how far, in one folder, every reproduction agrees with what HEAD committed, within the tolerances."""
    path, rows = posixpath.join(folder, METRICS.name), posixpath.join(folder, PREDICTIONS.name)
    metrics = json.loads(_committed(root, path) or b"{}")
    if not all(metrics_alike(metrics, json.loads((r.root / path).read_text())) for r in reproductions):
        return "different"
    md5 = promised.get(rows, "")
    cached = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    if not (cached.is_file() and hash_file(cached, "md5") == md5):
        return "same metrics"
    alike = all(predictions_alike(cached, r.root / rows) for r in reproductions)
    return "same predictions" if alike else "different"


def metrics_alike(committed: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Tell whether two metrics files have the same splits and names, with values within 0.01 (1 % above 1)."""
    return committed.keys() == found.keys() and all(
        committed[split].keys() == found[split].keys()
        and all(
            abs(value - found[split][name]) <= METRIC_TOLERANCE * max(1.0, abs(value))
            for name, value in committed[split].items()
        )
        for split in committed
    )


def predictions_alike(committed: Path, found: Path) -> bool:
    """Tell whether two predictions.csv hold the same rows with equal labels and probabilities within 0.05.

    A regressor's predictions may differ by 0.05 standard deviations of the committed ones.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - only needed off the reference machine
    from pyarrow import csv  # noqa: PLC0415

    one, two = csv.read_csv(committed), csv.read_csv(found)
    key = ["id", "split", "target"]
    if one.schema != two.schema or not one.select(key).equals(two.select(key)):
        return False
    if one["probability"].null_count < len(one):
        close, scale = "probability", 1.0
        if not one["prediction"].equals(two["prediction"]):
            return False
    else:
        close, scale = "prediction", pc.stddev(one["prediction"]).as_py()
    worst = pc.max(pc.abs(pc.subtract(one[close], two[close]))).as_py()
    return bool(worst <= PROBABILITY_TOLERANCE * scale)


def _print_findings(findings: Sequence[Finding], head: str, runs: int, console: Console) -> None:
    colours = {"same bytes": "green", "same predictions": "yellow", "same metrics": "yellow", "different": "red"}
    table = Table("file", "verdict", "likely cause", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(finding.path, f"[{colours[finding.verdict]}]{finding.verdict}[/]", finding.cause)
    console.print(table)
    verdicts = [finding.verdict for finding in findings]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in colours if v in verdicts)
    console.print(f"commit {head}, {len(findings)} files, {runs} surroundings: {counts}")


def _committed(root: Path, path: str) -> bytes | None:
    """Return a file as HEAD holds it, or None where git does not track it."""
    found = _run_git(root, "cat-file", "blob", f"HEAD:{path}")
    return None if found.returncode else found.stdout


def _git(root: Path, *arguments: str) -> str:
    done = _run_git(root, *arguments)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise VerifyError(f"`git {' '.join(arguments)}` failed in {root}: {reason}")
    return done.stdout.decode().strip()


def _run_git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=root, env=_environ(), capture_output=True, check=False)
    except FileNotFoundError as error:
        raise VerifyError("git is not in the PATH: install it; verify works on commits.") from error


def _environ() -> dict[str, str]:
    """Return this process's variables without those by which a git hook points every git at its own repository."""
    return {name: value for name, value in os.environ.items() if name not in GIT_LOCATION}
