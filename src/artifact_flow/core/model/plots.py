"""Plots: the data of the curves of a classifier and of the features' importance, on the test split. Pure.

A curve's points follow from the probabilities as predictions.csv has them, so they are as reproducible as that file.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn import metrics

from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.figures import round_figure
from artifact_flow.core.model.predictions import Predictions, predict_rows
from artifact_flow.core.model.scoring import PLOT_ROWS, find_quality, unit_of
from artifact_flow.core.table.tables import Table

CURVES = ("ROC", "precision-recall", "calibration")
CLASSES = 10  # classes that have curves, at most: the first
POINTS = 100  # of a curve, at most
BINS = 10  # of predicted probability, of equal width, in a calibration curve
DECIMALS = 6  # of a coordinate


def tabulate_curves(table: Table, predictions: Predictions, decimals: int) -> pa.Table:
    """Return the points of each class's curves on the test split: curve, class, x, y; `decimals` of a probability.

    ROC: the false and the true positive rate. Precision-recall: recall and precision. Calibration: the mean probability
    in a bin and the share of rows that are of the class. Of two classes only the second has curves, of more each
    against the rest. There are no rows for a regression, without probabilities, and of a class that no or every test
    row has.
    """
    names, test = table.roles.classes, table.split == "test"
    columns: dict[str, list[Any]] = {"curve": [], "class": [], "x": [], "y": []}
    if predictions.probabilities is not None:
        probabilities, y = np.round(predictions.probabilities[test], decimals), table.y[test]
        for label in range(1 if len(names) == 2 else 0, min(len(names), CLASSES)):
            positive = y == label
            if not positive.any() or positive.all():
                continue
            for curve, (x, height) in zip(CURVES, _draw_curves(positive, probabilities[:, label]), strict=True):
                chosen = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
                columns["curve"] += [curve] * len(chosen)
                columns["class"] += [names[label]] * len(chosen)
                columns["x"] += np.round(x[chosen], DECIMALS).tolist()
                columns["y"] += np.round(height[chosen], DECIMALS).tolist()
    kinds = {"curve": pa.string(), "class": pa.string(), "x": pa.float64(), "y": pa.float64()}
    return pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})


def tabulate_importance(estimator: Any, X: np.ndarray, table: Table, repeats: int | None) -> pa.Table:
    """Return how much the score falls when a feature's test values are permuted: feature, importance, deviation.

    The score is accuracy or R². Each feature is permuted `repeats` times, seeded, in at most 5000
    rows; the largest mean comes first. Without `repeats` there are no rows.
    """
    names, means, deviations = list(table.roles.features), np.zeros(0), np.zeros(0)
    if repeats:
        from sklearn.inspection import permutation_importance  # noqa: PLC0415 - takes a second to import

        test = table.split == "test"
        with reproducible(threads=1):
            found = permutation_importance(
                estimator,
                X[test],
                table.y[test],
                scoring=partial(_score, classes=table.roles.classes),
                n_repeats=repeats,
                random_state=table.roles.params.seed,
                max_samples=min(PLOT_ROWS, int(test.sum())),
            )
        means, deviations = found.importances_mean, found.importances_std
    rounded = [round_figure(float(mean), scale=unit_of(mean)) for mean in means]
    order = sorted(range(len(rounded)), key=lambda feature: (-rounded[feature], feature))
    return pa.table(
        {
            "feature": pa.array([names[feature] for feature in order], pa.string()),
            "importance": pa.array([rounded[feature] for feature in order], pa.float64()),
            "deviation": pa.array(
                [round_figure(float(deviations[feature]), scale=unit_of(means[feature])) for feature in order],
                pa.float64(),
            ),
        }
    )


def _score(estimator: Any, X: np.ndarray, y: np.ndarray, classes: Sequence[str]) -> float:
    """Return the accuracy of a fitted estimator on rows or, of a regressor, R²."""
    return find_quality(y, predict_rows(estimator, X, classes).values, classes)


def _draw_curves(positive: np.ndarray, probability: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return x and y of the ROC, precision-recall and calibration curve of one class."""
    false, true, _ = metrics.roc_curve(positive, probability)
    precision, recall, _ = metrics.precision_recall_curve(positive, probability, drop_intermediate=True)
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    held = rows > 0
    mean, share = (np.bincount(bins, of, BINS)[held] / rows[held] for of in (probability, positive))
    return [(false, true), (recall, precision), (mean, share)]
