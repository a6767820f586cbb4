"""Handover: the contract that `train` writes with its model, and how later stages check and open both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifact_flow.core.base.contract import (
    CONTRACT,
    Contract,
    Feature,
    Target,
    blocks_of,
    check_data,
    check_params,
    plain,
    read_contract,
)
from artifact_flow.core.base.determinism import library_versions
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.core.base.params import Params, TrainParams
from artifact_flow.core.model.artifacts import MODEL, open_model
from artifact_flow.core.table.tables import DATA, Table, read_table


@dataclass(frozen=True)
class Handover:
    """A contract, its table and fitted estimator, and the table's rows encoded as X [rows, features]."""

    contract: Contract
    table: Table
    estimator: Any
    X: np.ndarray


def receive(folder: Path, params: Params) -> Handover:
    """Return the handover in a flow's folder: the contract must match the lock, the table and model the contract.

    The contract's parameters must equal those of params.yaml, so that no stage uses a model made with other ones.

    Raises ContractError, LockError, DataError or ModelError when a check fails.
    """
    contract = read_contract(folder / CONTRACT)
    check_params(contract, params)
    check_data(contract, folder / DATA)
    table = read_table(folder / DATA)
    estimator = open_model(contract, folder / MODEL)
    X, _ = encode_rows(contract.features, table.raw)
    return Handover(contract, table, estimator, X)


def record_threshold(contract: Contract, threshold: float) -> Contract:
    """Return the contract of a model that predicts the second class from `threshold` of its probability on."""
    return contract.model_copy(update={"target": contract.target.model_copy(update={"threshold": threshold})})


def draw_contract(
    table: Table,
    features: list[Feature],
    params: TrainParams,
    sha256: dict[str, str],
    best: Mapping[str, Any] | None = None,
) -> Contract:
    """Return the contract of the model fitted on the train split of `table` with `params`.

    `best` holds the arguments chosen by the search in `params`; the contract records them as `params.best`.
    """
    roles = table.roles
    blocks = blocks_of(roles.params, params)
    return Contract(
        version=2,
        target=Target(name=roles.target, task=roles.task, classes=roles.classes),
        id=roles.id,
        rows={"train": table.count("train"), "test": table.count("test")},
        params=blocks if best is None else blocks | {"best": plain(dict(best))},
        sha256=sha256,
        libraries=library_versions(),
        features=features,
    )
