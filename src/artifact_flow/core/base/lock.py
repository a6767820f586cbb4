"""Lock: reads the entries of a dvc.lock whose stages still exist in dvc.yaml. Only DVC writes the file."""

import posixpath
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from artifact_flow.core.base.errors import LockError
from artifact_flow.core.base.pipeline import Pipeline, read_pipeline

Way: TypeAlias = Literal["before", "after"]

LOCK = Path("dvc.lock")  # next to its dvc.yaml, in the directory where the stages run


def read_lock(path: Path) -> dict[str, dict[str, Any]]:
    """Return stage name → entry of a dvc.lock, for the stages of its dvc.yaml; raise as `parse_lock` does."""
    return parse_lock(path.read_bytes(), read_pipeline(path.parent))


def parse_lock(content: bytes, pipeline: Pipeline | None = None) -> dict[str, dict[str, Any]]:
    """Return stage name → entry of a lock's content; with a pipeline, only for the stages it has.

    Raises LockError when the content is not a lock.
    """
    try:
        # machine-written, so any YAML reader works: this one, in C, takes a tenth of the time of a pure-Python one
        stages = (yaml.load(content.decode(), Loader=yaml.CSafeLoader) or {}).get("stages") or {}
        hashes = [out["md5"] for stage in stages.values() for out in stage.get("outs", ())]
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise LockError(
            f"{LOCK} is damaged or holds a merge conflict ({type(error).__name__}): restore one side with "
            f"`git checkout HEAD -- {LOCK}`, then run `dvc repro`."
        ) from error
    if not all(isinstance(md5, str) for md5 in hashes):
        raise LockError(f"{LOCK} names an output without its md5: run `dvc repro`, which writes it.")
    return {name: stage for name, stage in stages.items() if pipeline is None or pipeline.find(name)}


def merge_locks(locks: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the stages of several locks, given by their paths from the repository's root, as one mapping.

    All paths in the result are relative to that root. A stage of a lock in a subfolder has DVC's name for it, such as
    "flows/dvc.yaml:train@iris".
    """
    merged = {}
    for path, stages in locks.items():
        folder = posixpath.dirname(path)
        for name, stage in stages.items():
            placed = {
                kind: [entry | {"path": _join(folder, entry["path"])} for entry in stage.get(kind, ())]
                for kind in ("deps", "outs")
            }
            params = {_join(folder, file): values for file, values in stage.get("params", {}).items()}
            title = f"{folder}/dvc.yaml:{name}" if folder else name
            merged[title] = {"cmd": stage.get("cmd"), "params": params, **placed}
    return merged


def _join(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def output_hashes(stages: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return path → md5 of every output in a lock's stages; paths are relative to the lock's directory."""
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", ())}


def shares_path(one: str, other: str) -> bool:
    """Return whether two paths of outputs or dependencies are equal or one is inside the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def walk_stages(stages: Mapping[str, Mapping[str, Any]], start: Iterable[str], way: Way) -> list[str]:
    """Return `start` and all stages upstream ("before") or downstream ("after") of them, directly or indirectly."""
    mine, theirs = ("deps", "outs") if way == "before" else ("outs", "deps")
    found = list(dict.fromkeys(start))
    for name in found:  # grows during the loop
        paths = [entry["path"] for entry in stages[name][mine]]
        found += [
            other
            for other, stage in stages.items()
            if other not in found and any(shares_path(entry["path"], path) for entry in stage[theirs] for path in paths)
        ]
    return found


def nearest_lock(folder: Path) -> Path:
    """Return the dvc.lock nearest to a folder: in it or in the closest folder above it."""
    folder = folder.resolve()
    return next((found for parent in (folder, *folder.parents) if (found := parent / LOCK).is_file()), folder / LOCK)


def locked_md5(path: Path, lock: Path = LOCK) -> str | None:
    """Return the md5 of an output in a dvc.lock, or None if there is no lock or it does not list the output."""
    if not lock.is_file():
        return None
    outputs = _output_hashes(lock.read_bytes(), read_pipeline(lock.parent))
    return {(lock.parent / name).resolve(): md5 for name, md5 in outputs.items()}.get(path.resolve())


@lru_cache(maxsize=1)
def _output_hashes(content: bytes, pipeline: Pipeline | None) -> dict[str, str]:
    # cached: a contract and its model look up the same lock
    return output_hashes(parse_lock(content, pipeline))
