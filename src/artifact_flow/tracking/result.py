"""Result: what a flow's stages left in its folder, found to be what dvc.lock names. It reads files and git."""

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
from artifact_flow.core.model.artifacts import MODEL, PORTABLE, QUANTIZED
from artifact_flow.core.model.predictions import METRICS
from artifact_flow.core.table.tables import DATA, SPLIT

# What a client needs to predict, in the order in which it is preferred.
MODEL_FILES = (PORTABLE.name, QUANTIZED.name, MODEL.name, CONTRACT.name, METRICS.name)
TAG_LENGTH = 200  # characters of a list of classes


@dataclass(frozen=True)
class Git:
    """Where the result stands: the commit, its branch, and which tracked files differ from it."""

    commit: str
    branch: str
    changed: tuple[str, ...]

    @property
    def dirty(self) -> bool:
        """Whether the commit alone does not give the result."""
        return bool(self.changed)


@dataclass(frozen=True)
class Result:
    """A flow's finished artifacts, each with the hash that dvc.lock names."""

    name: str  # of the flow: its folder's, for the main flow its source's
    folder: Path
    pipeline: Path  # the folder of its dvc.yaml
    lock: str  # sha256 of what the lock says of this flow's parameters and outputs
    contract: Contract
    params: Mapping[str, Any]  # "train.C" → value, as the stages that made the outputs had them
    metrics: Mapping[str, float]  # "test.accuracy" → value, where there is one
    sha256: Mapping[str, str]  # path from the folder → sha256, of every output
    data_md5: str  # of data.parquet, as DVC's cache and remotes name it
    git: Git

    @property
    def title(self) -> str:
        """What its run is called: the flow, the commit, and the result itself, which one commit may have several of."""
        return f"{self.name} {self.git.commit[:7]}{'-dirty' if self.git.dirty else ''} {self.lock[:7]}"

    @property
    def model_files(self) -> list[str]:
        """The names of the files that a client needs to predict."""
        return [name for name in MODEL_FILES if name in self.sha256]

    @property
    def measured_on(self) -> dict[str, str]:
        """What its test metrics are measured on: the target, its classes, and a hash of the test split's rows."""
        target = self.contract.target
        return {
            "target": target.name,
            "classes": _shorten(", ".join(target.classes)),
            "test_rows": hash_test_rows(self.folder / DATA),
        }

    @property
    def plots(self) -> list[Path]:
        """The files of the plots' data."""
        return [self.folder / path for path in self.sha256 if path.startswith("plots/")]

    @property
    def other_files(self) -> list[str]:
        """The paths of the remaining outputs; the table stays where DVC keeps it."""
        return [path for path in self.sha256 if path not in (MODEL.name, PORTABLE.name, QUANTIZED.name, DATA.name)]


@dataclass(frozen=True)
class Flow:
    """A flow's folder, and the folder of the dvc.yaml whose stages write into it."""

    folder: Path
    pipeline: Path

    @property
    def is_main(self) -> bool:
        """Whether it is that pipeline's only flow."""
        return self.folder.resolve() == self.pipeline.resolve()

    @property
    def name(self) -> str:
        """The folder's name, for the main flow its source's."""
        if not self.is_main:
            return self.folder.resolve().name
        return read_contract(self.folder / CONTRACT, self.pipeline / LOCK).model_name

    def load_params(self) -> Params:
        """Return the blocks of params.yaml that are this flow's."""
        return load_params(self.pipeline / PARAMS, None if self.is_main else self.name)


def find_flow(folder: Path) -> Flow:
    """Return the flow whose outputs lie in a folder; raise TrackError when no dvc.lock names any."""
    return Flow(folder, _stages_of(folder)[0].parent)


def read_result(folder: Path) -> Result:
    """Return what the stages left in a folder: that of the dvc.yaml, or of one of its flows.

    Raises TrackError when an output is missing or is not the one that the lock names, LockError when the lock cannot be
    read, ContractError when the contract cannot.
    """
    lock, stages = _stages_of(folder)
    outputs = {
        _relative(lock, folder, out["path"]): out["md5"] for stage in stages.values() for out in stage.get("outs", ())
    }
    for needed in (CONTRACT, METRICS, DATA, MODEL):
        if needed.name not in outputs:
            raise TrackError(f"{lock} names no {needed} of {folder}: run `dvc repro`, which makes and locks it.")
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
    """Return a hash of the test split's rows in a data.parquet, which parameters of the training do not change."""
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
    """Return a nested mapping as one of dotted keys: {"train": {"C": 1}} becomes {"train.C": 1}."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_git(folder: Path) -> Git:
    """Return where a folder's repository stands; what git cannot tell is "unknown", and then counts as changed."""
    commit = os.environ.get("GITHUB_SHA") or _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return Git("unknown", "unknown", ("everything: this is no git repository",))
    branch = os.environ.get("GITHUB_REF_NAME") or _git(folder, "branch", "--show-current") or "unknown"
    return Git(commit, branch, tuple(line[2:].strip() for line in changed.splitlines()))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def _stages_of(folder: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Return the lock that a folder's outputs stand in, and its stages that write into the folder."""
    if not folder.is_dir():
        raise TrackError(f"{folder} is no folder: name that of a dvc.yaml, or of a flow such as flows/iris.")
    for lock in (folder / LOCK, folder.parent / LOCK):
        if not lock.is_file():
            continue
        stages = {name: stage for name, stage in read_lock(lock).items() if _writes_into(lock, folder, stage)}
        if stages:
            return lock, stages
    raise TrackError(f"no {LOCK} names an output in {folder.resolve()}: run `dvc repro` first, or name another folder.")


def _writes_into(lock: Path, folder: Path, stage: Mapping[str, Any]) -> bool:
    outs = [_relative(lock, folder, out["path"]) for out in stage.get("outs", ())]
    return bool(outs) and not any(path.startswith("../") for path in outs)


def _relative(lock: Path, folder: Path, path: str) -> str:
    return posixpath.relpath((lock.parent / path).resolve(), folder.resolve())


def _hash_stages(stages: Mapping[str, Mapping[str, Any]]) -> str:
    # without the code's hashes: whichever commit gives it, the same result is the same
    said = {
        name: {
            "params": stage.get("params", {}),
            "outs": {out["path"]: out["md5"] for out in stage.get("outs", ())},
        }
        for name, stage in stages.items()
    }
    return hash_bytes(json.dumps(plain(said), sort_keys=True).encode())


def _params_of(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return "train.C" → value; a flow's blocks lose their "flows.iris."."""
    values: dict[str, Any] = {}
    for title, stage in stages.items():
        flow = title.partition("@")[2]
        for file in stage.get("params", {}).values():
            for key, value in file.items():
                block = key.removeprefix(f"flows.{flow}.").removesuffix(f".{flow}") if flow else key
                values |= flatten({block: value}) if isinstance(value, dict) else {block: value}
    return dict(sorted(values.items()))


def _shorten(text: str) -> str:
    """Return a text as a tag holds it: the end of a long one becomes a hash of the whole."""
    return text if len(text) <= TAG_LENGTH else f"{text[:TAG_LENGTH]}… (sha256 {hash_bytes(text.encode())[:12]})"


def _check_output(path: Path, md5: str) -> str:
    """Return an output's sha256 once its md5 is found to be the lock's."""
    try:
        found, sha256 = hash_file(path, "md5"), hash_file(path)
    except OSError as error:
        raise TrackError(
            f"{path} cannot be read ({error.strerror}): `dvc checkout {path}` brings it back, `dvc repro` makes it."
        ) from error
    if found != md5:
        raise TrackError(
            f"{path} is not the one that {LOCK} names (md5 {found[:12]}…, not {md5[:12]}…), so nothing was logged: "
            f"run `dvc repro`, or `dvc checkout {path}` for what was locked."
        )
    return sha256
