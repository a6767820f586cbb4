"""Head: the commit that `verify` or `reproduce` checks, as git holds it: its locks, their stages and their data.

It reads commits, never the working tree, except for data that git does not track.
"""

import json
import os
import posixpath
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.errors import DataError, VerifyError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.lock import LOCK, merge_locks, output_hashes, parse_lock, shares_path, walk_stages
from artifact_flow.core.base.pipeline import PIPELINE, VALUES, parse_pipeline
from artifact_flow.core.base.progress import shown_download
from artifact_flow.core.table.builtin import FETCHED, data_folder, is_here, load_arrays

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

Stages: TypeAlias = dict[str, dict[str, Any]]  # the stages of all locks; paths start at the repository's root


@dataclass(frozen=True)
class Head:
    """The commit to verify: its repository, its abbreviated hash, and the content of its locks by path."""

    root: Path
    commit: str
    locks: dict[str, bytes]
    left_out: frozenset[str] = frozenset()  # stages whose data is not available on this machine, or of other flows
    revision: str = "HEAD"  # the commit's full hash

    @cached_property
    def stages(self) -> Stages:
        """The locked stages that the dvc.yaml in the lock's folder still defines, without those left out."""
        stages = merge_locks({path: self.parse(path) for path in self.locks})
        return {name: stage for name, stage in stages.items() if name not in self.left_out}

    @property
    def targets(self) -> list[str]:
        """The targets for `dvc repro`: the dvc.yaml of each lock or, where stages are left out, the other stages."""
        if self.left_out:
            return list(self.stages)
        return [_sibling(path, PIPELINE) for path in self.locks]

    @property
    def portable(self) -> bool:
        """Whether the stages wrote contracts, and each promises its bytes on every machine."""
        paths = [out["path"] for stage in self.stages.values() for out in stage.get("outs", ())]
        contracts = [self.read(path) for path in paths if posixpath.basename(path) == CONTRACT.name]
        return bool(contracts) and all(json.loads(content or b"{}").get("portable", False) for content in contracts)

    def parse(self, path: str) -> Stages:
        """Return the stages of one lock that the dvc.yaml in its folder still defines."""
        pipeline, values = (self.read(_sibling(path, name)) for name in (PIPELINE, VALUES))
        return parse_lock(self.locks[path], parse_pipeline(pipeline or b"", values or b""))

    def read(self, path: str) -> bytes | None:
        """Return the content of a committed file, or None if git does not track it."""
        return _read_blob(self.root, self.revision, path)


def open_head(repository: Path, pipelines: Sequence[str] = (), revision: str = "HEAD") -> Head:
    """Return a commit of a repository with the locks of `pipelines`, or with every lock that has a dvc.yaml.

    `pipelines` are paths of dvc.yaml files from the repository's root. Raises VerifyError when it has no such lock.
    """
    root = Path(git(repository, "rev-parse", "--show-toplevel"))
    commit = git(root, "rev-parse", "--short", revision)
    revision = git(root, "rev-parse", revision)
    names = git(root, "ls-tree", "-r", "-z", "--name-only", revision).split("\0")
    held = [name for name in names if posixpath.basename(name) == LOCK.name and _sibling(name, PIPELINE) in names]
    wanted = [posixpath.join(posixpath.dirname(posixpath.normpath(path)), LOCK.name) for path in pipelines] or held
    for path in wanted or [str(LOCK)]:
        if path not in held:
            raise VerifyError(f"commit {commit} has no {path}: run `dvc repro`, `git add {path}` and commit it.")
    locks = {path: _read_blob(root, revision, path) or b"" for path in wanted}
    return Head(root, commit, locks, revision=revision)


def leave_out_unavailable(head: Head) -> tuple[Head, list[str]]:
    """Return the head without the stages whose data is not available here, and one sentence for each such stage.

    The stages that depend on them are left out too, so the returned head may have no stages.
    """
    left_out: set[str] = set(head.left_out)
    notes = []
    for name, reason in find_missing_data(head):
        if name not in left_out:
            after = walk_stages(head.stages, [name], "after")
            left_out.update(after)
            more = f" and {len(after) - 1} after it" if len(after) > 1 else ""
            notes.append(f"Not verified: stage {name}{more}, because {reason}")
    return replace(head, left_out=frozenset(left_out)), notes


def find_missing_data(head: Head) -> Iterator[tuple[str, str]]:
    """Yield name and reason for each stage whose own data is not available here, after trying to fetch it."""
    names = git(head.root, "ls-tree", "-r", "-t", "-z", "--name-only", head.revision).split("\0")
    known = {*names, *output_hashes(head.stages)}
    for name, stage in head.stages.items():
        if reason := _missing_data(stage, head.root, known):
            yield name, reason


def find_sources(stages: Stages) -> list[dict[str, Any]]:
    """Return the dependencies of the stages that no stage produces, as the lock lists them."""
    made = output_hashes(stages)
    return [dep for stage in stages.values() for dep in stage["deps"] if not _overlaps(dep["path"], made)]


def is_available(path: Path, dep: Mapping[str, Any]) -> bool:
    """Return whether `path` is the file that the lock names, or a directory, whose content DVC compares."""
    return path.is_dir() or (path.is_file() and hash_file(path, "md5") == dep.get("md5"))


def _missing_data(stage: Mapping[str, Any], root: Path, known: Collection[str]) -> str:
    """Return why a stage's data is not available here, or "" if it is; `known` are committed files and outputs."""
    folder = data_folder(os.environ, root)
    blocks = [block for values in stage["params"].values() for block in values.values() if isinstance(block, dict)]
    try:
        for source in [block.get("source") for block in blocks]:
            if source in FETCHED and not is_here(source, folder):
                load_arrays(source, folder, shown_download)
    except DataError as error:
        return str(error)
    for dep in stage["deps"]:
        external = ":" in dep["path"] or dep["path"].startswith(("/", ".."))  # a URL or a file that only DVC handles
        if not external and not _overlaps(dep["path"], known) and not is_available(root / dep["path"], dep):
            return (
                f"{dep['path']} is not in the commit, and the working tree has no copy with the hash in {LOCK}: if DVC "
                "tracks it, run `dvc pull` or `dvc checkout`."
            )
    return ""


def _overlaps(path: str, paths: Collection[str]) -> bool:
    """Return whether `path` is one of `paths`, or is inside one of them, or contains one of them."""
    return path in paths or any(shares_path(path, other) for other in paths)


def _sibling(path: str, name: Path) -> str:
    return posixpath.join(posixpath.dirname(path), name.name)


def git(root: Path, *arguments: str) -> str:
    """Return the output of a git command, without surrounding whitespace; raise VerifyError when it fails."""
    done = _run_git(root, *arguments)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise VerifyError(f"`git {' '.join(arguments)}` failed in {root}: {reason}")
    return done.stdout.decode().strip()


def _read_blob(root: Path, revision: str, path: str) -> bytes | None:
    found = _run_git(root, "cat-file", "blob", f"{revision}:{path}")
    return None if found.returncode else found.stdout


def _run_git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=root, env=plain_environ(), capture_output=True, check=False)
    except FileNotFoundError as error:
        raise VerifyError("git is not in the PATH: install it; `verify` reads commits.") from error


def plain_environ() -> dict[str, str]:
    """Return the environment without the variables by which a git hook redirects git to its own repository."""
    return {name: value for name, value in os.environ.items() if name not in GIT_LOCATION}
