"""Contract: the promise between the steps: columns, types, ranges, classes, parameters, hashes, versions.

It is written by `train` beside the model and holds what is known then: no metrics, no commit, no Python version.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from artifact_flow.datasets import DATA, TARGET, Table, Task
from artifact_flow.determinism import library_versions
from artifact_flow.errors import ContractError
from artifact_flow.files import hash_file
from artifact_flow.lock import LOCK, output_hashes, parse_lock
from artifact_flow.params import TrainParams

CONTRACT = Path("contract.json")


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Feature(_Part):
    """One column as the model saw it in training: its type and its distribution over the train split."""

    name: str
    type: Literal["float64"]
    min: float
    max: float
    mean: float
    std: float


class Target(_Part):
    """What is predicted: the column, the task and, for a classification, the classes in the order of their indices."""

    name: str
    task: Task
    classes: list[str]


class Contract(_Part):
    """Everything a later step may rely on about the model it is given."""

    version: Literal[1]
    target: Target
    rows: dict[str, int]  # split → number of rows
    params: dict[str, Any]  # the blocks that made the data and the model
    sha256: dict[str, str]  # file name → hash, of the data and of the model
    libraries: dict[str, str]  # name → version that wrote them
    features: list[Feature]


def describe(table: Table, params: TrainParams, sha256: dict[str, str]) -> Contract:
    """Return the contract of a model fitted on the train split of `table` with `params`."""
    train = table.part("train")
    return Contract(
        version=1,
        target=Target(name=TARGET, task=table.roles.task, classes=table.roles.classes),
        rows={"train": train.columns.num_rows, "test": table.columns.num_rows - train.columns.num_rows},
        params=_plain({"data": table.roles.params.model_dump(), "train": params.model_dump()}),
        sha256=sha256,
        libraries=library_versions(),
        features=[_describe_feature(name, train.columns[name].to_numpy()) for name in table.roles.features],
    )


def check_data(contract: Contract, path: Path = DATA) -> None:
    """Raise ContractError unless the table in `path` is, by its sha256, the one that the contract's model saw."""
    expected = contract.sha256.get(path.name)
    try:
        found = hash_file(path)
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read ({error.strerror}): `dvc repro --force data` makes it again."
        ) from error
    if found != expected:
        raise ContractError(
            f"{path} is not the table that {CONTRACT} names (sha256 {found[:12]}…, not {str(expected)[:12]}…): "
            "run `dvc repro`, which makes both from the same data."
        )


def write_contract(contract: Contract, path: Path) -> None:
    """Write a contract as JSON, one feature a line, so that a diff reads."""
    document = contract.model_dump(mode="json")
    features = ",\n    ".join(json.dumps(feature, ensure_ascii=False) for feature in document.pop("features"))
    head = json.dumps(document, indent=2, ensure_ascii=False).removesuffix("\n}")
    path.write_text(f'{head},\n  "features": [\n    {features}\n  ]\n}}\n', encoding="utf-8", newline="\n")


def read_contract(path: Path = CONTRACT, lock: Path = LOCK) -> Contract:
    """Return the contract in `path`, after its hash is found to be the one that the DVC lock names.

    `lock` is the dvc.lock beside the dvc.yaml in question; where there is none, or it does not list the contract,
    only the content is checked. Raises ContractError, or LockError when the lock itself cannot be read.
    """
    remedy = "`dvc repro --force train` writes model and contract anew."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    locked = _locked_md5(path, lock)
    if locked and locked != hashlib.md5(content, usedforsecurity=False).hexdigest():
        raise ContractError(
            f"{path} is not the one that {lock.name} names (md5 {locked}); it was edited or replaced: {remedy}"
        )
    try:
        return Contract.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ContractError(f"{path}: {where}: {first['msg']}: {remedy}") from error


def _locked_md5(path: Path, lock: Path) -> str | None:
    if not lock.is_file():
        return None
    outputs = output_hashes(parse_lock(lock.read_bytes()))
    return {(lock.parent / name).resolve(): md5 for name, md5 in outputs.items()}.get(path.resolve())


def _plain(value: Any) -> Any:
    """Return a parameter as JSON holds it: keys as text, infinities and NaN as YAML writes them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    return value


def _describe_feature(name: str, values: np.ndarray) -> Feature:
    # 10 significant digits: enough for any monitor, and the last bits of a sum are nobody's promise
    low, high, mean, std = (float(f"{f(values):.10g}") for f in (np.min, np.max, np.mean, np.std))
    return Feature(name=name, type="float64", min=low, max=high, mean=mean, std=std)
