"""Parcel: the files that one CI job hands to the next, named by their sha256, and a manifest of the paths they go to.

The sha256 of the manifest is passed separately, as a job output, so someone who can change the parcel cannot make the
two agree again. A whole parcel is checked before any file is copied, and only paths that dvc.yaml declares are copied.
"""

import json
import os
import posixpath
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from artifact_flow.core.base.errors import ParcelError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.lock import LOCK, merge_locks, read_lock, walk_stages

MANIFEST = "manifest"  # in the same folder as the files of a parcel
OBJECTS = PurePosixPath(".dvc/cache/files/md5")  # in the repository; each object is named by its md5
SEEN = Path(".artifact-flow/parcels")  # manifests that this workspace received, each under its sha256

Files = dict[str, str]  # path from the repository's root → sha256
_OBJECT = re.compile(rf"{re.escape(str(OBJECTS))}/(?P<md5>[0-9a-f]{{2}}/[0-9a-f]{{30}})(\.dir)?")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Parcel(BaseModel):
    """The job output that identifies a parcel: the name of the artifact, and the sha256 of its manifest."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


_PARCELS = TypeAdapter(list[Parcel])


def read_parcels(text: str) -> list[Parcel]:
    """Return the parcels that a job output names, in the order in which they were made; raise ParcelError."""
    try:
        return _PARCELS.validate_json(text or "[]")
    except ValidationError as error:
        raise ParcelError(
            f"{text!r} does not name parcels: give what `artifact-flow hand-over` printed in the job before, "
            'such as [{"name": "parcel-test", "sha256": "…"}].'
        ) from error


def write_parcels(parcels: Sequence[Parcel]) -> str:
    """Return parcels as the job output that `read_parcels` reads."""
    return _PARCELS.dump_json(list(parcels)).decode()


def pack(root: Path, stages: Sequence[str], name: str, folder: Path, earlier: Sequence[Parcel]) -> Parcel:
    """Copy the outputs of `stages` and of the stages before them into `folder`, except files that `earlier` holds.

    `stages` are DVC's names, relative to the root. Raises LockError when a `dvc.lock` cannot be read, and ParcelError
    when an output is missing, an object in DVC's cache is damaged, or `folder` is not empty.
    """
    held = {path: sha256 for parcel in earlier for path, sha256 in _seen_manifest(root, parcel).items()}
    files = {path: hash_file(root / path) for path in list_files(root, stages)}
    wrong = [path for path in files if not _matches_name(path, root / path)]
    if wrong:
        raise ParcelError(
            f"{', '.join(wrong)} in DVC's cache does not have the md5 in its name, so nothing was handed over: "
            f"remove it, then run `dvc repro --force {' '.join(stages)}`."
        )
    added = {path: sha256 for path, sha256 in files.items() if held.get(path) != sha256}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ParcelError(f"{folder} is not empty: choose an empty or new folder for the parcel.")
        manifest = format_manifest(added)
        for path, sha256 in added.items():
            if not (folder / sha256).exists():  # an output and its object in the cache have equal bytes
                shutil.copyfile(root / path, folder / sha256)
        (folder / MANIFEST).write_bytes(manifest)
    except OSError as error:
        raise ParcelError(
            f"{folder} cannot be written ({error.strerror}): free disk space or change the permissions, then run the "
            "command again."
        ) from error
    return Parcel(name=name, sha256=hash_bytes(manifest))


def unpack(root: Path, folder: Path, parcels: Sequence[Parcel]) -> Files:
    """Copy the files of `parcels` into the repository, later parcels over earlier ones, and return the copied files.

    Each parcel is a subfolder of `folder`. Raises ParcelError, before anything is copied or opened, when a manifest is
    not the one in the job output, a file is missing, extra or changed, or no `dvc.yaml` declares a path.
    """
    sources: dict[str, Path] = {}
    files: Files = {}
    manifests = []
    for parcel in parcels:
        content, held = _open_parcel(folder / parcel.name, parcel)
        manifests.append((parcel, content))
        files |= held
        sources |= {path: folder / parcel.name / sha256 for path, sha256 in held.items()}
    _refuse_undeclared(root, files)
    wrong = [path for path, source in sources.items() if not _matches_name(path, source)]
    if wrong:
        raise ParcelError(f"{', '.join(wrong)} does not have the md5 in its name; {_REMEDY}")
    for path, source in sources.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).unlink(missing_ok=True)  # DVC makes its objects read-only
        shutil.copyfile(source, root / path)
    for parcel, content in manifests:
        (root / SEEN).mkdir(parents=True, exist_ok=True)
        (root / SEEN / parcel.sha256).write_bytes(content)
    return files


def receive(root: Path, folder: Path, parcels: Sequence[Parcel], stages: Sequence[str]) -> list[str]:
    """Unpack parcels, check the result against `dvc.lock`, and return the stages that need not run again.

    These are `stages` and the stages before them, except stages that DVC runs every time. Raises ParcelError.
    """
    unpack(root, folder, parcels)
    _run(root, "dvc", "checkout", "--quiet", "--with-deps", *stages)
    status: dict[str, Any] = json.loads(_run(root, "dvc", "status", "--json", "--with-deps", *stages) or "{}")
    restless = {name for name, found in status.items() if "always changed" in found}
    stale = {name: found for name, found in status.items() if name not in restless}
    if stale:
        raise ParcelError(f"the received files differ from {LOCK} ({json.dumps(stale)}); {_REMEDY}")
    dry = _run(root, "dvc", "repro", "--dry", *stages)
    again = set(re.findall(r"^Running stage '(.+)'", dry, re.MULTILINE)) - restless
    if again:
        raise ParcelError(f"{', '.join(sorted(again))} would run again although an earlier job ran it; {_REMEDY}")
    return re.findall(r"^Stage '(.+)' didn't change, skipping$", dry, re.MULTILINE)


def list_files(root: Path, stages: Sequence[str]) -> list[str]:
    """Return the sorted paths of the outputs of `stages` and of the stages before them, of their objects and locks.

    Objects are the files in DVC's cache. Raises ParcelError when a stage is in no lock or an output is missing.
    """
    paths = {str(path.relative_to(root)): path for path in _find_locks(root)}
    locked = merge_locks({name: read_lock(path) for name, path in paths.items()})
    unknown = [name for name in stages if name not in locked]
    if unknown:
        raise ParcelError(f"{LOCK} has no stage {', '.join(unknown)}: run `dvc repro {' '.join(unknown)}`.")
    wanted = walk_stages(locked, stages, "before")
    homes = {_lock_of(name) for name in wanted}
    found = {path for path in paths if path in homes}
    for name in wanted:
        for out in locked[name]["outs"]:
            found.update(_files_of(root, out["path"], out["md5"]))
    return sorted(found)


def format_manifest(files: Files) -> bytes:
    """Return a manifest in the format of `sha256sum`, sorted by path.

    Raises ParcelError when a path has control characters.
    """
    odd = [path for path in files if not path.isprintable()]
    if odd:
        raise ParcelError(f"{odd[0]!r} cannot be handed over: rename the output to a name without control characters.")
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(files.items())).encode()


def parse_manifest(content: bytes) -> Files:
    """Return path → sha256; raise ParcelError when a line is malformed or a path leaves the repository."""
    files: Files = {}
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ParcelError(f"the manifest is not UTF-8 text; {_REMEDY}") from error
    for line in lines:
        match = _LINE.fullmatch(line)
        if not match:
            raise ParcelError(f"the manifest has a line that is not a sha256 and a path ({line[:80]!r}); {_REMEDY}")
        sha256, path = match.groups()
        parts = PurePosixPath(path).parts
        if path in files or path.startswith("/") or ".." in parts or str(PurePosixPath(path)) != path:
            raise ParcelError(
                f"the manifest names {path!r}, which is a duplicate, not normalized or outside the repository; "
                f"{_REMEDY}"
            )
        files[path] = sha256
    return files


_REMEDY = "nothing was opened: run the whole workflow again; if it fails again, find out who changed the artifact."


def _open_parcel(folder: Path, parcel: Parcel) -> tuple[bytes, Files]:
    """Return a parcel's manifest and its files, after checking every file in the folder against it."""
    if not folder.is_dir():
        raise ParcelError(f"{folder} does not exist: download the artifact {parcel.name} into it first.")
    entries = {entry.name: entry for entry in os.scandir(folder)}
    strange = [name for name, entry in entries.items() if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)]
    if strange:
        named = ", ".join(sorted(strange))
        raise ParcelError(f"{parcel.name} contains {named}, which is not a regular file; {_REMEDY}")
    content = (folder / MANIFEST).read_bytes() if MANIFEST in entries else b""
    if hash_bytes(content) != parcel.sha256:
        raise ParcelError(
            f"{parcel.name} is not the parcel that the earlier job handed over: its manifest has the sha256 "
            f"{hash_bytes(content)[:12]}…, but the job's output says {parcel.sha256[:12]}…; {_REMEDY}"
        )
    files = parse_manifest(content)
    declared = {MANIFEST, *files.values()}
    for words, names in (
        ("lacks files that its manifest names", declared - set(entries)),
        ("contains files that its manifest does not name", set(entries) - declared),
    ):
        if names:
            raise ParcelError(f"{parcel.name} {words}: {', '.join(sorted(names)[:5])}; {_REMEDY}")
    wrong = [path for path, sha256 in files.items() if hash_file(folder / sha256) != sha256]
    if wrong:
        raise ParcelError(
            f"{parcel.name} contains files that do not have the sha256 in its manifest: {', '.join(wrong)}; {_REMEDY}"
        )
    return content, files


def _refuse_undeclared(root: Path, files: Collection[str]) -> None:
    """Raise ParcelError unless each path is an object, a lock or an output, and is inside the repository."""
    outputs = _declared_outputs(root)
    locks = {str(path.relative_to(root)) for path in _find_pipelines(root, LOCK.name)}
    for path in files:
        parents = {str(parent) for parent in PurePosixPath(path).parents}
        declared = path in locks or path in outputs or parents & outputs or _OBJECT.fullmatch(path)
        if not declared or not (root / path).parent.resolve().is_relative_to(root.resolve()):
            raise ParcelError(f"{path} was handed over, but no dvc.yaml of this commit declares it; {_REMEDY}")


def _declared_outputs(root: Path) -> set[str]:
    """Return the outputs of every dvc.yaml and .dvc file, relative to the repository's root."""
    lines = _run(root, "dvc", "dag", "--outs", "--dot").splitlines()
    return {match[1] for line in lines if (match := re.fullmatch(r'"(.+)";', line.strip())) and '" -> "' not in line}


def _find_pipelines(root: Path, name: str = "dvc.yaml") -> Iterator[Path]:
    """Yield the path of `name` in the folder of each dvc.yaml that git tracks."""
    listed = _run(root, "git", "ls-files", "-z", "--", "dvc.yaml", "*/dvc.yaml")
    return ((root / path).with_name(name) for path in listed.split("\0") if path)


def _find_locks(root: Path) -> list[Path]:
    return [path for path in _find_pipelines(root, LOCK.name) if path.is_file()]


def _lock_of(stage: str) -> str:
    """Return the path of the lock that contains a stage, given by its name from `merge_locks`."""
    pipeline, found, _ = stage.rpartition(":")
    return posixpath.join(posixpath.dirname(pipeline), LOCK.name) if found else LOCK.name


def _files_of(root: Path, path: str, md5: str) -> Iterator[str]:
    """Yield the files of an output, and their objects if they are in DVC's cache."""
    object_ = OBJECTS / md5[:2] / md5[2:]
    cached = (root / object_).is_file()
    if cached:
        yield str(object_)
    if not md5.endswith(".dir"):
        if not (root / path).is_file():
            raise ParcelError(f"{path}, which {LOCK} names, does not exist: run `dvc repro` to produce it.")
        yield path
    elif cached:
        for entry in json.loads((root / object_).read_bytes()):
            yield str(OBJECTS / entry["md5"][:2] / entry["md5"][2:])
            yield posixpath.join(path, entry["relpath"])
    else:  # a directory that DVC does not cache
        yield from (str(file.relative_to(root)) for file in (root / path).rglob("*") if file.is_file())


def _matches_name(path: str, file: Path) -> bool:
    """Return whether a file has the md5 in `path`, if `path` is an object in DVC's cache; else True."""
    named = _OBJECT.fullmatch(path)
    return not named or named["md5"].replace("/", "") == hash_file(file, "md5")


def _seen_manifest(root: Path, parcel: Parcel) -> Files:
    path = root / SEEN / parcel.sha256
    if not path.is_file() or hash_file(path) != parcel.sha256:
        raise ParcelError(f"{parcel.name} was not received in this job: run `artifact-flow receive` first.")
    return parse_manifest(path.read_bytes())


def _run(root: Path, *command: str) -> str:
    """Return the standard output of a DVC or git command; raise ParcelError when it fails."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ParcelError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
