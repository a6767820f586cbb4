"""Metrics on request are scikit-learn's own, one's own functions, costs and folds; a wrong one is one sentence."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import KFold, cross_val_score
from unit.tables import matrix, predict

from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.params import DataParams, InferParams, Params
from artifact_flow.core.model.metrics import Scored, find_metrics, measure, score_folds
from artifact_flow.core.table.datasets import load_builtin
from artifact_flow.core.table.tables import Table, split_rows

COSTS = """
def profit(y_true, y_pred):
    return float(sum(5 if one == other == "benign" else -1 for one, other in zip(y_true, y_pred)))

def doubt(y_true, y_pred, probabilities):
    return 1 - probabilities.max(axis=1).mean()

def accuracy(y_true, y_pred):
    return 1.0

def broken(y_true, y_pred):
    return {}["x"]

def text(y_true, y_pred):
    return "much"
"""


@pytest.fixture(scope="module")
def tumours() -> Table:
    """A table of two classes, malignant and benign."""
    return split_rows(load_builtin(DataParams(source="breast_cancer", test_size=0.3, seed=1, stratify=True)))


@pytest.fixture(scope="module")
def scored(tumours: Table) -> Scored:
    """What a weak model predicts for the test split."""
    X, test = matrix(tumours)[:, :2], tumours.split == "test"
    estimator = LogisticRegression().fit(X[~test], tumours.y[~test])
    from artifact_flow.core.model.predictions import predict_rows

    classes = tumours.roles.classes
    return Scored(estimator, X[test], tumours.y[test], predict_rows(estimator, X[test], classes), classes)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `own` with metrics."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/__init__.py").touch()
    (tmp_path / "own/costs.py").write_text(COSTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()


def asked(**keywords: Any) -> InferParams:
    """Return a block `infer`."""
    return InferParams(decimals=8, **keywords)


def measured(scored: Scored, **keywords: Any) -> dict[str, float]:
    """Return the metrics that a block asks for."""
    return measure(find_metrics(asked(**keywords), scored.classes), scored, "test")[0]


def sentence_of(scored: Scored, **keywords: Any) -> str:
    """Return the sentence with which a block is refused."""
    with pytest.raises(ParamsError) as caught:
        measured(scored, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_scorers_are_added_after_the_usual_metrics(scored: Scored) -> None:
    """By their names, with scikit-learn's values."""
    found = measured(scored, metrics=["roc_auc", "average_precision", "accuracy"])
    assert list(found) == ["accuracy", "f1_macro", "log_loss", "roc_auc", "average_precision"]
    probabilities = scored.estimator.predict_proba(scored.X)[:, 1]
    assert found["roc_auc"] == pytest.approx(roc_auc_score(scored.y, probabilities), abs=1e-8)
    assert found["average_precision"] == pytest.approx(average_precision_score(scored.y, probabilities), abs=1e-8)


def test_every_class_has_its_recall_and_precision(scored: Scored) -> None:
    """By the class's name."""
    found = measured(scored, per_class=True)
    labels = scored.predictions.values
    for label, name in enumerate(["malignant", "benign"]):
        assert found[f"recall.{name}"] == pytest.approx(recall_score(scored.y, labels, pos_label=label), abs=1e-8)
        assert found[f"precision.{name}"] == pytest.approx(precision_score(scored.y, labels, pos_label=label), abs=1e-8)


def test_the_mean_cost_of_a_row(scored: Scored) -> None:
    """A pair that is not named costs nothing."""
    found = measured(scored, costs={"malignant": {"benign": 100}, "benign": {"malignant": 2.5, "benign": -1}})
    wrong = scored.predictions.values != scored.y
    total = 100 * sum(wrong & (scored.y == 0)) + 2.5 * sum(wrong & (scored.y == 1)) - sum(~wrong & (scored.y == 1))
    assert found["cost"] == pytest.approx(total / len(wrong))


@pytest.mark.usefixtures("own")
def test_a_function_of_one_s_own(scored: Scored) -> None:
    """It gets class names, and the probabilities where it asks for them."""
    found = measured(scored, metrics=["own.costs.profit", "own.costs.doubt"])
    right = np.sum((scored.y == 1) & (scored.predictions.values == 1))
    assert found["profit"] == 5 * right - (len(scored.y) - right)
    probabilities = scored.predictions.probabilities
    assert probabilities is not None
    assert found["doubt"] == pytest.approx(1 - probabilities.max(axis=1).mean())


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        (
            {"metrics": ["roc_acu"]},
            "infer.metrics names 'roc_acu', which is no scorer (did you mean roc_auc?); allowed",
        ),
        (
            {"metrics": ["os.getcwd"]},
            "infer.metrics is 'os.getcwd', which is not a path in own; allowed: the import path",
        ),
        ({"metrics": ["own.cost.profit"]}, "but there is no module own.cost"),
        ({"metrics": ["own.costs.profits"]}, "own.costs has no function profits (did you mean profit?); allowed"),
        ({"metrics": ["own.costs.accuracy"]}, "infer.metrics: own.costs.accuracy is a second metric named accuracy"),
        ({"metrics": ["roc_auc", "roc_auc"]}, "infer.metrics: roc_auc is a second metric named roc_auc: rename it, or"),
        (
            {"metrics": ["own.costs.broken"]},
            "infer.metrics: own.costs.broken cannot be measured over the test rows: Key",
        ),
        ({"metrics": ["own.costs.text"]}, "TypeError: it returns 'much', which is not a number."),
        (
            {"metrics": ["recall_samples"]},
            "infer.metrics: recall_samples cannot be measured over the test rows: ValueE",
        ),
        ({"costs": {"malign": {"benign": 1}}}, "infer.costs names malign, which is no class (did you mean malignant?)"),
    ],
)
def test_a_wrong_metric_is_one_sentence(scored: Scored, keywords: dict[str, Any], sentence: str) -> None:
    """It names the key, the closest name and what is allowed."""
    assert sentence in sentence_of(scored, **keywords)


def test_a_regression_has_neither_classes_nor_costs() -> None:
    """Their parameters are refused."""
    for keywords in ({"per_class": True}, {"costs": {"a": {"b": 1}}}):
        with pytest.raises(ParamsError, match=r"params.yaml: infer.\w+ is .*a number"):
            find_metrics(asked(**keywords), [])


def test_a_metric_without_a_value_is_left_out_with_a_note(scored: Scored) -> None:
    """Rows of one class have no ROC, and a class without rows has no recall; NaN is never written."""
    one = scored.y == 0
    rows = Scored(scored.estimator, scored.X[one], scored.y[one], scored.predictions.take(one), scored.classes)
    found, notes = measure(find_metrics(asked(metrics=["roc_auc"], per_class=True), scored.classes), rows, "test")
    assert "roc_auc" not in found
    assert "recall.benign" not in found
    assert notes[0].startswith("test has no roc_auc, which is nan: Only one class is present in y_true")
    json.dumps(found, allow_nan=False)


@pytest.mark.long
def test_the_folds_are_scikit_learn_s(diabetes: Table, linear: Any) -> None:
    """The mean and the deviation over the folds, of the usual metrics and of those asked for."""
    train, X = diabetes.part("train"), matrix(diabetes, diabetes.part("train"))
    wanted = find_metrics(asked(metrics=["neg_mean_absolute_percentage_error"]), [])
    found, notes = score_folds(5, linear, X, train, wanted)
    assert not notes
    folds = KFold(5, shuffle=True, random_state=42)
    for name, scoring in (("r2", "r2"), (wanted[0].name, wanted[0].name)):
        scores = cross_val_score(linear, X, train.y, cv=folds, scoring=scoring)
        assert found[name] == pytest.approx(scores.mean(), rel=1e-7)
        assert found[f"{name}_std"] == pytest.approx(scores.std(), rel=1e-6)
    assert list(found)[:4] == ["r2", "r2_std", "mse", "mse_std"]


def test_too_many_folds_are_one_sentence(tumours: Table, scored: Scored) -> None:
    """The parameter is named."""
    train = tumours.part("train").columns.slice(0, 12)
    with pytest.raises(ParamsError, match=r"params.yaml: infer.cross_validation is 90, but the train split cannot be"):
        score_folds(90, scored.estimator, scored.X[:12], Table(train, tumours.roles), [])


def test_nothing_is_added_by_default(params: Params, fitted: Any, digits: Table) -> None:
    """Without the new keys metrics.json has the usual metrics."""
    test = digits.split == "test"
    predictions = predict(fitted, digits).take(test)
    rows = Scored(fitted, matrix(digits)[test], digits.y[test], predictions, digits.roles.classes)
    assert list(measure(find_metrics(params.infer, rows.classes), rows, "test")[0]) == [
        "accuracy",
        "f1_macro",
        "log_loss",
    ]
