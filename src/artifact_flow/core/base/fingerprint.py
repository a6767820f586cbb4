"""Fingerprint: a stage's inputs, recorded at its start and compared before its outputs are renamed into place.

DVC hashes a stage's parameters and dependencies after its command has ended (treeverse/dvc#11058). Without this check,
dvc.lock would record an edit made during the run as the input of that run. The check misses an edit in the
milliseconds between its last comparison and DVC's hashing, and one that is reverted before that comparison.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from artifact_flow.core.base.errors import ChangedError, LockError
from artifact_flow.core.base.files import check_before_replacing, repository_root
from artifact_flow.core.base.pipeline import ABSENT, PIPELINE, VALUES, Stage, look_up, read_pipeline

IGNORED = ".dvcignore"
LARGE = 2**24  # bytes; a larger file is compared by its stat alone, so that the check takes milliseconds


@dataclass(frozen=True)
class Inputs:
    """What dvc.yaml declares for one stage, with templates resolved; paths are relative to the stage's directory."""

    stage: str
    deps: tuple[str, ...]
    params: Mapping[str, tuple[str, ...]]  # file → keys; no keys: all of the file


@dataclass(frozen=True)
class Look:
    """A file's recorded state: its stat, and the hash of its content unless it is large or not a regular file."""

    stat: tuple[int, ...]
    digest: bytes | None

    def matches(self, path: Path) -> bool:
        """Return whether a file still has this state; its content is read only if its stat differs."""
        now = _stat(path)
        return now == self.stat or (self.digest is not None and _digest(path, now) == self.digest)


@dataclass(frozen=True)
class Fingerprint:
    """The recorded inputs of a stage: the content of each parameters file, and a `Look` at every other file."""

    inputs: Inputs
    root: Path
    files: Mapping[str, Look]
    params: Mapping[str, bytes]

    def check(self) -> None:
        """Raise ChangedError naming the changed inputs unless all are unchanged."""
        changed = list(self._changes())
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise ChangedError(
                f"{', '.join(changed[:5])}{more} changed while stage {self.inputs.stage} ran, so dvc.lock would "
                "record inputs that the stage did not use: run `dvc repro` again."
            )

    def _changes(self) -> Iterator[str]:
        for path, before in self.params.items():
            yield from compare_params(path, before, _content(Path(path)), self.inputs.params[path])
        for path in sorted({*self.files, *list_files(self.inputs.deps, self.root)}):
            if path not in self.files or not self.files[path].matches(Path(path)):
                yield path


@contextmanager
def unchanged_inputs(start: Fingerprint | None) -> Iterator[None]:
    """Let a block rename outputs into place only while the stage's inputs are unchanged since its start.

    Raises ChangedError when they have changed, at the latest after the block.
    """
    if start is None:
        yield
        return
    with check_before_replacing(start.check):
        yield
    start.check()


def take_fingerprint(environ: Mapping[str, str]) -> Fingerprint | None:
    """Return the fingerprint of the stage DVC is running, or None outside DVC, where no lock is written."""
    if not environ.get("DVC_STAGE"):
        return None
    root = repository_root()
    inputs = read_inputs(environ["DVC_STAGE"], root)
    if inputs is None:
        return None
    params = {path: _content(Path(path)) for path in inputs.params}
    files = {path: _look(Path(path)) for path in list_files(inputs.deps, root)}
    return Fingerprint(inputs, root, files, params)


def read_inputs(address: str, root: Path) -> Inputs | None:
    """Return what the nearest dvc.yaml with the stage, up to `root`, declares for it, or None if none has it.

    `address` is DVC's name of the stage: "train", "train@iris", "flows/dvc.yaml:train@iris". A dependency whose name
    only DVC can resolve cannot be checked; a warning on stderr names it.
    """
    name = address.rpartition(":")[2]
    here = Path.cwd()
    for folder in (here, *here.parents):
        try:
            pipeline = read_pipeline(folder)
        except LockError:  # DVC has read it before and reports what is wrong with it
            return None
        stage = pipeline.find(name) if pipeline else None
        if stage:
            return _seen_from(here, folder, name, stage)
        if folder == root:
            break
    return None


def _seen_from(here: Path, folder: Path, name: str, stage: Stage) -> Inputs:
    """Return the inputs of a stage of the dvc.yaml in `folder`, with paths relative to `here`."""

    def known(texts: Iterable[str]) -> list[str]:
        for text in (text for text in texts if "${" in text):
            sys.stderr.write(
                f"warning: {PIPELINE}: {text} of stage {name} takes a value from a source other than {VALUES} and "
                "`vars`, so a change of it during the run is not noticed.\n"
            )
        return [text for text in texts if "${" not in text]

    def seen(path: str) -> str:
        return path if "://" in path else os.path.relpath(folder / path, here)

    deps = tuple(map(seen, known(stage.deps)))
    return Inputs(name, deps, {seen(file): tuple(known(keys)) for file, keys in stage.params.items()})


def compare_params(path: str, before: bytes, after: bytes, keys: Iterable[str]) -> Iterator[str]:
    """Yield the parameters among `keys` (all if there are none) whose values differ in two contents of a file."""
    if before == after:
        return
    from ruamel.yaml import YAML  # noqa: PLC0415 - the parser of `params`, needed only if bytes differ
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        if PurePath(path).suffix not in (".yaml", ".yml", ".json"):
            raise ValueError
        documents = [YAML(typ="safe", pure=True).load(content) for content in (before, after)]
    except (YAMLError, ValueError):
        yield path
        return
    for key in [*keys] or [""]:
        values = [look_up(document, key) for document in documents]
        yield from (f"{path}: {name}" for name in _differences(key, *values))


def list_files(deps: Iterable[str], root: Path) -> Iterator[str]:
    """Yield the local files among dependencies and in their folders, except those DVC ignores; `root` is DVC's root."""
    for dep in deps:
        if "://" in dep:
            continue
        if not Path(dep).is_dir():
            yield dep
            continue
        ignored = _read_ignored(root)
        for folder, _, names in os.walk(dep):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - the path as declared
                if not ignored.match_file(os.path.relpath(path, root)):
                    yield path


def _read_ignored(root: Path) -> Any:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - the reader DVC uses; only folders need it

    return GitIgnoreSpec.from_lines(_content(root / IGNORED).decode(errors="replace").splitlines())


def _differences(name: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _differences(f"{name}.{key}".lstrip("."), before.get(key, ABSENT), after.get(key, ABSENT))
    elif before is not after and (ABSENT in (before, after) or _spelled(before) != _spelled(after)):
        yield name


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)  # 1, 1.0 and true are three different values


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _look(path: Path) -> Look:
    found = _stat(path)
    return Look(found, _digest(path, found))


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino


def _digest(path: Path, found: tuple[int, ...]) -> bytes | None:
    if not found or not stat.S_ISREG(found[0]) or found[1] > LARGE:
        return None
    return hashlib.blake2b(_content(path)).digest()
