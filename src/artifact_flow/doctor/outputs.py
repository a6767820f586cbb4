"""Outputs: whether each file that a lock or a .dvc file names is in the workspace and in DVC's cache, by its bytes."""

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.doctor.findings import Finding, shorten
from artifact_flow.doctor.project import Project

State: TypeAlias = Literal["same", "other", "missing"]
FOLDER = ".dir"  # the end of the md5 of a folder, whose object lists its files


@dataclass(frozen=True)
class Output:
    """A file or folder with the md5 that its lock names; the state of its object is None if git keeps it, not DVC."""

    owner: str  # a stage, such as "train" or "flows/dvc.yaml:train@iris", or a .dvc file
    path: str
    md5: str
    workspace: State
    object: State | None

    @property
    def source(self) -> str:
        """The file that declares it, which is a target of DVC's commands."""
        return self.owner if self.is_data else self.owner.rpartition(":")[0] or "dvc.yaml"

    @property
    def is_data(self) -> bool:
        """Whether a .dvc file names it: data that no stage makes, which people edit."""
        return self.owner.endswith(".dvc")


def check_outputs(project: Project) -> Iterator[Finding]:
    """Find outputs that are not the locked ones, and say how to have these; edited data is to be added or restored."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    unmade = list_unmade(project)
    for source in unmade:
        what = f"nothing that {source} makes is here, as in a clone in which it has not run"
        yield Finding(source, what, _fetch_or_make(project, source), "note")
    for output in inspect_outputs(project):
        if output.source in unmade and output.object is not None:
            continue
        if output.workspace == "other" and output.is_data:
            cure = f"dvc add {output.path}, or to undo: dvc checkout --force {output.path}"
            yield Finding(output.source, f"{output.path} is not as {output.owner} names it", cure, "warning")
        elif output.workspace != "same":
            groups.setdefault((output.source, *_describe(project, output)), []).append(output.path)
    for (source, what, cure), paths in groups.items():
        verb = "are" if len(paths) > 1 else "is"
        yield Finding(source, f"{shorten(paths)} {verb} {what}", cure.format(paths=" ".join(paths)))


def _describe(project: Project, output: Output) -> tuple[str, str]:
    """Return what an output is if it is not the locked one, and the cure, with `{paths}` where its path belongs."""
    edited = output.workspace == "other"
    what = "not as dvc.lock names it, so it was edited or replaced" if edited else "missing"
    if output.object is None:
        committed = project.blob(output.path)
        if committed is not None and hash_bytes(committed, "md5") == output.md5:
            return what, "git checkout HEAD -- {paths}"
    elif output.object == "same":
        cure = "dvc checkout --force {paths}" if edited else f"dvc checkout {output.source}"
        return f"{what}; DVC's cache has the locked one", cure
    return f"{what}, and there is no copy here", _fetch_or_make(project, output.source)


def check_cache(project: Project) -> Iterator[Finding]:
    """Find objects in DVC's cache that are damaged, or missing although the workspace has the file."""
    uncached: dict[str, list[str]] = {}
    for output in inspect_outputs(project):
        place = project.object(output.md5)
        here = output.workspace == "same"
        if output.object == "other":
            what = f"the object of {output.path} in DVC's cache is damaged, and `dvc checkout` would bring that back"
            after = f"dvc commit {output.source}" if here else _fetch_or_make(project, output.source)
            yield Finding(str(place), what, f"rm -f {place}, then {after}")
        elif output.object == "missing" and here:
            uncached.setdefault(output.source, []).append(output.path)
    for source, paths in uncached.items():
        verb = "are" if len(paths) > 1 else "is"
        what = f"{shorten(paths)} {verb} not in DVC's cache, so `dvc checkout` could not restore what is lost"
        yield Finding(source, what, f"dvc commit {source}", "warning")


def list_unmade(project: Project) -> list[str]:
    """Return each dvc.yaml of whose outputs in DVC none is in the workspace, and not all are in the cache."""
    groups: dict[str, list[Output]] = {}
    for output in inspect_outputs(project):
        if output.object is not None and not output.is_data:
            groups.setdefault(output.source, []).append(output)
    return [
        source
        for source, outputs in groups.items()
        if all(output.workspace == "missing" for output in outputs)
        and any(output.object == "missing" for output in outputs)
    ]


def faulty_outputs(project: Project) -> set[str]:
    """Return the paths of the outputs that are not the locked ones."""
    return {output.path for output in inspect_outputs(project) if output.workspace != "same"}


@lru_cache(maxsize=1)
def inspect_outputs(project: Project) -> Sequence[Output]:
    """Return the outputs of every lock and .dvc file, after hashing them and their objects; raise LockError."""
    owned = [
        (owner, out["path"], out["md5"])
        for owner, outs in _list_outs(project)
        for out in outs
        if "://" not in out["path"] and isinstance(out.get("md5"), str)
    ]
    # DVC writes what it keeps into .gitignore, and what `cache: false` leaves to git it does not
    paths = [path for _, path, _ in owned]
    ignored = set((project.git("check-ignore", "--", *paths) or "").splitlines()) if paths else set()
    return [
        Output(
            owner,
            path,
            md5,
            _inspect_path(project, owner, path, md5),
            _inspect_object(project, md5) if path in ignored or md5.endswith(FOLDER) else None,
        )
        for owner, path, md5 in owned
    ]


def _list_outs(project: Project) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield owner and outputs for each locked stage and each .dvc file; paths start at the working directory."""
    import yaml

    yield from ((name, stage["outs"]) for name, stage in project.stages.items())
    for file in filter(None, (project.git("ls-files", "-z", "--", "*.dvc") or "").split("\0")):
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8")) if Path(file).is_file() else None
        outs = content.get("outs") if isinstance(content, dict) else None
        folder = posixpath.dirname(file)
        yield file, [{**out, "path": posixpath.normpath(posixpath.join(folder, out["path"]))} for out in outs or ()]


def _inspect_path(project: Project, owner: str, path: str, md5: str) -> State:
    """Return the state of an output in the workspace; that of a folder is DVC's."""
    place = Path(path)
    if not place.exists():
        return "missing"
    if md5.endswith(FOLDER):
        changes = [change["changed outs"] for change in project.status.get(owner, ()) if "changed outs" in change]
        return "other" if any(outs.get(path) == "modified" for outs in changes) else "same"
    return "same" if place.is_file() and hash_file(place, "md5") == md5 else "other"


def _inspect_object(project: Project, md5: str) -> State:
    """Return the state of an object in DVC's cache; a folder's is the worst of its own and its files'."""
    place = project.object(md5)
    if not place.is_file():
        return "missing"
    if hash_file(place, "md5") != md5.removesuffix(FOLDER):
        return "other"
    entries = json.loads(place.read_bytes()) if md5.endswith(FOLDER) else ()
    states = {_inspect_object(project, entry["md5"]) for entry in entries}
    return "other" if "other" in states else "missing" if "missing" in states else "same"


def _fetch_or_make(project: Project, source: str) -> str:
    """Return how to have outputs that are neither in the workspace nor in the cache."""
    remote = any(key.startswith("remote.") for key in project.config)
    make = "copy it from where you have it" if source.endswith(".dvc") else f"dvc repro {source}"
    return f"dvc pull {source}, or {make}" if remote else make
