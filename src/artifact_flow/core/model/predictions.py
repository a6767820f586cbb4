"""Predictions: predicts encoded rows with a model opened from its pickle or as ONNX. Imports numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifact_flow.core.base.encoding import FeatureLike, have_text
from artifact_flow.core.base.errors import ModelError

PREDICTIONS, METRICS = Path("predictions.csv"), Path("metrics.json")
FIXED = "in_fixed_order_"  # an attribute of estimators that were fitted in fixed order
RUNTIME_ROWS = 1 << 16  # rows per call of the runtime, at most
TEXT_ROWS = 1 << 11  # where a row has texts, which the runtime spreads over thousands of columns: 40 MB


@dataclass(frozen=True)
class Predictions:
    """A model's predictions of rows, in the rows' order.

    `values` are class indices (int64) or numbers (float) of shape [rows]; `probabilities`, of shape
    [rows, classes], is None for regressors and for classifiers without probabilities.
    """

    values: np.ndarray
    probabilities: np.ndarray | None

    def take(self, rows: np.ndarray) -> "Predictions":
        """Return the predictions of some rows, given as indices or as bool of shape [rows]."""
        return Predictions(self.values[rows], None if self.probabilities is None else self.probabilities[rows])


def decide(predictions: Predictions, threshold: float | None) -> Predictions:
    """Return predictions with the second class wherever its probability is `threshold` or more; without one, as given.

    Raises ModelError when a model with a threshold has no probabilities.
    """
    if threshold is None:
        return predictions
    if predictions.probabilities is None:
        raise ModelError("the contract has a threshold, but the model predicts no probabilities: run `dvc repro`.")
    return Predictions((predictions.probabilities[:, 1] >= threshold).astype(np.int64), predictions.probabilities)


def predict_rows(estimator: Any, X: np.ndarray, classes: Sequence[str]) -> Predictions:
    """Return a fitted estimator's predictions for every row of X, encoded and of shape [rows, features].

    An estimator that was fitted in fixed order predicts in fixed order.

    Raises ModelError when the estimator cannot predict a row.
    """
    try:
        if hasattr(estimator, FIXED):
            from artifact_flow.core.model.fixed_fit import predict_fixed  # noqa: PLC0415 - imports scikit-learn

            values, found = predict_fixed(estimator, X)
        else:
            values = estimator.predict(X)
            found = estimator.predict_proba(X) if classes and hasattr(estimator, "predict_proba") else None
        if found is None:
            return Predictions(values, None)
        probabilities = np.zeros((len(X), len(classes)))  # a class that is not in the train split has probability 0
        probabilities[:, estimator.classes_] = found
    except Exception as error:  # scikit-learn's estimators raise various exceptions
        raise ModelError(
            f"{type(estimator).__name__} cannot predict every row of the table: {' '.join(str(error).split())}: "
            "choose another train.estimator or its arguments in params.yaml."
        ) from error
    return Predictions(values, probabilities)


def run_portable(session: Any, features: Sequence[FeatureLike], X: np.ndarray) -> Predictions:
    """Return an opened ONNX model's predictions for every row of X, encoded and of shape [rows, features]."""
    names = [output.name for output in session.get_outputs()]
    parts = []
    texts = have_text(features)
    size = TEXT_ROWS if texts else RUNTIME_ROWS
    for start in range(0, max(len(X), 1), size):
        rows = X[start : start + size] if texts else np.ascontiguousarray(X[start : start + size], dtype=np.float32)
        parts.append(session.run(names, raw_inputs(session, features, rows)))
    whole = {name: np.concatenate(arrays) for name, arrays in zip(names, zip(*parts, strict=True), strict=True)}
    if "prediction" in whole:
        return Predictions(whole["prediction"][:, 0], None)
    return Predictions(whole["label"], whole.get("probabilities"))


def raw_inputs(session: Any, features: Sequence[FeatureLike], X: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return encoded rows as the graph's inputs: one matrix, or one per column, of text for categories and texts."""
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].type == "tensor(float)":
        return {inputs[0].name: X}
    columns = {}
    for number, feature in enumerate(features):
        column = X[:, number : number + 1]
        if feature.type == "category":
            known = feature.categories or []
            unseen = "?" + "".join(known)  # longer than each category, so equal to none
            column = np.array([*known, "", unseen], dtype=object)[column.astype(np.int64)]
        elif feature.type != "text":
            column = column.astype(np.float32, copy=False)
        columns[inputs[number].name] = column  # by position: an input whose name is an output's is renamed
    return columns
