"""Trial: an estimator is fitted on a sample of the table, to find out what it supports. It writes nothing."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.encoding import Text, encode_rows
from artifact_flow.core.base.errors import DataError, InapplicableError, ModelError
from artifact_flow.core.base.params import DataParams, TrainParams
from artifact_flow.core.model.handover import draw_contract
from artifact_flow.core.model.models import build_model, fit_model
from artifact_flow.core.model.predictions import predict_rows
from artifact_flow.core.table.datasets import load_own
from artifact_flow.core.table.tables import Table, split_rows
from artifact_flow.portable.eight_bit import extract_part
from artifact_flow.portable.export import (
    check_classes,
    check_parity,
    export_model,
    name_of,
    predict_portable,
    serialize,
)

PARITY = 1e-4  # export.max_difference for a user's own table
TRIAL_ROWS = 2000  # rows in the sample


def load_table(root: Path, params: DataParams) -> Table:
    """Return the table as stage `data` will make it, not stratified if some class has too few rows for that."""
    params = params.model_copy(update={"source": os.path.relpath(root / params.source)})
    table = load_own(params)
    try:
        return split_rows(table)
    except DataError:
        if not params.stratify:
            raise
    params = params.model_copy(update={"stratify": False})
    return split_rows(replace(table, roles=table.roles.model_copy(update={"params": params})))


def numeric_columns(table: Table) -> Mapping[str, np.ndarray]:
    """Return the features in which to look for leaks: all for a classification, else the numbers.

    Each is float64 of shape [rows], by name, NaN where a value is missing; a text is a code.
    """
    return {
        name: np.where(column.index < 0, np.nan, column.index) if isinstance(column, Text) else column
        for name, column in table.raw.items()
        if table.roles.classes or table.roles.features[name] == "number"
    }


def try_estimator(table: Table, params: TrainParams) -> dict[str, str]:
    """Return which of the stages export and quantize do not apply to the estimator, with the reasons.

    Raises ParamsError when the estimator does not fit the task or the table.
    """
    trial = _sample(table)
    features, train = trial.describe(bins=False), trial.split == "train"
    X, _ = encode_rows(features, trial.raw)
    reasons = {}
    with reproducible(params.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stage `train` shows the warnings of the real fit
        model = build_model(params, table.roles.task, features, "auto", table.roles.params.text)
        estimator = fit_model(model, X[train], trial.y[train], params)
        try:
            _try_export(estimator, trial, draw_contract(trial, features, params, {}), X)
        except ModelError as error:
            reasons["export"] = str(error)
        try:
            check_classes(estimator, trial.roles.classes)
            extract_part(estimator, X)
        except InapplicableError as error:
            reasons["quantize"] = str(error)
    return reasons


def _try_export(estimator: Any, trial: Table, contract: Contract, X: np.ndarray) -> None:
    """Raise ModelError when the estimator has no ONNX form that predicts the same for the rows."""
    content = serialize(export_model(estimator, contract, opset=17, X=X), "")
    found = predict_portable(content, contract, X)
    difference, wrong = check_parity(predict_rows(estimator, X, trial.roles.classes), found, trial.y, PARITY)
    if wrong:
        raise ModelError(
            f"{name_of(estimator)} predicts differently as ONNX on {wrong} of {len(X)} rows tried (largest difference "
            f"{difference:.1e}, allowed {PARITY})"
        )


def _sample(table: Table) -> Table:
    kept = np.sort(np.random.default_rng(0).permutation(table.columns.num_rows)[:TRIAL_ROWS])
    if table.roles.classes:  # the sample needs at least one training row of each class
        rows = np.flatnonzero(table.split == "train")
        kept = np.union1d(kept, rows[np.unique(table.y[rows], return_index=True)[1]])
    return Table(table.columns.take(kept), table.roles)
