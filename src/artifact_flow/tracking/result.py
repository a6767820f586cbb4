"""Result: the outputs of a flow's stages, verified against dvc.lock. This module only reads files and git."""

import hashlib
import io
import json
import os
import posixpath
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_flow.core.base.contract import CONTRACT, Contract, plain, read_contract
from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.lock import LOCK, read_lock
from artifact_flow.core.base.params import PARAMS, Params, load_params
from artifact_flow.core.model.artifacts import MODEL, PORTABLE, QUANTIZED, is_empty
from artifact_flow.core.model.predictions import METRICS
from artifact_flow.core.table.tables import DATA, SPLIT

# The files that a client needs to predict, in order of preference.
MODEL_FILES = (PORTABLE.name, QUANTIZED.name, MODEL.name, CONTRACT.name, METRICS.name)
TAG_LENGTH = 200  # characters of a list of classes in a tag


@dataclass(frozen=True)
class Git:
    """The state of the repository: the commit, its branch, and the tracked files that differ from it."""

    commit: str
    branch: str
    changed: tuple[str, ...]

    @property
    def dirty(self) -> bool:
        """Whether there are uncommitted changes, so that the commit alone does not give the result."""
        return bool(self.changed)


@dataclass(frozen=True)
class Result:
    """A flow's finished artifacts, each with a hash that matches dvc.lock."""

    name: str  # the name of the flow's folder; for the main flow, the name of its source
    folder: Path
    pipeline: Path  # the folder that contains its dvc.yaml
    lock: str  # sha256 of the parameters and output hashes of this flow in dvc.lock
    contract: Contract
    params: Mapping[str, Any]  # "train.C" → value, as used by the stages that made the outputs
    metrics: Mapping[str, float]  # "test.accuracy" → value; metrics without a value are left out
    sha256: Mapping[str, str]  # path of each output, relative to the folder → sha256
    data_md5: str  # of data.parquet; its name in DVC's cache and remotes
    git: Git

    @property
    def title(self) -> str:
        """The name of its run: flow, commit, and the start of the lock's hash, as a commit may have several results."""
        return f"{self.name} {self.git.commit[:7]}{'-dirty' if self.git.dirty else ''} {self.lock[:7]}"

    @property
    def model_files(self) -> list[str]:
        """The names of the files that a client needs to predict; an empty file holds no model."""
        return [name for name in MODEL_FILES if name in self.sha256 and not is_empty(self.sha256[name])]

    @property
    def measured_on(self) -> dict[str, str]:
        """The data behind its test metrics: the target, its classes, and a hash of the test split's rows."""
        target = self.contract.target
        return {
            "target": target.name,
            "classes": _shorten(", ".join(target.classes)),
            "test_rows": hash_test_rows(self.folder / DATA),
        }

    @property
    def plots(self) -> list[Path]:
        """The paths of the files with the plots' data."""
        return [self.folder / path for path in self.sha256 if path.startswith("plots/")]

    @property
    def other_files(self) -> list[str]:
        """The paths of the other outputs, without data.parquet, which DVC stores."""
        return [path for path in self.sha256 if path not in (MODEL.name, PORTABLE.name, QUANTIZED.name, DATA.name)]


@dataclass(frozen=True)
class Flow:
    """The folder of a flow, and the folder of the dvc.yaml whose stages write into it."""

    folder: Path
    pipeline: Path

    @property
    def is_main(self) -> bool:
        """Whether it is the main flow, whose dvc.yaml is in the same folder."""
        return self.folder.resolve() == self.pipeline.resolve()

    @property
    def name(self) -> str:
        """The name of the flow's folder; for the main flow, the name of its source."""
        if not self.is_main:
            return self.folder.resolve().name
        return read_contract(self.folder / CONTRACT, self.pipeline / LOCK).model_name

    def load_params(self) -> Params:
        """Return this flow's blocks of params.yaml."""
        return load_params(self.pipeline / PARAMS, None if self.is_main else self.name)


def find_flow(folder: Path) -> Flow:
    """Return the flow whose outputs are in a folder; raise TrackError when no dvc.lock lists an output there."""
    return Flow(folder, _stages_of(folder)[0].parent)


def read_result(folder: Path) -> Result:
    """Return the result in a folder, which is the folder of a dvc.yaml or of one of its flows.

    Raises TrackError when an output is missing or differs from dvc.lock, LockError when the lock cannot be read, and
    ContractError when the contract cannot be read.
    """
    lock, stages = _stages_of(folder)
    outputs = {
        _relative(lock, folder, out["path"]): out["md5"] for stage in stages.values() for out in stage.get("outs", ())
    }
    for needed in (CONTRACT, METRICS, DATA, MODEL):
        if needed.name not in outputs:
            raise TrackError(f"{lock} does not list {needed} of {folder}: run `dvc repro`, which creates and locks it.")
    sha256 = {path: _check_output(folder / path, md5) for path, md5 in sorted(outputs.items())}
    contract = read_contract(folder / CONTRACT, lock)
    metrics = flatten(json.loads((folder / METRICS).read_bytes()))
    return Result(
        name=Flow(folder, lock.parent).name,
        folder=folder,
        pipeline=lock.parent,
        lock=_hash_stages(stages),
        contract=contract,
        params=_params_of(stages),
        metrics={name: value for name, value in metrics.items() if value is not None},
        sha256=sha256,
        data_md5=outputs[DATA.name],
        git=read_git(folder),
    )


def hash_test_rows(path: Path) -> str:
    """Return a hash of the test split's rows in a data.parquet. Training parameters do not change it."""
    import pyarrow.parquet as pq  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    rows = pq.read_table(path, filters=[(SPLIT, "=", "test")])
    names = sorted(rows.column_names)
    digest = hashlib.sha256(json.dumps(names).encode())
    for batch in rows.select(names).to_batches():
        written = io.BytesIO()
        csv.write_csv(batch, written, csv.WriteOptions(include_header=False))
        digest.update(written.getvalue())
    return digest.hexdigest()


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as a flat one with dotted keys: {"train": {"C": 1}} becomes {"train.C": 1}."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_git(folder: Path) -> Git:
    """Return the state of a folder's repository; without git it is "unknown", which counts as changed."""
    commit = os.environ.get("GITHUB_SHA") or _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return Git("unknown", "unknown", ("everything: this is not a git repository",))
    branch = os.environ.get("GITHUB_REF_NAME") or _git(folder, "branch", "--show-current") or "unknown"
    return Git(commit, branch, tuple(line[2:].strip() for line in changed.splitlines()))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def _stages_of(folder: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Return the dvc.lock that lists a folder's outputs, and its stages that write into the folder."""
    if not folder.is_dir():
        raise TrackError(f"{folder} is not a folder: give the folder of a dvc.yaml, or of a flow such as flows/iris.")
    for lock in (folder / LOCK, folder.parent / LOCK):
        if not lock.is_file():
            continue
        stages = {name: stage for name, stage in read_lock(lock).items() if _writes_into(lock, folder, stage)}
        if stages:
            return lock, stages
    raise TrackError(f"no {LOCK} lists an output in {folder.resolve()}: run `dvc repro` first, or give another folder.")


def _writes_into(lock: Path, folder: Path, stage: Mapping[str, Any]) -> bool:
    outs = [_relative(lock, folder, out["path"]) for out in stage.get("outs", ())]
    return bool(outs) and not any(path.startswith("../") for path in outs)


def _relative(lock: Path, folder: Path, path: str) -> str:
    return posixpath.relpath((lock.parent / path).resolve(), folder.resolve())


def _hash_stages(stages: Mapping[str, Mapping[str, Any]]) -> str:
    # The hashes of the code are left out, so that equal results of different commits have the same hash.
    content = {
        name: {
            "params": stage.get("params", {}),
            "outs": {out["path"]: out["md5"] for out in stage.get("outs", ())},
        }
        for name, stage in stages.items()
    }
    return hash_bytes(json.dumps(plain(content), sort_keys=True).encode())


def _params_of(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return "train.C" → value; the prefix "flows.iris." of a flow's blocks is removed."""
    values: dict[str, Any] = {}
    for title, stage in stages.items():
        flow = title.partition("@")[2]
        for file in stage.get("params", {}).values():
            for key, value in file.items():
                block = key.removeprefix(f"flows.{flow}.").removesuffix(f".{flow}") if flow else key
                values |= flatten({block: value}) if isinstance(value, dict) else {block: value}
    return dict(sorted(values.items()))


def _shorten(text: str) -> str:
    """Return a text for a tag; a long text is cut and gets a hash of the whole text."""
    return text if len(text) <= TAG_LENGTH else f"{text[:TAG_LENGTH]}… (sha256 {hash_bytes(text.encode())[:12]})"


def _check_output(path: Path, md5: str) -> str:
    """Return an output's sha256 after verifying its md5 against dvc.lock."""
    try:
        found, sha256 = hash_file(path, "md5"), hash_file(path)
    except OSError as error:
        raise TrackError(
            f"{path} cannot be read ({error.strerror}): `dvc checkout {path}` restores it, `dvc repro` recreates it."
        ) from error
    if found != md5:
        raise TrackError(
            f"{path} is not the one that {LOCK} names (md5 {found[:12]}…, not {md5[:12]}…), so it is not a result: "
            f"run `dvc repro`, or `dvc checkout {path}` to restore the locked file."
        )
    return sha256
