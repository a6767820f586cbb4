"""Changes: what DVC finds changed about a stage since its lock, and by what."""

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from artifact_flow.core.base.errors import LockError, ParamsError, closest
from artifact_flow.doctor.project import Project

Kind: TypeAlias = Literal["lock", "command", "parameter", "dependency", "output"]
Verdict: TypeAlias = Literal["will run", "may run", "is up to date"]


@dataclass(frozen=True)
class Change:
    """One part of a stage that is not as its lock has it: its name, DVC's word for its state, and the details."""

    kind: Kind
    name: str  # a path; of a parameter the key, of a command or a lock the stage
    state: str  # such as "modified" or "deleted"
    file: str = ""  # of a parameter
    details: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The part in words."""
        return {"lock": "dvc.lock", "command": "the command"}.get(
            self.kind, f"{self.file}: {self.name}" if self.file else self.name
        )


@dataclass(frozen=True)
class Explanation:
    """Why `dvc repro` will run a stage, may run it or not, and which stages before and after it that concerns."""

    stage: str
    verdict: Verdict
    changes: Sequence[Change]
    before: Sequence[str]  # that will run, and whose outputs may then be others
    after: Sequence[str]  # that run if this one changes its outputs

    def as_text(self) -> str:
        """Return the verdict, a line for each change with its details below it, and the other stages."""
        runs = self.verdict != "is up to date"
        lines = [f"{self.stage} {self.verdict}{':' if runs else ''}"]
        for change in self.changes:
            lines += [f"  {change.title}: {change.state}", *(f"    {detail}" for detail in change.details)]
        if self.before:
            lines.append(f"  before it will run: {', '.join(self.before)}")
        if runs and self.after:
            lines.append(f"  after it may run: {', '.join(self.after)}")
        return "\n".join(lines)

    def as_json(self) -> str:
        """Return the explanation as a JSON document."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)


def list_changes(project: Project, name: str) -> list[Change]:
    """Return what `dvc status` finds changed about a stage, without the details; raise LockError when DVC fails."""
    if name not in project.stages and name in project.status and not name.endswith(".dvc"):
        return [Change("lock", name, "missing")]
    return list(_read_status(name, project.status.get(name, ())))


def _read_status(name: str, entries: Sequence[Any]) -> Iterator[Change]:
    for entry in entries:
        if isinstance(entry, str):
            yield Change("command", name, entry)
            continue
        for path, state in (entry.get("changed deps") or {}).items():
            if isinstance(state, dict):  # of a file with parameters: key → state
                yield from (Change("parameter", key, how, path) for key, how in state.items())
            else:
                yield Change("dependency", path, state)
        yield from (Change("output", path, state) for path, state in (entry.get("changed outs") or {}).items())


def explain_stage(project: Project, name: str) -> Explanation:
    """Return why a stage will run; raise LockError when no dvc.yaml has the stage, or a lock or DVC fails."""
    from artifact_flow.core.base.lock import walk_stages

    name = find_stage(project, name)
    changes = [_detail(project, name, change) for change in list_changes(project, name)]
    known = name in project.stages
    others = walk_stages(project.stages, [name], "before")[1:] if known else []
    before = [other for other in project.stages if other in others and list_changes(project, other)]
    after = walk_stages(project.stages, [name], "after")[1:] if known else []
    # what an earlier stage makes again may then be as the lock has it
    theirs = {out["path"] for other in before for out in project.stages[other]["outs"]}
    certain = any(change.kind != "dependency" or change.name not in theirs for change in changes)
    verdict: Verdict = "will run" if certain else "may run" if changes or before else "is up to date"
    return Explanation(name, verdict, changes, before, after)


def find_stage(project: Project, name: str) -> str:
    """Return DVC's name for a stage from the project's root; raise LockError naming the stages if it has none such."""
    from artifact_flow.core.base.pipeline import read_pipeline

    names = dict.fromkeys(project.stages)
    for folder in project.folders:
        pipeline = read_pipeline(Path(folder))
        for title in pipeline.stages if pipeline else ():
            if not title.endswith("@*"):  # only DVC knows its names
                names[f"{folder}/dvc.yaml:{title}" if folder else title] = None
    found = [title for title in names if name in (title, title.rpartition(":")[2])]
    if name in found or len(found) == 1:
        return name if name in found else found[0]
    raise LockError(f"no dvc.yaml has a stage {name}{closest(name, names)}; there are: {', '.join(names) or 'none'}.")


def _detail(project: Project, name: str, change: Change) -> Change:
    """Return a change with what is known about how the part changed."""
    stage = project.stages.get(name)
    if stage is None:
        details: tuple[str, ...] = ("the stage has never run to its end",)
    elif change.kind == "parameter":
        details = tuple(_compare_values(stage["params"].get(change.file, {}), change))
    elif change.kind == "command":
        details = (f"it was: {stage['cmd']}",)
    elif change.kind == "dependency":
        details = tuple(_compare_files(project, name, change))
    else:
        details = ()
    return Change(change.kind, change.name, change.state, change.file, details)


def _compare_values(locked: Mapping[str, Any], change: Change) -> Iterator[str]:
    """Yield "key: old → new" for each value below a parameter that differs from the lock."""
    from artifact_flow.core.base.documents import load_yaml
    from artifact_flow.core.base.pipeline import ABSENT, look_up

    try:
        now = _flatten(change.name, look_up(load_yaml(Path(change.file)), change.name))
    except ParamsError:  # a file of parameters in another format than YAML
        return
    before = _flatten(change.name, locked.get(change.name, ABSENT))
    for key in {**before, **now}:
        one, other = before.get(key, ABSENT), now.get(key, ABSENT)
        if one is ABSENT or other is ABSENT or one != other:
            yield f"{key}: {_spell(one)} → {_spell(other)}"


def _flatten(name: str, value: Any) -> dict[str, Any]:
    """Return "train.C" → value for each value below a parameter; nothing for an absent one."""
    from artifact_flow.core.base.pipeline import ABSENT

    if isinstance(value, dict) and value:
        return {key: leaf for part, below in value.items() for key, leaf in _flatten(f"{name}.{part}", below).items()}
    return {} if value is ABSENT else {name: value}


def _spell(value: Any) -> str:
    from artifact_flow.core.base.pipeline import ABSENT

    return "nothing" if value is ABSENT else json.dumps(value, ensure_ascii=False, default=str)


def _compare_files(project: Project, name: str, change: Change) -> Iterator[str]:
    """Yield which files of a dependency changed: by its maker, by its object in DVC's cache, or by git."""
    makers = [
        other for other, stage in project.stages.items() if any(out["path"] == change.name for out in stage["outs"])
    ]
    if makers:
        yield f"stage {makers[0]} makes it"
        return
    if not Path(change.name).exists():
        return
    md5 = next((dep.get("md5") for dep in project.stages[name]["deps"] if dep["path"] == change.name), None)
    if md5 and md5.endswith(".dir") and project.object(md5).is_file():
        yield from _compare_listing(project.object(md5), Path(change.name))
    elif md5 and project.git("ls-files", "--", change.name):
        yield from _compare_commit(project, name, md5, change.name)


def _compare_listing(listing: Path, folder: Path) -> Iterator[str]:
    """Yield the files of a folder that are others than in its object, which lists them with their md5."""
    from artifact_flow.core.base.files import hash_file

    before = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
    now = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    for path in sorted({*before, *now}):
        if path not in now:
            yield f"{folder / path}: deleted"
        elif path not in before:
            yield f"{folder / path}: new"
        elif hash_file(now[path], "md5") != before[path]:
            yield f"{folder / path}: modified"


def _compare_commit(project: Project, name: str, md5: str, path: str) -> Iterator[str]:
    """Yield the files below a path that changed since the commit whose lock first named this md5 of it."""
    lock = posixpath.join(posixpath.dirname(name.rpartition(":")[0]), "dvc.lock")
    commit = project.git("log", "-1", "--no-show-signature", "--format=%h", f"-S{md5}", "--", lock)
    if not commit or md5.encode() not in (project.blob(lock) or b""):
        yield f"{lock} is not committed as it is, so git cannot tell which files changed"
        return
    for line in (project.git("diff", "--numstat", "--no-renames", "--relative", commit, "--", path) or "").splitlines():
        added, removed, file = line.split("\t", 2)
        lines = "binary" if added == "-" else f"+{added} -{removed} lines"
        yield f"{file}: {'deleted' if not Path(file).exists() else lines} since commit {commit}"
    new = project.git("ls-files", "-z", "--others", "--exclude-standard", "--", path) or ""
    yield from (f"{file}: new" for file in new.split("\0") if file)
