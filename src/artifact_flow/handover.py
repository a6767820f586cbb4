"""Handover: what `data` and `train` left in a flow's folder, opened after its checks, for every stage that follows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifact_flow.artifacts import MODEL, open_model
from artifact_flow.contract import CONTRACT, Contract, check_data, check_params, read_contract
from artifact_flow.encoding import encode_rows
from artifact_flow.params import Params
from artifact_flow.tables import DATA, Table, read_table


@dataclass(frozen=True)
class Handover:
    """A contract, the table and the fitted estimator that it names, and the table's rows as X [rows, features]."""

    contract: Contract
    table: Table
    estimator: Any
    X: np.ndarray


def receive(folder: Path, params: Params) -> Handover:
    """Return what lies in a flow's folder; the contract must be the lock's, the table and the model the contract's.

    The contract's parameters must be those of params.yaml, so that no stage goes on with the model of other ones.

    Raises ContractError, LockError, DataError or ModelError when a check fails.
    """
    contract = read_contract(folder / CONTRACT)
    check_params(contract, params)
    check_data(contract, folder / DATA)
    table = read_table(folder / DATA)
    estimator = open_model(contract, folder / MODEL)
    X, _ = encode_rows(contract.features, table.raw)
    return Handover(contract, table, estimator, X)
