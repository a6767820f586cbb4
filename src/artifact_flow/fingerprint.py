"""Fingerprint: what a stage reads, as it is at its start, to be found the same before its outputs are put in place.

DVC hashes a stage's parameters and dependencies when its command has ended (treeverse/dvc#11058). Without this check an
edit during the run would stand in dvc.lock as what had run. What the check cannot see: an edit in the milliseconds
between its last look and DVC's, and one that is taken back before that look.
"""

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from artifact_flow.errors import ChangedError
from artifact_flow.files import repository_root

PIPELINE, PARAMS, IGNORED = "dvc.yaml", "params.yaml", ".dvcignore"
LARGE = 2**24  # bytes; a larger file is told by its stat alone, so that looking takes milliseconds
_ABSENT = object()


@dataclass(frozen=True)
class Inputs:
    """What dvc.yaml declares for one stage, its templates resolved; paths start where the stage runs."""

    stage: str
    deps: tuple[str, ...]
    params: Mapping[str, tuple[str, ...]]  # file → keys, all of the file where there are none


@dataclass(frozen=True)
class Look:
    """A file as it was found: size, time and place, and the hash of its content unless it is large or no file."""

    stat: tuple[int, ...]
    digest: bytes | None

    def matches(self, path: Path) -> bool:
        """Tell whether a file is still as it was found; only a touched one is read again."""
        now = _stat(path)
        return now == self.stat or (self.digest is not None and _digest(path, now) == self.digest)


@dataclass(frozen=True)
class Fingerprint:
    """The inputs of a stage as they were found: of a parameter's file the content, of any other file a look at it."""

    inputs: Inputs
    root: Path
    files: Mapping[str, Look]
    params: Mapping[str, bytes]

    def check(self) -> None:
        """Raise ChangedError, naming what changed, unless all inputs are what they were."""
        changed = list(self._changes())
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise ChangedError(
                f"{', '.join(changed[:5])}{more} changed while stage {self.inputs.stage} ran, so dvc.lock would name "
                "what did not run: run `dvc repro` again."
            )

    def _changes(self) -> Iterator[str]:
        for path, before in self.params.items():
            yield from compare_params(path, before, _content(Path(path)), self.inputs.params[path])
        for path in sorted({*self.files, *list_files(self.inputs.deps, self.root)}):
            if path not in self.files or not self.files[path].matches(Path(path)):
                yield path


def take_fingerprint(environ: Mapping[str, str]) -> Fingerprint | None:
    """Return the fingerprint of the stage that DVC runs here, or None where it runs none: then no lock is written."""
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
    """Return what the nearest dvc.yaml up to `root` that has the stage declares for it, or None where none has.

    `address` is the stage as DVC names it: "train", "train@iris", "flows/dvc.yaml:train@iris". Templates take values of
    params.yaml, `vars`, and `key` and `item` of a `foreach`; one that takes others, as a `matrix` has, is told.
    """
    name = address.rpartition(":")[2]
    here = Path.cwd()
    for folder in (here, *here.parents):
        entry, context = _find_stage(_load(folder / PIPELINE), name)
        if entry is not None:
            return _declared(entry, context, name)
        if folder == root:
            break
    return None


def compare_params(path: str, before: bytes, after: bytes, keys: Iterable[str]) -> Iterator[str]:
    """Yield the parameters among `keys` (all, where there are none) whose values differ in two contents of a file."""
    if before == after:
        return
    from ruamel.yaml import YAML  # noqa: PLC0415 - as `params` reads it, and only where bytes differ
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        if PurePath(path).suffix not in (".yaml", ".yml", ".json"):
            raise ValueError
        documents = [YAML(typ="safe", pure=True).load(content) for content in (before, after)]
    except (YAMLError, ValueError):
        yield path
        return
    for key in [*keys] or [""]:
        values = [_look_up(document, key) for document in documents]
        yield from (f"{path}: {name}" for name in _differences(key, *values))


def list_files(deps: Iterable[str], root: Path) -> Iterator[str]:
    """Yield the local files among dependencies, and those in folders, without what DVC ignores; `root` is DVC's."""
    for dep in deps:
        if "://" in dep:
            continue
        if not Path(dep).is_dir():
            yield dep
            continue
        ignored = _read_ignored(root)
        for folder, _, names in os.walk(dep):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - as it is declared
                if not ignored.match_file(os.path.relpath(path, root)):
                    yield path


def _read_ignored(root: Path) -> Any:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - DVC's own; only a folder needs it

    return GitIgnoreSpec.from_lines(_content(root / IGNORED).decode(errors="replace").splitlines())


def _find_stage(document: Any, name: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return a stage's entry in a dvc.yaml, and the values that its templates may take."""
    stages = document.get("stages") if isinstance(document, dict) else None
    if not isinstance(stages, dict):
        return None, {}
    context: dict[str, Any] = {}
    for value in (_load(Path(PARAMS)), *(document.get("vars") or ())):
        context |= value if isinstance(value, dict) else {}
    base, _, key = name.partition("@")
    entry = stages.get(name, stages.get(base))
    if not isinstance(entry, dict) or bool(key) != ("do" in entry or "matrix" in entry):
        return None, {}
    each = entry.get("foreach")
    if isinstance(each, str):
        each = _look_up(context, each.strip("${} "))
    items: dict[str, Any] = {}
    if isinstance(each, dict):
        items = {str(one): value for one, value in each.items()}
    elif isinstance(each, list):
        items = {str(at if isinstance(one, dict) else one): one for at, one in enumerate(each)}
    return entry.get("do", entry), context | ({"key": key} if key else {}) | (
        {"item": items[key]} if key in items else {}
    )


def _declared(entry: dict[str, Any], context: dict[str, Any], name: str) -> Inputs:
    def resolved(texts: Iterable[Any]) -> list[str]:
        return [found for text in texts if (found := _resolve(str(text), context, name)) is not None]

    deps = [dep if isinstance(dep, str) else next(iter(dep)) for dep in entry.get("deps") or ()]
    params: dict[str, list[str]] = {}
    for param in entry.get("params") or ():
        files = param if isinstance(param, dict) else {PARAMS: [param]}
        for file, keys in files.items():
            params.setdefault(file, []).extend(resolved(keys or ()))
    return Inputs(name, tuple(resolved(deps)), {file: tuple(keys) for file, keys in params.items()})


def _resolve(text: str, context: Any, stage: str) -> str | None:
    """Return a text with its templates filled in, or None, told on stderr, where one cannot be."""
    values = {found: _look_up(context, found.strip()) for found in re.findall(r"\$\{([^}]*)\}", text)}
    if _ABSENT in values.values():
        sys.stderr.write(
            f"warning: {PIPELINE}: {text} of stage {stage} takes a value from elsewhere than {PARAMS} and `vars`, so "
            "that its change during the run goes unnoticed.\n"
        )
        return None
    return re.sub(r"\$\{([^}]*)\}", lambda found: str(values[found[1]]), text)


def _look_up(document: Any, key: str) -> Any:
    """Return the value under a dotted key, or _ABSENT."""
    for part in filter(None, re.split(r"[.\[\]]+", key)):
        if isinstance(document, dict):
            document = {str(name): value for name, value in document.items()}.get(part, _ABSENT)
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return _ABSENT
    return document


def _differences(name: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _differences(f"{name}.{key}".lstrip("."), before.get(key, _ABSENT), after.get(key, _ABSENT))
    elif before is not after and (_ABSENT in (before, after) or _spelled(before) != _spelled(after)):
        yield name


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)  # 1, 1.0 and true are three values


def _load(path: Path) -> Any:
    try:
        return yaml.load(_content(path), Loader=yaml.CSafeLoader)  # in C: a tenth of the time
    except yaml.YAMLError:
        return None


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
