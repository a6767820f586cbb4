"""The data of the curves and of the importance follow from the predictions, in few rows, the same each time."""

from typing import Any

import numpy as np
import pytest
from sklearn.inspection import permutation_importance
from sklearn.metrics import auc, roc_auc_score
from sklearn.svm import LinearSVC
from unit.tables import matrix, predict, train_model, train_rows

from artifact_flow.core.base.params import DataParams, TrainParams
from artifact_flow.core.model.plots import CLASSES, CURVES, POINTS, tabulate_curves, tabulate_importance
from artifact_flow.core.table.datasets import load_builtin
from artifact_flow.core.table.tables import Table, split_rows


def test_each_class_has_its_curves(fitted: Any, digits: Table) -> None:
    """Of ten classes each against the rest; a curve has at most a hundred points and the area of scikit-learn's."""
    predictions = predict(fitted, digits)
    rows = tabulate_curves(digits, predictions, 8).to_pylist()
    assert {row["class"] for row in rows} == set(digits.roles.classes[:CLASSES])
    assert {row["curve"] for row in rows} == set(CURVES)
    test = digits.split == "test"
    assert predictions.probabilities is not None
    for label, name in enumerate(digits.roles.classes):
        points = [(row["x"], row["y"]) for row in rows if (row["curve"], row["class"]) == ("ROC", name)]
        assert 2 <= len(points) <= POINTS
        assert (points[0], points[-1]) == ((0, 0), (1, 1))
        expected = roc_auc_score(digits.y[test] == label, predictions.probabilities[test, label])
        assert auc(*np.array(points).T) == pytest.approx(expected, abs=1e-6)


def test_of_two_classes_the_second_has_curves() -> None:
    """The other's say the same; the calibration is the share of rows in a bin of probability."""
    table = split_rows(load_builtin(DataParams(source="breast_cancer", test_size=0.5, seed=0, stratify=True)))
    params = TrainParams(estimator="sklearn.naive_bayes.GaussianNB", threads=1)
    predictions = predict(train_model(table, params, train_rows(table)), table)
    rows = tabulate_curves(table, predictions, 8).to_pylist()
    assert {row["class"] for row in rows} == {"benign"}
    assert predictions.probabilities is not None
    test = table.split == "test"
    probability, y = predictions.probabilities[test, 1], table.y[test]
    last = [row for row in rows if row["curve"] == "calibration"][-1]
    assert last["x"] == pytest.approx(probability[probability >= 0.9].mean(), abs=1e-6)
    assert last["y"] == pytest.approx(y[probability >= 0.9].mean(), abs=1e-6)


def test_what_has_no_curves_has_no_rows(digits: Table, linear: Any, diabetes: Table) -> None:
    """A regression, and a classifier without probabilities."""
    margins = LinearSVC(random_state=0, max_iter=10, tol=1.0).fit(matrix(digits), digits.y)
    for table, model in ((digits, margins), (diabetes, linear)):
        curves = tabulate_curves(table, predict(model, table), 8)
        assert (curves.num_rows, curves.column_names) == (0, ["curve", "class", "x", "y"])


def test_the_importance_is_scikit_learn_s(linear: Any, diabetes: Table) -> None:
    """The largest first, the same each time; without a number of repeats there are no rows."""
    X, test = matrix(diabetes), diabetes.split == "test"
    found = tabulate_importance(linear, X, diabetes, 3)
    assert found.equals(tabulate_importance(linear, X, diabetes, 3))
    expected = permutation_importance(linear, X[test], diabetes.y[test], n_repeats=3, random_state=42)
    order = np.argsort(-expected.importances_mean, kind="stable")
    assert found["feature"].to_pylist() == [list(diabetes.roles.features)[i] for i in order]
    assert found["importance"].to_pylist() == pytest.approx(expected.importances_mean[order].tolist(), abs=1e-7)
    assert found["deviation"].to_pylist() == pytest.approx(expected.importances_std[order].tolist(), abs=1e-7)
    assert tabulate_importance(linear, X, diabetes, None).num_rows == 0
