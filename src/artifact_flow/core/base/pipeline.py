"""Pipeline: the stages of a dvc.yaml, by DVC's names for them, with what each reads and writes.

DVC never removes an entry from dvc.lock, even if its stage was renamed or deleted or its flow no longer exists. Code
that reads a lock gets the existing stages from here.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from artifact_flow.core.base.errors import LockError

PIPELINE, VALUES = Path("dvc.yaml"), Path("params.yaml")  # DVC resolves ${...} from the second
EXPRESSION = re.compile(r"\$\{(.+?)\}")
ABSENT = object()


@dataclass(frozen=True)
class Stage:
    """What a dvc.yaml declares for one stage; all paths are relative to the dvc.yaml's folder.

    Templates are resolved from params.yaml, mappings under `vars`, and the `key` and `item` of a `foreach`. One that
    only DVC can resolve is left unchanged in `deps` and `params` and becomes * in `outs`, which are patterns.
    """

    deps: tuple[str, ...]
    params: Mapping[str, tuple[str, ...]]  # file → keys; no keys: all of the file
    outs: tuple[str, ...]  # metrics and plots included


@dataclass(frozen=True, eq=False)  # hashed by identity: its stages are a dictionary
class Pipeline:
    """A dvc.yaml: its stages by name: "train", "train@iris", or "train@*" if only DVC knows the names."""

    stages: Mapping[str, Stage]

    def find(self, name: str) -> Stage | None:
        """Return the stage of that name, or None."""
        patterns = (known for known in self.stages if known.endswith("@*") and fnmatch(name, known))
        return self.stages.get(name) or self.stages.get(next(patterns, ""))

    def makes(self, path: str) -> bool:
        """Return whether a stage writes a file, given by its path from the folder of the dvc.yaml."""
        return any(fnmatch(path, pattern) for stage in self.stages.values() for pattern in stage.outs)


def read_pipeline(folder: Path) -> Pipeline | None:
    """Return the pipeline of a folder, or None if it has no dvc.yaml; raise LockError when that cannot be parsed."""
    content = _read(folder / PIPELINE)
    return None if content is None else parse_pipeline(content, _read(folder / VALUES) or b"")


@lru_cache(maxsize=4)
def parse_pipeline(content: bytes, values: bytes) -> Pipeline:
    """Return the pipeline in the content of a dvc.yaml and its params.yaml; raise LockError when one is not YAML."""
    try:
        document = yaml.load(content.decode(), Loader=yaml.CSafeLoader) or {}
        known: dict[str, Any] = {}
        if b"${" in content:
            looked_up = yaml.load(values.decode(), Loader=yaml.CSafeLoader), *(document.get("vars") or ())
            known = {key: value for part in looked_up if isinstance(part, dict) for key, value in part.items()}
        stages = dict(document.get("stages") or {})
        return Pipeline({title: found for name in stages for title, found in _expand(name, stages[name], known)})
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, ValueError) as error:
        raise LockError(
            f"{PIPELINE} or the {VALUES} next to it is damaged or holds a merge conflict ({type(error).__name__}), so "
            "the stages are unknown: fix it until `dvc stage list` lists them."
        ) from error


def look_up(document: Any, key: str) -> Any:
    """Return the value under a dotted key of a loaded YAML document, or ABSENT."""
    for part in filter(None, re.split(r"[.\[\]]+", key)):
        if isinstance(document, dict):
            document = {str(name): value for name, value in document.items()}.get(part, ABSENT)
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return ABSENT
    return document


def _expand(name: str, stage: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Stage]]:
    """Yield name and stage for each stage of one dvc.yaml entry, named as in DVC (dvc/parsing/__init__.py)."""
    if "matrix" in stage:
        yield f"{name}@*", _declare(stage, values)
    elif "foreach" in stage:
        items = _items(stage["foreach"], values)
        if items is None:
            yield f"{name}@*", _declare(stage["do"], values)
        for key, item in (items or {}).items():
            yield f"{name}@{key}", _declare(stage["do"], {**values, "key": key, "item": item})
    else:
        yield name, _declare(stage, values)


def _items(over: Any, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return key → item of a foreach over a mapping or a list, or None if only DVC can resolve them."""
    if isinstance(over, str):
        expression = EXPRESSION.fullmatch(over)
        over = look_up(values, expression[1].strip()) if expression else None
    if isinstance(over, dict):
        return {str(key): item for key, item in over.items()}
    if isinstance(over, list):
        nested = any(isinstance(item, dict | list) for item in over)
        return {str(index if nested else item): item for index, item in enumerate(over)}
    return None


def _declare(entry: Mapping[str, Any], values: Mapping[str, Any]) -> Stage:
    def filled(texts: Iterable[Any]) -> list[str]:
        return [_fill(text if isinstance(text, str) else str(next(iter(text))), values) for text in texts]

    def placed(paths: Iterable[Any]) -> tuple[str, ...]:
        folder = entry.get("wdir", "")
        return tuple(
            path if "://" in path else posixpath.normpath(posixpath.join(folder, path)) for path in filled(paths)
        )

    params: dict[str, list[str]] = {}
    for param in entry.get("params") or ():
        for file, keys in (param if isinstance(param, dict) else {VALUES.name: [param]}).items():
            params.setdefault(placed([file])[0], []).extend(filled(keys or ()))
    outs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind) or ()]
    return Stage(
        placed(entry.get("deps") or ()),
        {file: tuple(keys) for file, keys in params.items()},
        tuple(EXPRESSION.sub("*", path) for path in placed(outs)),
    )


def _fill(text: str, values: Mapping[str, Any]) -> str:
    def value_of(found: re.Match[str]) -> str:
        value = look_up(values, found[1].strip())
        return found[0] if value is ABSENT else str(value)

    return EXPRESSION.sub(value_of, text)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
