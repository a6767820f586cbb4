"""A linear model's weights become 8 bits in standard ONNX; what is no linear model, or loses too much, is refused."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.base import is_classifier
from unit.tables import estimator_of, matrix, predict, predict_file, train_model

from artifact_flow.core.base.errors import InapplicableError, ModelError
from artifact_flow.core.base.params import QuantizeParams, TrainParams
from artifact_flow.core.model.scoring import measure_cost
from artifact_flow.core.table.tables import Table
from artifact_flow.portable.export import check_parity, serialize
from artifact_flow.portable.links import apply_link
from artifact_flow.portable.quantize import (
    Linear,
    Quantized,
    extract_linear,
    predict_quantized,
    preprocess,
    quantize_linear,
    write_quantized,
)
from artifact_flow.stages.quantize import check_gate

CLASSIFIERS = [
    ("linear_model.LogisticRegression", {"max_iter": 1000}),
    ("svm.LinearSVC", {"random_state": 0}),
    ("linear_model.RidgeClassifier", {}),
    ("linear_model.SGDClassifier", {"loss": "log_loss", "random_state": 0}),
    ("linear_model.SGDClassifier", {"loss": "hinge", "random_state": 0}),
    ("linear_model.Perceptron", {"random_state": 0}),
    ("discriminant_analysis.LinearDiscriminantAnalysis", {}),
]
REGRESSORS = [
    ("linear_model.LinearRegression", {}),
    ("linear_model.Ridge", {}),
    ("linear_model.Lasso", {"alpha": 0.01}),
    ("linear_model.HuberRegressor", {"max_iter": 5000}),
    ("svm.LinearSVR", {"random_state": 0, "dual": False, "loss": "squared_epsilon_insensitive"}),
]
NOT_LINEAR = [
    ("ensemble.AdaBoostClassifier", "multiclass"),
    ("ensemble.BaggingClassifier", "mixed"),
    ("svm.SVC", "multiclass"),
    ("neighbors.KNeighborsClassifier", "mixed"),
    ("neural_network.MLPRegressor", "mixed number"),
    ("linear_model.PoissonRegressor", "mixed shifted"),
]


@pytest.fixture(scope="module")
def tables(tables: dict[str, Table]) -> dict[str, Table]:
    """The tables, and one whose target is never below 0."""
    price = tables["mixed number"]
    place = price.columns.column_names.index("target")
    shifted = price.columns.set_column(place, "target", [np.abs(price.y)])
    return tables | {"mixed shifted": Table(shifted, price.roles)}


def quantized(table: Table, params: TrainParams) -> tuple[Any, Quantized, bytes]:
    """Return the estimator fitted on a table, its 8-bit twin, and the twin's ONNX file."""
    estimator = train_model(table, params)
    Z = preprocess(estimator, matrix(table))
    model = quantize_linear(extract_linear(estimator, matrix(table)), Z[table.split == "train"])
    return estimator, model, serialize(write_quantized(model, estimator, table.describe(), opset=17), "")


@pytest.mark.parametrize("name", ["binary", "multiclass", "mixed", "mixed binary"])
@pytest.mark.parametrize(("path", "keywords"), CLASSIFIERS)
@pytest.mark.long
def test_an_8_bit_classifier_says_nearly_the_same(
    tables: dict[str, Table], name: str, path: str, keywords: dict[str, Any]
) -> None:
    """Nearly all labels are those of the model; the file says in its runtime what its numbers say."""
    table = tables[name]
    estimator, model, content = quantized(table, estimator_of(path, keywords))
    twin = predict_quantized(model, preprocess(estimator, matrix(table)))
    assert np.mean(twin.values == predict(estimator, table).values) >= 0.98
    assert (twin.probabilities is None) is not hasattr(estimator, "predict_proba")
    assert check_parity(twin, predict_file(content, table), table.y, 1e-4)[1] == 0


@pytest.mark.parametrize("name", ["number", "mixed number"])
@pytest.mark.parametrize(("path", "keywords"), REGRESSORS)
@pytest.mark.long
def test_an_8_bit_regressor_says_nearly_the_same(
    tables: dict[str, Table], name: str, path: str, keywords: dict[str, Any]
) -> None:
    """R² to the model's predictions is 0.999 or more; the file says in its runtime what its numbers say."""
    table = tables[name]
    estimator, model, content = quantized(table, estimator_of(path, keywords))
    twin = predict_quantized(model, preprocess(estimator, matrix(table)))
    assert measure_cost(table, predict(estimator, table), twin)["agreement"] >= 0.999
    assert check_parity(twin, predict_file(content, table), table.y, 1e-4)[1] == 0


@pytest.mark.parametrize("name", ["multiclass", "mixed", "number", "mixed number"])
def test_the_weights_in_the_file_are_8_bits(tables: dict[str, Table], name: str) -> None:
    """As standard ONNX: uint8 weights, one scale and one zero point an output; no weight in float is left; the bytes
    are the same again.
    """
    path = "linear_model.Ridge" if "number" in name else "linear_model.RidgeClassifier"
    estimator, model, content = quantized(tables[name], estimator_of(path))
    graph = onnx.load_from_string(content).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    outputs = len(model.intercept)
    (dequantize,) = (node for node in graph.node if node.op_type == "DequantizeLinear")
    weights, scale, zero_point = (stored[name] for name in dequantize.input)
    assert weights.dtype == zero_point.dtype == np.uint8
    assert weights.shape == (preprocess(estimator, matrix(tables[name])).shape[1], outputs)
    assert scale.shape == zero_point.shape == (outputs,)
    assert np.array_equal(weights, model.weights)
    assert all(array.size != weights.size or array is weights for array in stored.values() if outputs > 1)
    assert model.parameter_bytes < 8 * weights.size + 13 * outputs
    assert quantized(tables[name], estimator_of(path))[2] == content


def test_the_runtime_s_optimiser_keeps_the_rows_exact(tables: dict[str, Table]) -> None:
    """By default onnxruntime rewrites graphs: what it makes of this one is the same as without."""
    import onnxruntime

    table = tables["multiclass"]
    _, _, content = quantized(table, estimator_of("linear_model.LogisticRegression", {"max_iter": 1000}))
    answers = []
    for level in (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        answers.append(session.run(["probabilities"], {"features": matrix(table).astype(np.float32)})[0])
    assert np.allclose(*answers, atol=1e-6)


@pytest.mark.parametrize("outputs", [1, 3])
def test_mixed_units_cost_nothing(outputs: int) -> None:
    """Features whose scales lie twelve orders of magnitude apart keep R² within 0.001."""
    rng = np.random.default_rng(outputs)
    units = 10.0 ** np.arange(-6, 7)
    Z = rng.normal(size=(500, 13)) * units + units
    linear = Linear(rng.normal(size=(13, outputs)) / units[:, None], rng.normal(size=outputs), "identity")
    model = quantize_linear(linear, Z)
    exact = Z @ linear.weights + linear.intercept
    stored = model.factors * model.scale * (model.weights.astype(float) - model.zero_point)
    residual = Z @ stored + model.intercept - exact
    assert ((residual**2).sum(axis=0) / ((exact - exact.mean(axis=0)) ** 2).sum(axis=0)).max() < 0.001
    assert np.abs(residual.mean(axis=0)).max() < 1e-3 * exact.std()


@pytest.mark.parametrize("weights", [[[0.0], [0.0]], [[2.0], [3.0]], [[-2.0], [-3.0]], [[0.0], [1e-30]]])
def test_weights_of_one_sign_or_none_are_stored_too(weights: list[list[float]]) -> None:
    """Zero is always one of the 256 steps; a constant column and all-zero weights break nothing."""
    linear = Linear(np.array(weights), np.array([0.5]), "identity")
    Z = np.column_stack([np.ones(9), np.arange(9.0)])
    model = quantize_linear(linear, Z)
    exact = Z @ linear.weights[:, 0] + 0.5
    assert np.allclose(predict_quantized(model, Z).values, exact, atol=0.02 * max(1e-6, np.ptp(exact)))


@pytest.mark.parametrize(
    ("link", "scores", "values", "probabilities"),
    [
        ("identity", [[1.5], [2.5]], [1.5, 2.5], None),
        ("none", [[-1.0], [1.0]], [0, 1], None),
        ("none", [[1.0, 3.0, 2.0]], [1], None),
        ("sigmoid", [[0.0], [800.0], [-800.0]], [0, 1, 0], [[0.5, 0.5], [0, 1], [1, 0]]),
        ("softmax", [[0.0, 0.0], [900.0, 0.0]], [0, 0], [[0.5, 0.5], [1, 0]]),
        ("one-vs-rest", [[0.0, 0.0, -800.0]], [0], [[0.5, 0.5, 0]]),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")  # e to 800 is infinite, and 1 / infinity the 0 that is wanted
def test_scores_become_predictions(
    link: Any, scores: list[list[float]], values: list[float], probabilities: list[list[float]] | None
) -> None:
    """Each link is scikit-learn's, also far out."""
    found = apply_link(np.array(scores), link)
    assert found.values.tolist() == values
    assert (None if found.probabilities is None else found.probabilities.tolist()) == probabilities


@pytest.mark.parametrize(("path", "name"), NOT_LINEAR)
@pytest.mark.long
def test_what_is_not_linear_is_refused(tables: dict[str, Table], path: str, name: str) -> None:
    """The estimator is named in one sentence."""
    estimator = train_model(tables[name], estimator_of(path, {"max_iter": 5000} if "MLP" in path else {}))
    kind = path.partition(".")[2]
    with pytest.raises(InapplicableError, match=rf"^{kind} is not a linear model, and only linear models and"):
        extract_linear(estimator, matrix(tables[name]))


def test_a_linear_model_that_says_something_else_is_found_out(tables: dict[str, Table]) -> None:
    """Weights that do not give the model's own predictions are not quantized."""
    estimator = train_model(tables["number"], estimator_of("linear_model.LinearRegression"))
    estimator.predict = lambda X: X[:, 0]
    with pytest.raises(InapplicableError, match=r"^LinearRegression is not a linear model"):
        extract_linear(estimator, matrix(tables["number"]))
    assert not is_classifier(estimator)


GATE = QuantizeParams(max_quality_loss=0.01, min_agreement=0.98)


@pytest.mark.parametrize(
    ("loss", "agreement", "sentence"),
    [
        (
            0.02,
            1.0,
            r"^the 8-bit model loses 0\.02 of accuracy on the test split, but quantize\.max_quality_loss in params",
        ),
        (float("nan"), 1.0, r"^the 8-bit model loses nan of accuracy"),
        (
            0.0,
            0.5,
            r"^the 8-bit model's agreement with the float model on the test split is 0\.5, but quantize\.min_agreement",
        ),
        (0.0, float("nan"), r"^the 8-bit model's agreement with the float model on the test split is nan"),
    ],
)
def test_the_gate_refuses_what_loses_too_much(loss: float, agreement: float, sentence: str) -> None:
    """What was lost, what is allowed, where to change it; nothing was written."""
    with pytest.raises(ModelError, match=sentence) as caught:
        check_gate({"metric": "accuracy", "quality_loss": loss, "agreement": agreement}, GATE)
    assert "so nothing was written: serve model.onnx, or " in str(caught.value)


def test_the_gate_lets_a_good_twin_pass() -> None:
    """On its edges, and where 8 bits happen to be better."""
    for loss, agreement in ((0.01, 0.98), (-0.2, 1.0)):
        check_gate({"metric": "accuracy", "quality_loss": loss, "agreement": agreement}, GATE)
