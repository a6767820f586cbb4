"""Predictions and metrics are scikit-learn's own, in a fixed order and rounding."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from sklearn.neighbors import RadiusNeighborsClassifier
from sklearn.svm import LinearSVC
from unit.tables import matrix, predict, score_splits

from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.params import DataParams
from artifact_flow.core.model.predictions import Predictions
from artifact_flow.core.model.scoring import (
    PLOT_ROWS,
    count_confusion,
    report_classes,
    round_significant,
    sample_predicted_actual,
    tabulate_predictions,
)
from artifact_flow.core.table.tables import Roles, Table

DIABETES = DataParams(source="diabetes", test_size=0.5, seed=0, stratify=False)


def test_metrics_of_a_classifier(fitted: Any, digits: Table) -> None:
    """Accuracy, macro F1 and log loss of each split, by scikit-learn's definitions."""
    scores = score_splits(digits, predict(fitted, digits))
    for split in ("train", "test"):
        part = digits.part(split)  # type: ignore[arg-type]
        labels = fitted.predict(matrix(digits, part))
        assert scores[split] == {
            "accuracy": pytest.approx(accuracy_score(part.y, labels), abs=1e-8),
            "f1_macro": pytest.approx(f1_score(part.y, labels, average="macro"), abs=1e-8),
            "log_loss": pytest.approx(log_loss(part.y, fitted.predict_proba(matrix(digits, part))), abs=1e-8),
        }


def test_metrics_of_a_regressor(linear: Any, diabetes: Table) -> None:
    """R², MSE and MAE of each split, to eight significant digits."""
    scores = score_splits(diabetes, predict(linear, diabetes))
    test = diabetes.part("test")
    values = linear.predict(matrix(diabetes, test))
    assert scores["test"] == {
        "r2": pytest.approx(r2_score(test.y, values), abs=1e-8),
        "mse": float(f"{mean_squared_error(test.y, values):.8g}"),
        "mae": float(f"{mean_absolute_error(test.y, values):.8g}"),
    }


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_metrics_have_as_many_digits_in_any_unit(diabetes: Table, unit: float) -> None:
    """An error in millions has no digits behind the point, one in millionths still has eight."""
    columns = diabetes.columns.set_column(
        diabetes.columns.column_names.index("target"), "target", pa.array(diabetes.y * unit)
    )
    scores = score_splits(replace(diabetes, columns=columns), Predictions(np.full(442, 150.0 * unit), None))
    assert all(len(f"{scores['test'][name]:.15e}".partition("e")[0].rstrip("0")) <= 9 for name in ("mse", "mae"))
    expected = np.mean((diabetes.part("test").y - 150.0) ** 2)
    assert scores["test"]["mse"] / unit**2 == pytest.approx(expected, rel=1e-7)
    assert len(str(abs(scores["test"]["r2"]))) <= len("0.12345678")


def regression(y: list[float]) -> Table:
    """Return a table of such targets, in both splits."""
    columns = pa.table({"id": range(2 * len(y)), "target": y + y, "split": ["train"] * len(y) + ["test"] * len(y)})
    return Table(columns, Roles(features={}, classes=[], params=DIABETES))


@pytest.mark.parametrize("y", [[5.0, 5.0], [0.0, 1.0], [1e6, 2e6]])
@pytest.mark.parametrize("error", [0.0, 1.0])
def test_metrics_are_always_numbers_that_json_holds(y: list[float], error: float) -> None:
    """Also where the target is one value, and R² a quotient by zero."""
    table = regression(y)
    assert json.loads(json.dumps(score_splits(table, Predictions(table.y + error, None)), allow_nan=False))


@pytest.mark.parametrize(
    ("y", "values", "sentence"),
    [
        ([5.0], [5.0], "r2 over 1 rows is nan, which metrics.json cannot contain: bring"),
        ([1.0, 2.0], [math.inf, 1.0], "the model predicts numbers that are not finite, which metrics.json cannot"),
        ([1.0, 2.0], [math.nan, 1.0], "the model predicts numbers that are not finite, which metrics.json cannot"),
        ([1.0, 2.0], [1e200, 1.0], "r2 over 2 rows is -inf, which metrics.json cannot contain"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_metric_that_is_no_number_is_one_sentence(y: list[float], values: list[float], sentence: str) -> None:
    """It is never written, as NaN or otherwise."""
    with pytest.raises(ModelError, match=sentence):
        score_splits(regression(y), Predictions(np.array(values * 2), None))


def test_a_class_without_a_test_row_counts_in_the_report_as_in_the_metrics(digits: Table) -> None:
    """Both macro F1 are over the classes that occur, as a target or as a prediction; a note tells of the others."""
    columns = digits.columns
    table = Table(
        columns.filter(pc.or_(pc.equal(columns["split"], "train"), pc.less(columns["target"], 8))), digits.roles
    )
    predictions = Predictions(np.where(np.arange(len(table.y)) % 9 == 0, 8, table.y), None)
    report = report_classes(table, predictions)
    macro = next(line.split() for line in report.splitlines() if "macro avg" in line)
    assert float(macro[4]) == pytest.approx(score_splits(table, predictions)["test"]["f1_macro"], abs=0.005)
    assert "\n           8 " in report
    assert "\n           9 " not in report
    assert "note: 2 of 10 classes have no test row (8, 9); the macro average is over the classes that occur" in report


def test_a_classifier_without_probabilities_has_no_log_loss(digits: Table) -> None:
    """What an estimator cannot say is left out, not made up."""
    predictions = predict(LinearSVC(random_state=0, max_iter=10, tol=1.0).fit(matrix(digits), digits.y), digits)
    assert predictions.probabilities is None
    assert sorted(score_splits(digits, predictions)["test"]) == ["accuracy", "f1_macro"]
    assert tabulate_predictions(digits, predictions, 8)["probability"].null_count == 1797


def test_a_class_the_train_split_never_held_has_probability_zero(digits: Table) -> None:
    """An estimator that saw nine of ten classes still gives ten columns."""

    class Nine:
        classes_ = np.arange(9)

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.zeros(len(X), dtype=int)

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return np.full((len(X), 9), 1 / 9)

    probabilities = predict(Nine(), digits).probabilities
    assert probabilities is not None
    assert probabilities.shape == (1797, 10)
    assert not probabilities[:, 9].any()


def test_the_rows_of_predictions(fitted: Any, digits: Table) -> None:
    """One line a row in the table's order; classes by name; the probability is the predicted class's, rounded."""
    rows = tabulate_predictions(digits, predict(fitted, digits), decimals=3)
    assert rows.column_names == ["id", "split", "target", "prediction", "probability"]
    assert rows["id"].to_pylist() == list(range(1797))
    assert rows["prediction"].to_pylist() == [str(label) for label in fitted.predict(matrix(digits))]
    assert rows["probability"].to_pylist() == np.round(fitted.predict_proba(matrix(digits)).max(axis=1), 3).tolist()


def test_the_rows_of_a_regression(linear: Any, diabetes: Table) -> None:
    """Predictions are rounded to significant digits and have no probability."""
    rows = tabulate_predictions(diabetes, predict(linear, diabetes), decimals=4)
    assert rows["target"].to_pylist() == diabetes.y.tolist()
    assert rows["prediction"].to_pylist() == [float(f"{value:.4g}") for value in linear.predict(matrix(diabetes))]
    assert rows["probability"].null_count == len(diabetes.y)


@pytest.mark.parametrize("value", [0.0, 1.0, -123456.789, 1.23456789e-7, 9.99999e12, 1.23456789e-310, np.inf])
def test_rounding_keeps_significant_digits(value: float) -> None:
    """Large and small numbers keep as many digits."""
    assert round_significant(np.array([value]), 5)[0] == float(f"{value:.5g}")


def test_the_report_names_every_class(fitted: Any, digits: Table) -> None:
    """One line a class over the test split, also where a class is never predicted."""
    zeros = Predictions(np.zeros(1797, dtype=int), None)
    for predictions in (predict(fitted, digits), zeros):
        report = report_classes(digits, predictions)
        assert all(f"\n           {digit}  " in report for digit in range(10))
    assert "360" in report


def test_scores_do_not_depend_on_the_other_split(fitted: Any, digits: Table) -> None:
    """Train and test are scored apart."""
    predictions = predict(fitted, digits)
    spoilt = replace(predictions, values=np.where(digits.split == "train", 0, predictions.values))
    assert score_splits(digits, spoilt)["test"]["accuracy"] == score_splits(digits, predictions)["test"]["accuracy"]
    assert score_splits(digits, spoilt)["train"]["accuracy"] < 0.2


def test_the_confusion_matrix_counts_the_test_rows(fitted: Any, digits: Table) -> None:
    """One row a cell, every pair of classes, as scikit-learn counts them."""
    cells = count_confusion(digits, predict(fitted, digits))
    test = digits.part("test")
    expected = confusion_matrix(test.y, fitted.predict(matrix(digits, test)))
    assert cells["rows"].to_pylist() == expected.ravel().tolist()
    assert cells["actual"].to_pylist()[:11] == ["0"] * 10 + ["1"]
    assert cells["predicted"].to_pylist()[:3] == ["0", "1", "2"]


def test_only_the_plot_of_the_task_has_rows(linear: Any, fitted: Any, digits: Table, diabetes: Table) -> None:
    """A regression has no confusion matrix, a classification no predicted-against-actual."""
    assert count_confusion(diabetes, predict(linear, diabetes)).num_rows == 0
    assert sample_predicted_actual(digits, predict(fitted, digits), 8).num_rows == 0


def test_predicted_against_actual_shows_the_test_rows(linear: Any, diabetes: Table) -> None:
    """Each test row is a point."""
    points = sample_predicted_actual(diabetes, predict(linear, diabetes), 6)
    test = diabetes.part("test")
    assert points["actual"].to_pylist() == test.y.tolist()
    assert points["predicted"].to_pylist() == [
        float(f"{value:.6g}") for value in linear.predict(matrix(diabetes, test))
    ]


def test_a_large_test_split_is_sampled_evenly() -> None:
    """A browser draws thousands of points, not millions: every n-th row stands for the rest."""
    rows = 4 * PLOT_ROWS + 3
    columns = pa.table({"id": range(rows), "target": np.arange(float(rows)), "split": ["test"] * rows})
    roles = Roles(features={}, classes=[], params=DIABETES)
    points = sample_predicted_actual(Table(columns, roles), Predictions(np.arange(float(rows)), None), 8)
    assert points["actual"].to_pylist() == list(range(0, rows, 5))
    assert points["predicted"].to_pylist() == list(range(0, rows, 5))


def test_rows_that_cannot_be_predicted_are_one_sentence(digits: Table) -> None:
    """An estimator that finds no neighbour of a row says so; it is passed on with what to change."""
    train = digits.part("train")
    lonely = RadiusNeighborsClassifier(radius=0.1).fit(matrix(digits, train), train.y)
    with pytest.raises(ModelError, match=r"RadiusNeighborsClassifier cannot predict every row of the table: No neigh"):
        predict(lonely, digits)
