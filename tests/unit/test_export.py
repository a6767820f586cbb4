"""A fitted estimator becomes an ONNX model that says the same of every row, or one sentence says why it cannot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from unit.tables import contract_of, estimator_of, matrix, predict, train_model

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.errors import InapplicableError, ParamsError
from artifact_flow.core.base.legend import ColumnLegend, arrange_legend
from artifact_flow.core.base.params import TrainParams
from artifact_flow.core.model.artifacts import CONTRACT_KEY, PORTABLE, read_legend, start_session
from artifact_flow.core.model.predictions import Predictions, run_portable
from artifact_flow.core.table.tables import Table
from artifact_flow.portable.export import check_parity, export_model, serialize
from artifact_flow.portable.prepare import round_threshold

CLASSIFIERS = [
    ("linear_model.LogisticRegression", {"max_iter": 1000}),
    ("svm.LinearSVC", {"random_state": 0}),
    ("svm.SVC", {}),
    ("linear_model.RidgeClassifier", {}),
    ("linear_model.Perceptron", {"random_state": 0}),
    ("linear_model.SGDClassifier", {"loss": "log_loss", "random_state": 0}),
    ("tree.DecisionTreeClassifier", {"random_state": 0}),
    ("ensemble.RandomForestClassifier", {"n_estimators": 9, "random_state": 0}),
    ("ensemble.GradientBoostingClassifier", {"n_estimators": 9, "random_state": 0}),
    ("ensemble.HistGradientBoostingClassifier", {"max_iter": 9, "random_state": 0}),
    ("naive_bayes.GaussianNB", {}),
    ("discriminant_analysis.QuadraticDiscriminantAnalysis", {"reg_param": 0.1}),
]
REGRESSORS = [
    ("linear_model.LinearRegression", {}),
    ("linear_model.Ridge", {}),
    ("tree.DecisionTreeRegressor", {"random_state": 0}),
    ("ensemble.RandomForestRegressor", {"n_estimators": 9, "random_state": 0}),
    ("ensemble.GradientBoostingRegressor", {"n_estimators": 9, "random_state": 0}),
    ("ensemble.HistGradientBoostingRegressor", {"max_iter": 9, "random_state": 0}),
]


def exported(table: Table, params: TrainParams) -> tuple[Any, Contract, bytes]:
    """Return the estimator of `params` fitted on a table, its contract, and its ONNX file."""
    estimator, contract = train_model(table, params), contract_of(table, params, {})
    return estimator, contract, serialize(export_model(estimator, contract, 17, matrix(table)), "the contract's sha256")


def differences(table: Table, estimator: Any, contract: Contract, content: bytes, tolerance: float) -> int:
    """Return on how many rows, by `check_parity`, the ONNX file says something else."""
    found = run_portable(start_session(content), contract.features, matrix(table))
    return check_parity(predict(estimator, table), found, table.y, tolerance)[1]


@pytest.mark.parametrize("name", ["binary", "multiclass", "mixed", "mixed binary"])
@pytest.mark.parametrize(("path", "keywords"), CLASSIFIERS)
@pytest.mark.long
def test_a_classifier_says_the_same_as_onnx(
    tables: dict[str, Table], name: str, path: str, keywords: dict[str, Any]
) -> None:
    """Labels on every row, probabilities within 5e-5, with raw rows as input where the table is mixed."""
    assert differences(tables[name], *exported(tables[name], estimator_of(path, keywords)), 5e-5) == 0


@pytest.mark.parametrize("name", ["number", "mixed number"])
@pytest.mark.parametrize(("path", "keywords"), REGRESSORS)
@pytest.mark.long
def test_a_regressor_says_the_same_as_onnx(
    tables: dict[str, Table], name: str, path: str, keywords: dict[str, Any]
) -> None:
    """Within 1e-4 of the target's standard deviation."""
    assert differences(tables[name], *exported(tables[name], estimator_of(path, keywords)), 1e-4) == 0


@pytest.mark.long
@pytest.mark.parametrize("name", ["multiclass", "mixed"])
def test_linear_discriminants_of_three_classes_say_the_same(tables: dict[str, Table], name: str) -> None:
    """The probabilities are a softmax."""
    path = "discriminant_analysis.LinearDiscriminantAnalysis"
    assert differences(tables[name], *exported(tables[name], estimator_of(path)), 1e-5) == 0


def test_linear_discriminants_of_two_classes_are_found_out(tables: dict[str, Table]) -> None:
    """skl2onnx 1.20.0 writes other probabilities than scikit-learn's: parity is checked because such things are."""
    path, table = "discriminant_analysis.LinearDiscriminantAnalysis", tables["mixed binary"]
    assert differences(table, *exported(table, estimator_of(path)), 1e-5) > 0


@pytest.mark.parametrize("name", ["multiclass", "mixed"])
def test_the_same_model_is_the_same_bytes(tables: dict[str, Table], name: str) -> None:
    """Two exports differ in nothing, and the file is bound to its contract."""
    params = estimator_of("linear_model.LogisticRegression", {"max_iter": 1000})
    one, other = (exported(tables[name], params)[2] for _ in range(2))
    assert one == other
    metadata = start_session(one).get_modelmeta().custom_metadata_map
    assert metadata == {CONTRACT_KEY: "the contract's sha256"}


def test_units_and_descriptions_are_in_the_file_whatever_their_order(tables: dict[str, Table]) -> None:
    """In the order of the columns, the target last; a name of no column is refused with the nearest one."""
    names = ["size", "open", "price"]
    about = {name: ColumnLegend(unit=unit) for name, unit in (("price", "€"), ("size", "m²"))}
    legend = arrange_legend({**about, "open": ColumnLegend()}, names)
    assert list(legend) == ["size", "price"]
    estimator, contract, plain = exported(tables["mixed"], estimator_of("linear_model.LogisticRegression"))
    content = serialize(export_model(estimator, contract, 17, matrix(tables["mixed"])), "sum", legend)
    session = start_session(content)
    assert session.get_modelmeta().custom_metadata_map == {
        CONTRACT_KEY: "sum",
        "columns": '{"size":{"unit":"m²"},"price":{"unit":"€"}}',
    }
    assert read_legend(session, PORTABLE) == legend
    assert read_legend(start_session(plain), PORTABLE) == arrange_legend(None, names) == {}
    with pytest.raises(
        ParamsError,
        match=r"^params.yaml: export.columns names prize, which is no column of the model \(did you mean price\?\); "
        "allowed: the names of features and of the target.$",
    ):
        arrange_legend({"prize": ColumnLegend(unit="€")}, names)


def test_inputs_and_outputs_are_as_promised(tables: dict[str, Table]) -> None:
    """All numbers: one float32 matrix. Mixed: one input a column, by name. No opset is above the one set."""
    params = estimator_of("linear_model.LogisticRegression", {"max_iter": 1000})
    signatures = {}
    for name in ("multiclass", "mixed"):
        content = exported(tables[name], params)[2]
        session = start_session(content)
        signatures[name] = {i.name: i.type for i in session.get_inputs()}, [o.name for o in session.get_outputs()]
        opsets = {opset.domain: opset.version for opset in onnx.load_from_string(content).opset_import}
        assert opsets[""] <= 17
        assert opsets["ai.onnx.ml"] <= 3
    assert signatures["multiclass"] == ({"features": "tensor(float)"}, ["label", "probabilities"])
    number, text = "tensor(float)", "tensor(string)"
    mixed = {"size": number, "open": number, "since": number, "colour": text}
    assert signatures["mixed"] == (mixed, ["label", "probabilities"])


def test_any_runtime_takes_raw_rows(tables: dict[str, Table]) -> None:
    """A text as text, a missing one as "", a missing number as NaN; an unseen text is no known one."""
    table = tables["mixed"]
    estimator, contract, content = exported(table, estimator_of("linear_model.LogisticRegression", {"max_iter": 1000}))
    raw = {
        "size": np.array([[0.5], [np.nan], [-1]], np.float32),
        "open": np.array([[1], [0], [np.nan]], np.float32),
        "since": np.array([[19000.5], [19100], [np.nan]], np.float32),
        "colour": np.array([["Müller, H."], [""], ["never seen"]], object),
    }
    (colour,) = (feature for feature in contract.features if feature.name == "colour")
    known = list(colour.categories or ())
    codes = np.array([[known.index("Müller, H.")], [len(known)], [-1]])
    X = np.hstack([raw["size"], raw["open"], raw["since"], codes]).astype(float)
    (probabilities,) = start_session(content).run(["probabilities"], raw)
    assert np.allclose(probabilities, estimator.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (
            "gaussian_process.GaussianProcessClassifier",
            r"^GaussianProcessClassifier cannot be written as ONNX by skl2onnx: Only binary classification",
        ),
        (
            "semi_supervised.LabelSpreading",
            r"^LabelSpreading cannot be written as ONNX by skl2onnx: Unable to find a shape calculator",
        ),
    ],
)
@pytest.mark.parametrize("name", ["multiclass", "mixed"])
def test_what_cannot_be_exported_is_one_sentence(tables: dict[str, Table], path: str, sentence: str, name: str) -> None:
    """The estimator is named, with the converter's reason."""
    with pytest.raises(InapplicableError, match=sentence) as caught:
        exported(tables[name], estimator_of(path))
    assert "\n" not in str(caught.value)


def test_a_class_without_training_rows_is_one_sentence(tables: dict[str, Table]) -> None:
    """The portable model would name its classes wrongly."""
    table, params = tables["multiclass"], estimator_of("linear_model.LogisticRegression", {"max_iter": 1000})
    estimator = train_model(table, params, np.flatnonzero(table.y != 1))  # type: ignore[arg-type]
    with pytest.raises(
        InapplicableError, match=r"^the train split has no row of class versicolor, so ONNX would number"
    ):
        export_model(estimator, contract_of(table, params, {}), 17, matrix(table))


@pytest.mark.parametrize(
    "names", [["label", "features"], ["probabilities", "variable"], ["code_0", "code_1"], ["label", "label_"]]
)
@pytest.mark.long
def test_any_name_may_stand_in_the_contract(tables: dict[str, Table], names: Sequence[str]) -> None:
    """What the graph calls its own parts makes way; only a name that an output has gets an underscore."""
    table, params = tables["mixed"], estimator_of("linear_model.LogisticRegression", {"max_iter": 1000})
    estimator, contract, _ = exported(table, params)
    features = [
        feature.model_copy(update={"name": name})
        for feature, name in zip(contract.features, [*names, "since", "colour"], strict=True)
    ]
    contract = contract.model_copy(update={"features": features})
    content = serialize(export_model(estimator, contract, 17, matrix(table)), "")
    found = [value.name.rstrip("_") for value in start_session(content).get_inputs()]
    assert found == [name.rstrip("_") for name in (*names, "since", "colour")]
    assert differences(table, estimator, contract, content, 1e-5) == 0


def predictions_of(values: Sequence[float], probabilities: Sequence[Sequence[float]] | None = None) -> Predictions:
    """Return predictions; whole values are class indices."""
    return Predictions(np.array(values), None if probabilities is None else np.array(probabilities))


@pytest.mark.parametrize(
    ("expected", "found", "wrong"),
    [
        (predictions_of([0, 1, 1]), predictions_of([0, 1, 0]), 1),
        (predictions_of([0, 0]), predictions_of([[0, 0]]), 2),  # type: ignore[list-item]
        (predictions_of([1.0, 2.0]), predictions_of([1.0, 2.0 + 1e-6]), 0),
        (predictions_of([1.0, 2.0]), predictions_of([1.0, 2.1]), 1),
        (predictions_of([1.0, 2.0]), predictions_of([1.0, float("nan")]), 1),
        (predictions_of([0], [[0.7, 0.3]]), predictions_of([0], [[0.7, 0.3]]), 0),
        (predictions_of([0], [[0.7, 0.3]]), predictions_of([1], [[0.7, 0.3]]), 1),
        (predictions_of([0], [[0.7, 0.3]]), predictions_of([0], [[0.6, 0.4]]), 1),
        (predictions_of([0], [[0.7, 0.3]]), predictions_of([0], [[float("nan"), 0.3]]), 1),
        (predictions_of([0], [[0.5, 0.5]]), predictions_of([1], [[0.5, 0.5]]), 0),
    ],
)
def test_parity_counts_the_rows_that_differ(expected: Predictions, found: Predictions, wrong: int) -> None:
    """Another label, number or probability is a difference, NaN too; between two equal probabilities no label is."""
    assert check_parity(expected, found, np.array([0.0, 1.0]), 1e-4)[1] == wrong


def test_parity_finds_a_wrong_model(tables: dict[str, Table]) -> None:
    """A weight that is off by a hundredth does not pass."""
    table = tables["multiclass"]
    estimator, contract, content = exported(table, estimator_of("linear_model.LogisticRegression", {"max_iter": 1000}))
    estimator.coef_[0, 0] += 0.01
    assert differences(table, estimator, contract, content, 1e-6) > 0


def test_the_file_is_what_travels(tables: dict[str, Table], tmp_path: Path) -> None:
    """Written to disk and opened by onnxruntime alone, it says the same."""
    import onnxruntime

    table = tables["multiclass"]
    estimator, _, content = exported(table, estimator_of("linear_model.LogisticRegression", {"max_iter": 1000}))
    (tmp_path / "model.onnx").write_bytes(content)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (labels,) = session.run(["label"], {"features": matrix(table).astype(np.float32)})
    assert np.array_equal(labels, estimator.predict(matrix(table)))


def test_boosted_trees_split_float32_rows_where_they_split_float64_rows() -> None:
    """Neighbouring values whose threshold rounds to one of them stay on their sides; equal float32 values cannot."""
    near = 1 + 2**-23
    for low, high in ((1.0, near), (near, 1 + 2**-22), (0.1, 0.10000001), (-near, -1.0)):
        threshold = round_threshold(np.array([low - 1, low, high, high + 1]), (low + high) / 2)
        assert np.float32(low) <= np.float32(threshold) < np.float32(high)
        assert np.float32(threshold) == threshold
    assert round_threshold(np.array([1.0, 2.0]), 1.3) == np.float32(1.3)


@pytest.mark.long
def test_the_domains_have_one_order(tables: dict[str, Table]) -> None:
    """The converter of support vector machines lists them in another order in each process."""
    for path in ("svm.SVC", "linear_model.RidgeClassifier"):
        content = exported(tables["multiclass"], estimator_of(path))[2]
        domains = [opset.domain for opset in onnx.load_from_string(content).opset_import]
        assert domains == sorted(domains, reverse=True)
