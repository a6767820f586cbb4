"""What the unit tests do with tables and their models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.encoding import Text, encode_rows
from artifact_flow.core.base.params import DataParams, TrainParams
from artifact_flow.core.model.artifacts import start_session
from artifact_flow.core.model.handover import draw_contract
from artifact_flow.core.model.models import build_model, fit_model
from artifact_flow.core.model.predictions import Predictions, predict_rows, run_portable
from artifact_flow.core.model.scoring import score_rows
from artifact_flow.core.table.datasets import load_builtin
from artifact_flow.core.table.tables import Roles, Table, split_rows


def estimator_of(path: str, keywords: dict[str, Any] | None = None) -> TrainParams:
    """Return a `train` block."""
    return TrainParams(estimator=f"sklearn.{path}", threads=1, **(keywords or {}))


def built_in(source: str) -> Table:
    """Return a built-in set with its split."""
    return split_rows(load_builtin(DataParams(source=source, test_size=0.3, seed=0, stratify=False)))


def of_two_classes(table: Table) -> Table:
    """Return a table with its last two classes in one."""
    y = pa.array(np.minimum(table.y, 1))
    columns = table.columns.set_column(table.columns.column_names.index("target"), "target", y)
    return Table(columns, Roles(features=table.roles.features, classes=["high", "other"], params=table.roles.params))


def matrix(table: Table, part: Table | None = None) -> np.ndarray:
    """Return a table's rows (or those of a part of it), encoded."""
    return encode_rows(table.describe(), (part or table).raw)[0]


def train_model(table: Table, params: TrainParams, rows: slice = slice(None)) -> Any:
    """Return the estimator of `params` fitted on some rows of a table."""
    features = table.describe()
    model = build_model(params, table.roles.task, features, table.roles.params.preprocess)
    return fit_model(model, matrix(table)[rows], table.y[rows], params)


def predict(estimator: Any, table: Table) -> Predictions:
    """Return what an estimator says of a table's rows."""
    return predict_rows(estimator, matrix(table), table.roles.classes)


def predict_file(content: bytes, table: Table) -> Predictions:
    """Return what an ONNX file says of a table's rows in its runtime."""
    return run_portable(start_session(content), table.describe(), matrix(table))


def score_splits(table: Table, predictions: Predictions) -> dict[str, dict[str, float]]:
    """Return the usual metrics of each split."""
    rows = {split: table.split == split for split in ("train", "test")}
    return {
        split: score_rows(table.y[held], predictions.take(held), table.roles.classes) for split, held in rows.items()
    }


def contract_of(table: Table, params: TrainParams, sha256: dict[str, str]) -> Contract:
    """Return the contract of a model fitted on the table."""
    return draw_contract(table, table.describe(), params, sha256)


def text_column(values: Sequence[str | None]) -> Text:
    """Return a column of texts as the encoding takes it, None where one is missing."""
    known: dict[str, int] = {}
    index = [-1 if value is None else known.setdefault(value, len(known)) for value in values]
    return Text(list(known), np.array(index, dtype=np.int64))


def train_rows(table: Table) -> np.ndarray:
    """Return the places of the train split's rows."""
    return np.flatnonzero(table.split == "train")
