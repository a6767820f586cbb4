"""Merge: a three-way merge of dvc.lock by stage, in the format that DVC writes.

A stage's entry in a lock is one claim: this command on these inputs gave these outputs. So the merge takes each entry
whole from one side and never mixes two. If an entry does not match the merged files, DVC finds the stage stale.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from artifact_flow.core.base.errors import LockError
from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.lock import LOCK

STAGES, SCHEMA = "stages", "schema"


@dataclass(frozen=True)
class Merged:
    """A merged lock, and its open stages: those that neither side has reproduced, so DVC must run them first."""

    content: bytes
    open: tuple[str, ...]


def merge_files(base: Path, ours: Path, theirs: Path, path: Path = LOCK) -> tuple[str, ...]:
    """Write the merge of three files into `ours` and return its open stages; `path` is the lock's name in messages.

    Raises LockError, without changing `ours`, when a file is not a valid lock or the two sides' schemas differ.
    """
    merged = merge_contents(base.read_bytes(), ours.read_bytes(), theirs.read_bytes(), path)
    with replace_files(ours) as (part,):
        part.write_bytes(merged.content)
    return merged.open


def merge_contents(base: bytes, ours: bytes, theirs: bytes, path: Path = LOCK) -> Merged:
    """Return the merge of the contents of three locks; git passes an empty content for a file that did not exist.

    A stage that one side changed is taken from that side, and one that both changed equally from either. If both
    changed it differently, the entry of `ours` is kept, because its outputs are in the workspace. Raises LockError like
    `merge_files`.
    """
    before, here, there = (
        _load_lock(content, f"{path} of {side}")
        for content, side in ((base, "the common ancestor"), (ours, "this branch"), (theirs, "the other branch"))
    )
    if here and there and here[SCHEMA] != there[SCHEMA]:
        raise LockError(
            f"{path} has schema {here[SCHEMA]!r} on this branch and {there[SCHEMA]!r} on the other one, but both must "
            "be the same, so this branch's file is kept: run `dvc repro` with the locked version of DVC, then "
            "`git add` the file."
        )
    document, _ = _merge_keys(before, here, there)
    document[STAGES], both = _merge_keys(*(side.get(STAGES, {}) for side in (before, here, there)))
    alone = _out_of_step(here) | _out_of_step(there)
    return Merged(_dump_lock(document), tuple(sorted({*both} | _out_of_step(document) - alone)))


def _merge_keys(
    base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the merged entries, in the order of `ours`, and the names of those that both sides changed differently."""
    merged, both = {}, []
    for name in dict.fromkeys((*ours, *theirs)):
        was, here, there = (side.get(name) for side in (base, ours, theirs))
        if here != there and was not in (here, there):
            both.append(name)
        taken = there if here == was else here
        if taken is not None:
            merged[name] = taken
    return merged, both


def _out_of_step(document: Mapping[str, Any]) -> set[str]:
    """Return the stages whose inputs differ from what another stage of the same lock wrote or read at that path."""
    stages = document.get(STAGES, {})
    seen = {entry["path"]: entry.get("md5") for stage in stages.values() for entry in stage.get("outs", ())}
    return {name for name, stage in stages.items() for what, is_ in _inputs(stage) if seen.setdefault(what, is_) != is_}


def _inputs(stage: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each file and each parameter that a stage read, with its hash or value."""
    for entry in stage.get("deps", ()):
        yield entry["path"], entry.get("md5")
    for file, values in stage.get("params", {}).items():
        for key, value in values.items():
            yield (file, key), value


def _load_lock(content: bytes, name: str) -> dict[str, Any]:
    """Return the document of a lock, or an empty one for empty content; raise LockError when it is damaged."""
    try:
        document = dict(_yaml().load(content.decode()) or {})
        if document:
            _out_of_step({STAGES: document[STAGES], SCHEMA: document[SCHEMA]})
    except (YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise LockError(
            f"{name} is damaged ({type(error).__name__}), so nothing was merged and this branch's file is kept: run "
            "`dvc repro`, then `git add` its outputs."
        ) from error
    return document


def _dump_lock(document: Mapping[str, Any]) -> bytes:
    with io.StringIO() as text:
        _yaml().dump(dict(document), text)
        return text.getvalue().encode()


def _yaml() -> YAML:
    # the same settings as DVC, so that DVC does not rewrite the file (dvc/utils/serialize/_yaml.py)
    yaml = YAML()
    yaml.default_flow_style = False
    return yaml
