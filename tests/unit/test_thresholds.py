"""A decision threshold is applied in every form of a model alike, and chosen as scikit-learn does, without a leak."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from unit.tables import matrix

from artifact_flow.core.base.contract import CONTRACT, read_contract
from artifact_flow.core.base.errors import ModelError, ParamsError
from artifact_flow.core.base.params import (
    PARAMS,
    DataParams,
    ExportParams,
    InferParams,
    Params,
    QuantizeParams,
    ThresholdParams,
    TrainParams,
    parse_params,
)
from artifact_flow.core.model.artifacts import MODEL, PORTABLE, QUANTIZED, open_model, start_session
from artifact_flow.core.model.predictions import predict_rows, run_portable
from artifact_flow.core.model.thresholds import check_threshold, choose_threshold
from artifact_flow.core.table.datasets import load_builtin
from artifact_flow.core.table.tables import DATA, KEY, Table, split_rows, write_table
from artifact_flow.stages import export, infer, quantize, train

SOURCE = {"source": "breast_cancer", "preprocess": "auto", "test_size": 0.3, "seed": 1}
ESTIMATOR = "sklearn.linear_model.LogisticRegression"


@pytest.fixture(scope="module")
def tumours() -> Table:
    """A table of two classes, malignant and benign."""
    return split_rows(load_builtin(DataParams.model_validate({**SOURCE, "stratify": True})))


def make_params(table: Table, threshold: Any, max_difference: float = 1e-4, **infer_keywords: Any) -> Params:
    """Return the parameters of a flow whose estimator is linear."""
    return Params(
        data=table.roles.params,
        train=TrainParams(estimator=ESTIMATOR, threads=1, threshold=threshold, arithmetic="fixed"),
        infer=InferParams(decimals=8, **infer_keywords),
        export=ExportParams(opset=17, max_difference=max_difference),
        quantize=QuantizeParams(max_quality_loss=0.05, min_agreement=0.95),
    )


def run_flow(folder: Path, table: Table, threshold: Any, **infer_keywords: Any) -> np.ndarray:
    """Run the stages with a threshold and return the probability of the second class."""
    write_table(table, folder / DATA)
    params = make_params(table, threshold, **infer_keywords)
    for stage in (train, infer, export, quantize):
        stage.main(params, folder)
    contract = read_contract(folder / CONTRACT)
    probabilities = predict_rows(open_model(contract, folder / MODEL), matrix(table), table.roles.classes).probabilities
    assert probabilities is not None
    return probabilities[:, 1]


@pytest.mark.long
def test_every_form_of_the_model_has_the_threshold(tmp_path: Path, tumours: Table) -> None:
    """Predictions, ONNX and 8 bits say benign from a probability of 0.97 on; metrics and folds measure that."""
    chance = run_flow(tmp_path, tumours, 0.97, metrics=["precision"], cross_validation=3)
    contract = read_contract(tmp_path / CONTRACT)
    assert contract.target.threshold == 0.97
    assert contract.params["train"]["threshold"] == 0.97
    expected = chance >= 0.97
    assert not np.array_equal(expected, chance >= 0.5)
    written = [line.split(",")[3] for line in (tmp_path / "predictions.csv").read_text().splitlines()[1:]]
    assert written == ["benign" if benign else "malignant" for benign in expected]
    for path in (PORTABLE, QUANTIZED):
        found = run_portable(start_session((tmp_path / path).read_bytes()), contract.features, matrix(tumours))
        assert found.probabilities is not None
        assert np.array_equal(found.values, found.probabilities[:, 1] >= np.float32(0.97))
        assert np.mean(found.values == expected) >= (1 if path == PORTABLE else 0.95)
    scores = json.loads((tmp_path / "metrics.json").read_text())
    test = tumours.split == "test"
    assert scores["test"]["accuracy"] == pytest.approx(np.mean(expected[test] == tumours.y[test]), abs=1e-7)
    assert scores["test"]["precision"] == pytest.approx(np.mean(tumours.y[test][expected[test]]), abs=1e-7)
    assert scores["cv"]["precision"] > 0.97


def test_a_linear_model_that_differs_as_onnx_is_an_error_with_a_threshold_too(tmp_path: Path, tumours: Table) -> None:
    """A threshold around an estimator does not make export inapplicable to it."""
    write_table(tumours, tmp_path / DATA)
    params = make_params(tumours, 0.3, max_difference=1e-12)
    train.main(params, tmp_path)
    with pytest.raises(ModelError, match=r"^model\.onnx and model_train\.pkl predict differently on \d+ of 569 rows"):
        export.main(params, tmp_path)


@pytest.mark.long
def test_the_estimator_inside_is_the_one_without_a_threshold(tmp_path: Path, tumours: Table) -> None:
    """A chosen threshold changes no weight."""
    inside = []
    for name, threshold in (("plain", None), ("chosen", ThresholdParams(maximize="balanced_accuracy", cv=3))):
        (tmp_path / name).mkdir()
        run_flow(tmp_path / name, tumours, threshold)
        contract = read_contract(tmp_path / name / CONTRACT)
        model = open_model(contract, tmp_path / name / MODEL)
        inside.append(model[-1].coef_ if threshold is None else model.estimator_[-1].coef_)
        assert (contract.target.threshold is None) == (threshold is None)
    assert np.array_equal(*inside)
    text = (tmp_path / "plain/contract.json").read_text()
    assert "threshold" not in text


@pytest.mark.long
def test_the_chosen_threshold_is_scikit_learn_s(tumours: Table) -> None:
    """That of TunedThresholdClassifierCV on the same folds of the train split."""
    part = tumours.part("train")
    X = matrix(tumours, part)
    params = TrainParams(estimator=ESTIMATOR, threads=1, threshold=ThresholdParams(maximize="f1", cv=4))
    found = choose_threshold(params, lambda block: GaussianNB(), params, X, part)
    folds = StratifiedKFold(4, shuffle=True, random_state=1)
    tuned = TunedThresholdClassifierCV(GaussianNB(), scoring="f1", cv=folds).fit(X, part.y)
    assert found == pytest.approx(tuned.best_threshold_, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (1.5, "train.threshold is 1.5 (a number); allowed: a number between 0 and 1"),
        ("high", "train.threshold is 'high' (text); allowed: a number between 0 and 1"),
        ({"maximize": "f1", "cv": 1}, "train.threshold"),
        ({"maximise": "f1"}, "train.threshold"),
    ],
)
def test_a_wrong_threshold_is_one_sentence(params: Params, value: Any, sentence: str) -> None:
    """It names the key as the file has it, and what is allowed."""
    document = params.model_dump(exclude_none=True)
    document["train"]["threshold"] = value
    with pytest.raises(ParamsError) as caught:
        parse_params(document, PARAMS)
    assert str(caught.value).startswith(f"params.yaml: {sentence}")
    assert "a number between 0 and 1, both excluded, or a block with maximize" in str(caught.value)


def test_it_is_for_two_classes(params: Params) -> None:
    """Ten classes and a number are refused."""
    block = params.train.model_copy(update={"threshold": 0.5})
    for classes, found in ((list("0123456789"), "10 classes"), ([], "no classes, as it is a number")):
        with pytest.raises(ParamsError, match=rf"train.threshold is for a target of two classes, .* has {found}\."):
            check_threshold(block, classes)
    check_threshold(params.train, [])


@pytest.mark.parametrize(
    ("maximize", "sentence"),
    [
        (
            "f1_marco",
            r"train.threshold.maximize is 'f1_marco', which is no scorer \(did you mean f1_macro\?\); allowed: a",
        ),
        ("roc_auc", r"is 'roc_auc', which does not depend on a threshold"),
        ("os.getcwd", r"train.threshold.maximize is 'os.getcwd', which is not a path in own"),
    ],
)
def test_what_is_maximized_depends_on_the_threshold(tumours: Table, maximize: str, sentence: str) -> None:
    """A scorer of predicted classes, or a function of one's own."""
    params = TrainParams(estimator=ESTIMATOR, threads=1, threshold=ThresholdParams(maximize=maximize))
    with pytest.raises(ParamsError, match=sentence):
        choose_threshold(params, lambda block: LogisticRegression(), params, matrix(tumours), tumours)


def test_an_estimator_without_probabilities_is_refused(tmp_path: Path, tumours: Table) -> None:
    """There is nothing to compare with a threshold."""
    write_table(tumours, tmp_path / DATA)
    block = TrainParams(estimator="sklearn.linear_model.RidgeClassifier", threads=1, threshold=0.3)
    with pytest.raises(ParamsError, match=r"train.threshold is of a probability, and this estimator predicts none"):
        train.main(Params(data=tumours.roles.params, train=block, infer=InferParams(decimals=8)), tmp_path)


@pytest.mark.long
def test_the_folds_keep_groups_together(tumours: Table) -> None:
    """A group's rows never choose the threshold of a model that was fitted on others of the group."""
    groups = np.arange(len(tumours.y)) // 4
    split = {"by": "group", "column": "mean_radius"}
    roles = tumours.roles.model_copy(
        update={"params": DataParams.model_validate({**SOURCE, "stratify": False, "split": split})}
    )
    table = Table(tumours.columns.append_column(KEY, [groups]), roles)
    seen: list[np.ndarray] = []

    class Watcher(LogisticRegression):
        def fit(self, X: np.ndarray, y: np.ndarray) -> Any:
            seen.append(X[:, 0].astype(int))
            return super().fit(X[:, 1:], y)

        def predict_proba(self, X: np.ndarray) -> Any:
            assert len(seen) > 3 or not set(seen[-1]) & set(X[:, 0].astype(int))
            return super().predict_proba(X[:, 1:])

    X = np.column_stack([groups, matrix(tumours)[:, :2]])
    params = TrainParams(estimator=ESTIMATOR, threads=1, threshold=ThresholdParams(maximize="f1", cv=3))
    assert 0 < choose_threshold(params, lambda block: Watcher(), params, X, table) < 1
    assert len(seen) == 4  # three folds, and scikit-learn's own last fit
