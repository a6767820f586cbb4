"""Scoring: the metrics of predictions and the tables for reports and plots. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn import metrics

from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.figures import round_figure
from artifact_flow.core.base.fixed_order import log, total
from artifact_flow.core.base.params import PARAMS
from artifact_flow.core.model.predictions import Predictions
from artifact_flow.core.table.tables import ID, SPLIT, TARGET, Table

PLOT_ROWS = 5000  # as many points as a browser draws quickly
USUAL = ("accuracy", "f1_macro", "log_loss", "r2", "mse", "mae")  # the metrics that need no parameter
EPS = float(np.finfo(np.float64).eps)
PERFECT = 1 - 1e-9  # an R² above it is 1 but for rounding
NAMED = 10  # classes listed in a note, at most
_REMEDY = f"which metrics.json cannot contain: bring the table's columns to one scale, or change train in {PARAMS}."


def is_suspicious(scores: Mapping[str, Mapping[str, float]]) -> bool:
    """Return whether the test split is predicted without an error: every class right, or R² 1 but for rounding."""
    test = scores["test"]
    return test.get("accuracy", 0) == 1 or test.get("r2", 0) > PERFECT


def measure_cost(table: Table, exact: Predictions, quantized: Predictions) -> dict[str, Any]:
    """Return the metrics of a model and of its 8-bit version on the test split, and their differences.

    `quality_loss` is the decrease of `metric` (accuracy or R²). `agreement` is the share of equal labels or, for
    numbers, the R² of the 8-bit predictions against the model's. `largest_error` is the largest difference between two
    probabilities or predicted numbers.
    """
    test = table.split == "test"
    scores = [_score(table, predictions, test) for predictions in (exact, quantized)]
    metric = "accuracy" if table.roles.classes else "r2"
    one, two = exact.values[test], quantized.values[test]
    agreement = find_quality(one, two, table.roles.classes)
    if exact.probabilities is not None and quantized.probabilities is not None:
        error = np.abs(exact.probabilities[test] - quantized.probabilities[test]).max()
    else:
        error = np.abs(one - two).max()
    return {
        "metric": metric,
        "float": scores[0],
        "quantized": scores[1],
        "quality_loss": round_figure(scores[0][metric] - scores[1][metric], scale=unit_of(scores[0][metric])),
        "agreement": round_figure(agreement, scale=unit_of(agreement)),
        "largest_error": float(f"{error:.6g}"),
    }


def report_classes(table: Table, predictions: Predictions) -> str:
    """Return scikit-learn's report for the classes that occur in the test split, and a note on classes without a row.

    Its macro average is the macro F1 of `score_rows`.
    """
    test, names = table.split == "test", table.roles.classes
    y, values = table.y[test], predictions.values[test]
    occurring = np.union1d(y, values)
    titles = [names[label] for label in occurring]
    report = str(metrics.classification_report(y, values, labels=occurring, target_names=titles, zero_division=0))
    absent = np.setdiff1d(np.arange(len(names)), y)
    if not len(absent):
        return report
    some = ", ".join(names[label] for label in absent[:NAMED]) + (" …" if len(absent) > NAMED else "")
    return (
        f"{report}\nnote: {len(absent)} of {len(names)} classes have no test row ({some}); "
        "the macro average is over the classes that occur as a target or as a prediction.\n"
    )


def tabulate_predictions(table: Table, predictions: Predictions, decimals: int) -> pa.Table:
    """Return the rows of predictions.csv: id, split, target, prediction and the prediction's probability.

    Classes are given by name. Probabilities are rounded to `decimals` decimal places, a regressor's predictions to as
    many significant digits; without probabilities the column is empty.
    """
    rows = len(predictions.values)
    target, prediction = pa.array(table.y), pa.array(round_significant(predictions.values.astype(float), decimals))
    probability = pa.nulls(rows, pa.float64())
    if table.roles.classes:
        names = pa.array(table.roles.classes)
        target, prediction = names.take(target), names.take(pa.array(predictions.values))
    if predictions.probabilities is not None:
        chosen = predictions.probabilities[np.arange(rows), predictions.values]
        probability = pa.array(np.round(chosen, decimals))
    return pa.table(
        {
            ID: table.columns[ID],
            SPLIT: table.columns[SPLIT],
            TARGET: target,
            "prediction": prediction,
            "probability": probability,
        }
    )


def count_confusion(table: Table, predictions: Predictions) -> pa.Table:
    """Return the test split's confusion matrix, one row per cell: actual, predicted, rows; empty for a regression."""
    names = np.array(table.roles.classes, dtype=str)
    test = np.flatnonzero(table.split == "test")[: None if len(names) else 0]
    cells = table.y[test] * len(names) + predictions.values[test]
    counts = np.bincount(cells.astype(np.int64), minlength=len(names) ** 2)
    return pa.table({"actual": np.repeat(names, len(names)), "predicted": np.tile(names, len(names)), "rows": counts})


def sample_predicted_actual(table: Table, predictions: Predictions, decimals: int) -> pa.Table:
    """Return actual and predicted values of at most 5000 test rows, evenly spaced; empty for a classification."""
    rows = _sample_test_rows(table)[: 0 if table.roles.classes else None]
    values = round_significant(predictions.values[rows].astype(float), decimals)
    return pa.table({"actual": table.y[rows], "predicted": values})


def sample_pairs(table: Table, exact: Predictions, quantized: Predictions, decimals: int) -> pa.Table:
    """Return the predictions of a model and of its 8-bit version for at most 5000 test rows, evenly spaced.

    A prediction is the probability of the model's class (without probabilities: the class index) or the number.
    """
    rows = _sample_test_rows(table)
    pair = []
    for predictions in (exact, quantized):
        values = predictions.values[rows].astype(float)
        if predictions.probabilities is not None:
            values = predictions.probabilities[rows, exact.values[rows]]
        pair.append(round_significant(values, decimals))
    return pa.table({"float": pair[0], "quantized": pair[1]})


def round_significant(values: np.ndarray, digits: int) -> np.ndarray:
    """Return numbers rounded to a number of significant decimal digits."""
    return np.array([float(f"{value:.{digits}g}") for value in values], dtype=np.float64)


def _sample_test_rows(table: Table) -> np.ndarray:
    """Return the positions of at most 5000 test rows, evenly spaced."""
    test = np.flatnonzero(table.split == "test")
    return test[:: max(1, -(-len(test) // PLOT_ROWS))]


def _score(table: Table, predictions: Predictions, rows: np.ndarray) -> dict[str, float]:
    return score_rows(table.y[rows], predictions.take(rows), table.roles.classes)


def score_rows(y: np.ndarray, predictions: Predictions, classes: Sequence[str]) -> dict[str, float]:
    """Return the usual metrics of rows with targets y: accuracy, macro F1, log loss; for a regression R², MSE, MAE.

    `classes` is empty for a regression. Sums are in fixed order, so that the metrics are the same on every machine.
    The log loss takes probabilities from EPS to 1 - EPS, as scikit-learn's. Macro F1 is the mean over the classes that
    occur in these rows as a target or as a prediction; other classes have no F1. Raises ModelError when a prediction or
    a metric is not finite, which JSON cannot represent.
    """
    values, probabilities = predictions.values, predictions.probabilities
    for found in (values, probabilities):
        if found is not None and not np.isfinite(found).all():
            raise ModelError(f"the model predicts numbers that are not finite, {_REMEDY}")
    if not classes:
        with np.errstate(over="ignore"):
            error = y - values
            scores = {
                "r2": find_r2(y, values),
                "mse": float(total(error * error) / len(y)),
                "mae": float(total(np.abs(error)) / len(y)),
            }
    else:
        scores = {
            "accuracy": metrics.accuracy_score(y, values),
            "f1_macro": metrics.f1_score(y, values, average="macro", zero_division=0),
        }
        if probabilities is not None:
            scores["log_loss"] = float(total(-log(np.clip(probabilities[np.arange(len(y)), y], EPS, 1 - EPS))) / len(y))
    for name, value in scores.items():
        if not math.isfinite(value):
            raise ModelError(f"{name} over {len(y)} rows is {value}, {_REMEDY}")
    return {name: round_figure(value, scale=unit_of(value) if name == "r2" else None) for name, value in scores.items()}


def find_quality(y: np.ndarray, values: np.ndarray, classes: Sequence[str]) -> float:
    """Return the share of equal class indices of shape [rows] or, without `classes`, the numbers' R²."""
    return float(np.mean(y == values)) if classes else find_r2(y, values)


def find_r2(y: np.ndarray, values: np.ndarray) -> float:
    """Return the coefficient of determination of numbers of shape [rows]; nan for fewer than two rows.

    Of a constant y it is 1 if every value is exact and 0 otherwise, as scikit-learn's.
    """
    if len(y) < 2:
        return math.nan
    error, spread = y - values, y - total(np.asarray(y, float)) / len(y)
    missed, whole = float(total(error * error)), float(total(spread * spread))
    return 1 - missed / whole if whole else float(missed == 0)


def unit_of(quality: float) -> float:
    """Return the scale of an R² or an accuracy: as 1 minus a quotient, it is no more exact near 0 than at 0.1."""
    return max(0.1, abs(float(quality)))
