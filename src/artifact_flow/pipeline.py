"""Pipeline: the stages that a dvc.yaml has, by the names DVC gives them, and the files they write. Only DVC runs them.

A dvc.lock keeps what it said of a stage that was renamed, deleted, or whose flow has gone: DVC never takes an entry
out. Whoever reads a lock asks here which of its stages there still are.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from artifact_flow.errors import LockError

PIPELINE, VALUES = Path("dvc.yaml"), Path("params.yaml")  # the second is where DVC looks ${...} up
EXPRESSION = re.compile(r"\$\{(.+?)\}")


@dataclass(frozen=True, eq=False)  # hashed as the object it is: its stages are a dictionary
class Pipeline:
    """A dvc.yaml: its stages by name, patterns included: "train", "train@iris", or "train@*" where only DVC knows."""

    stages: Mapping[str, tuple[str, ...]]  # name → patterns of the paths that it writes, from the dvc.yaml's folder

    def has(self, name: str) -> bool:
        """Tell whether there is a stage of that name."""
        return name in self.stages or any(fnmatch(name, known) for known in self.stages if known.endswith("@*"))

    def makes(self, path: str) -> bool:
        """Tell whether a stage writes a file; the path starts at the folder of the dvc.yaml."""
        return any(fnmatch(path, pattern) for patterns in self.stages.values() for pattern in patterns)


def read_pipeline(folder: Path) -> Pipeline | None:
    """Return the dvc.yaml in a folder, None where there is none; raise LockError when it cannot be read."""
    content = _read(folder / PIPELINE)
    return None if content is None else parse_pipeline(content, _read(folder / VALUES) or b"")


@lru_cache(maxsize=4)
def parse_pipeline(content: bytes, values: bytes) -> Pipeline:
    """Return what a dvc.yaml says, with the params.yaml beside it; raise LockError when one of them is no YAML."""
    try:
        document = yaml.load(content.decode(), Loader=yaml.CSafeLoader) or {}
        stages = dict(document.get("stages") or {})
        looked_up = any("${" in str(stage.get("foreach", "")) for stage in stages.values())
        known = yaml.load(values.decode(), Loader=yaml.CSafeLoader) if looked_up else None
        return Pipeline({title: tuple(paths) for name in stages for title, paths in _expand(name, stages[name], known)})
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, ValueError) as error:
        raise LockError(
            f"{PIPELINE} or the {VALUES} beside it is damaged or holds a merge conflict ({type(error).__name__}), so "
            "nothing says which stages there are: mend it; `dvc stage list` then lists them."
        ) from error


def _expand(name: str, stage: Mapping[str, Any], values: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the stages that one entry of a dvc.yaml stands for, as DVC names them (dvc/parsing/__init__.py)."""
    if "matrix" in stage:
        yield f"{name}@*", _outputs(stage, "*")
    elif "foreach" in stage:
        for key in _keys(stage["foreach"], values):
            yield f"{name}@{key}", _outputs(stage["do"], key)
    else:
        yield name, _outputs(stage, "*")


def _keys(over: Any, values: Any) -> list[str]:
    """Return the keys of a foreach: a mapping's, a list's values, or * where only DVC can tell them."""
    if isinstance(over, str):
        expression = EXPRESSION.fullmatch(over)
        over = values
        for part in expression[1].split(".") if expression else ("",):
            over = over.get(part) if isinstance(over, dict) else None
    if isinstance(over, dict):
        return list(map(str, over))
    if isinstance(over, list):
        nested = any(isinstance(item, dict | list) for item in over)
        return [str(index if nested else item) for index, item in enumerate(over)]
    return ["*"]


def _outputs(stage: Mapping[str, Any], key: str) -> list[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind) or ()]
    paths = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    filled = [EXPRESSION.sub(lambda found: key if found[1] in ("key", "item") else "*", path) for path in paths]
    return [posixpath.normpath(posixpath.join(stage.get("wdir", ""), path)) for path in filled]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
