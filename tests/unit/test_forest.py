"""Trees become 8 bits in standard ONNX: every row reaches the leaf it reached; what saves nothing is not written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from unit.tables import contract_of, estimator_of, matrix, predict, predict_file, train_model

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.errors import InapplicableError
from artifact_flow.core.base.params import ExportParams, InferParams, Params, QuantizeParams, TrainParams
from artifact_flow.core.model.artifacts import PORTABLE, QUANTIZATION, QUANTIZED, start_session
from artifact_flow.core.model.predictions import run_portable
from artifact_flow.core.model.scoring import find_r2
from artifact_flow.core.table.tables import DATA, Table, write_table
from artifact_flow.portable.eight_bit import extract_part
from artifact_flow.portable.export import check_parity, export_model, serialize
from artifact_flow.portable.forest import Forest, extract_forest, find_leaves
from artifact_flow.portable.quantize import preprocess
from artifact_flow.portable.quantized_forest import (
    QuantizedForest,
    predict_forest,
    quantize_forest,
    shrink,
    store_trees,
    write_forest,
)
from artifact_flow.stages import export, quantize, train

CLASSIFIERS = [
    ("tree.DecisionTreeClassifier", {"random_state": 0}),
    ("tree.ExtraTreeClassifier", {"random_state": 0, "max_depth": 4}),
    ("ensemble.RandomForestClassifier", {"random_state": 0, "n_estimators": 20}),
    ("ensemble.RandomForestClassifier", {"random_state": 0, "n_estimators": 20, "class_weight": "balanced"}),
    ("ensemble.ExtraTreesClassifier", {"random_state": 0, "n_estimators": 20, "max_depth": 3}),
    ("ensemble.GradientBoostingClassifier", {"random_state": 0, "n_estimators": 20}),
    ("ensemble.HistGradientBoostingClassifier", {"random_state": 0, "max_iter": 20}),
]
REGRESSORS = [
    ("tree.DecisionTreeRegressor", {"random_state": 0}),
    ("ensemble.RandomForestRegressor", {"random_state": 0, "n_estimators": 20}),
    ("ensemble.ExtraTreesRegressor", {"random_state": 0, "n_estimators": 20}),
    ("ensemble.GradientBoostingRegressor", {"random_state": 0, "n_estimators": 20}),
    ("ensemble.HistGradientBoostingRegressor", {"random_state": 0, "max_iter": 20}),
]
FOREST = "ensemble.RandomForestClassifier", {"random_state": 0, "n_estimators": 20}


def twin_of(table: Table, path: str, keywords: dict[str, Any], opset: int = 17) -> tuple[Any, QuantizedForest, bytes]:
    """Return the estimator fitted on a table, its 8-bit twin, and the twin's ONNX file."""
    estimator = train_model(table, estimator_of(path, keywords))
    Z = preprocess(estimator, matrix(table))
    model = quantize_forest(extract_forest(estimator, matrix(table)), Z[table.split == "train"])
    return estimator, model, serialize(write_forest(model, estimator, table.describe(), opset), "")


def numbers(columns: int) -> list[Feature]:
    """Return so many features of type number."""
    return [Feature.model_construct(name=f"f{place}", type="number") for place in range(columns)]


@pytest.mark.parametrize("name", ["binary", "multiclass", "mixed", "mixed binary"])
@pytest.mark.parametrize(("path", "keywords"), CLASSIFIERS)
@pytest.mark.long
def test_8_bit_trees_say_the_same(tables: dict[str, Table], name: str, path: str, keywords: dict[str, Any]) -> None:
    """Every label is the model's; the file says in its runtime what its numbers say."""
    table = tables[name]
    estimator, model, content = twin_of(table, path, keywords)
    twin = predict_forest(model, preprocess(estimator, matrix(table)))
    assert np.array_equal(twin.values, predict(estimator, table).values)
    assert check_parity(twin, predict_file(content, table), table.y, 1e-5)[1] == 0


@pytest.mark.parametrize("name", ["number", "mixed number"])
@pytest.mark.parametrize(("path", "keywords"), REGRESSORS)
@pytest.mark.long
def test_8_bit_trees_say_nearly_the_same_number(
    tables: dict[str, Table], name: str, path: str, keywords: dict[str, Any]
) -> None:
    """R² to the model's predictions is 0.9999 or more; the file says in its runtime what its numbers say."""
    table = tables[name]
    estimator, model, content = twin_of(table, path, keywords)
    twin = predict_forest(model, preprocess(estimator, matrix(table)))
    assert find_r2(predict(estimator, table).values, twin.values) >= 0.9999
    assert check_parity(twin, predict_file(content, table), table.y, 1e-5)[1] == 0


def test_a_forest_is_a_quarter_of_the_float_file_at_most(tables: dict[str, Table]) -> None:
    """Its probabilities, shares of leaves with few rows, are exact; in and out are as in model.onnx."""
    table = tables["multiclass"]
    estimator, _, content = twin_of(table, *FOREST)
    contract = contract_of(table, estimator_of(*FOREST), {})
    exported = serialize(export_model(estimator, contract, 17, matrix(table)), "")
    assert len(content) < len(exported) / 4
    sessions = [start_session(file) for file in (content, exported)]
    for ask in ("get_inputs", "get_outputs"):
        ours, theirs = ([(one.name, one.type) for one in getattr(session, ask)()] for session in sessions)
        assert ours == theirs
    found, expected = predict_file(content, table), predict(estimator, table)
    assert np.array_equal(found.values, expected.values)
    assert found.probabilities is not None
    assert expected.probabilities is not None
    assert np.abs(found.probabilities - expected.probabilities).max() < 1e-3


def test_the_file_has_8_bit_leaves_and_standard_operators_only(tables: dict[str, Table]) -> None:
    """A leaf and a feature are a byte, the shape is a bit a node; the bytes are the same again."""
    estimator, model, content = twin_of(tables["multiclass"], *FOREST)
    graph = onnx.load_from_string(content)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    inner, leaves = len(model.forest.features), len(model.forest.leaves)
    assert [opset.domain for opset in graph.opset_import] == [""]
    assert stored["S"].nbytes == -(-(inner + leaves) // 8)
    assert stored["F"].dtype == stored["C"].dtype == stored["L"].dtype == stored["W"].dtype == np.uint8
    assert stored["L"].shape == (leaves,)
    assert np.array_equal(stored["W"][stored["L"]], model.leaves)
    assert np.array_equal(stored["V"][stored["C"]][:-1], model.forest.thresholds)
    assert model.parameter_bytes < len(content)
    again = serialize(write_forest(model, estimator, tables["multiclass"].describe(), 17), "")
    assert again == content == twin_of(tables["multiclass"], *FOREST)[2]


def test_a_row_on_a_threshold_takes_the_branch_that_scikit_learn_takes() -> None:
    """So do rows one float32 step beside it, in every tree: comparisons lose nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    forest = RandomForestRegressor(5, random_state=0).fit(X, rng.normal(size=120))
    part = extract_forest(forest, X)
    limits = part.thresholds[:, None].repeat(3, axis=1)
    rows = np.vstack([limits, np.nextafter(limits, np.float32(9)), np.nextafter(limits, np.float32(-9))])
    reached = find_leaves(part, rows.astype(np.float64))
    for number, one in enumerate(forest.estimators_):
        assert np.array_equal(part.leaves[reached[:, number], 0], one.tree_.predict(rows)[:, 0])


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("boosted", [False, True])
def test_a_missing_value_takes_the_branch_that_scikit_learn_takes(classes: int, boosted: bool) -> None:
    """Left or right, as each split learned."""
    rng = np.random.default_rng(classes)
    X = rng.normal(size=(200, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = np.nan
    score = np.nan_to_num(X, nan=1.5).sum(axis=1)
    y = np.digitize(score, [0.5, 2.5][: classes - 1]) if classes else score
    kinds = {
        (False, False): RandomForestRegressor(5, random_state=0),
        (False, True): HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5),
        (True, False): RandomForestClassifier(5, random_state=0),
        (True, True): HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5),
    }
    estimator = kinds[bool(classes), boosted].fit(X, y)
    model = quantize_forest(extract_forest(estimator, X), X)
    content = serialize(write_forest(model, estimator, numbers(3), 17), "")
    found = run_portable(start_session(content), numbers(3), X)
    assert model.forest.gaps
    if classes:
        assert np.array_equal(found.values, estimator.predict(X))
    else:
        assert find_r2(estimator.predict(X), found.values) > 0.999


@pytest.mark.parametrize("rows", [0, 1, 1638, 1639, 4000])
def test_any_number_of_rows_is_followed_in_parts(tables: dict[str, Table], rows: int) -> None:
    """1638 rows of 20 trees are followed at a time; each row's answer is that of the row alone."""
    estimator, _, content = twin_of(tables["multiclass"], *FOREST)
    X = np.resize(matrix(tables["multiclass"]), (rows, 4))
    found = run_portable(start_session(content), tables["multiclass"].describe(), X)
    assert np.array_equal(found.values, estimator.predict(X) if rows else [])


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("name", ["multiclass", "mixed"])
@pytest.mark.long
def test_every_opset_that_may_be_asked_for_is_served(tables: dict[str, Table], name: str, opset: int) -> None:
    """Behind pre-processing too, whose converter would declare an older one."""
    estimator, _, content = twin_of(tables[name], *FOREST, opset)
    assert np.array_equal(predict_file(content, tables[name]).values, predict(estimator, tables[name]).values)


@pytest.mark.parametrize("names", [["k", "x"], ["X", "j"], ["S", "one"], ["scores", "sums"], ["R", "label"]])
def test_a_feature_may_be_called_as_a_part_of_the_graph(tables: dict[str, Table], names: list[str]) -> None:
    """What the graph and the bodies of its loops call so makes way."""
    table = tables["mixed"]
    estimator, model, _ = twin_of(table, *FOREST)
    features = [
        feature.model_copy(update={"name": name})
        for feature, name in zip(table.describe(), [*names, "since", "colour"], strict=True)
    ]
    content = serialize(write_forest(model, estimator, features, 17), "")
    found = run_portable(start_session(content), features, matrix(table))
    assert np.array_equal(found.values, predict(estimator, table).values)


def test_without_the_runtime_s_optimiser_the_rows_fall_the_same(tables: dict[str, Table]) -> None:
    """What onnxruntime computes when it opens the file, a runtime that does not can compute for each call."""
    import onnxruntime

    estimator, _, content = twin_of(tables["multiclass"], *FOREST)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    rows = matrix(tables["multiclass"]).astype(np.float32)
    assert np.array_equal(session.run(["label"], {"features": rows})[0], estimator.predict(rows))


@pytest.mark.parametrize("kind", [DecisionTreeClassifier, DecisionTreeRegressor])
def test_a_tree_without_a_split_is_a_tree(kind: Any) -> None:
    """Its one leaf answers every row."""
    X = np.arange(8.0).reshape(4, 2)
    y = np.array([0, 1, 1, 1])
    estimator = kind(max_depth=1, min_samples_leaf=3).fit(X, y)
    model = quantize_forest(extract_forest(estimator, X), X)
    content = serialize(write_forest(model, estimator, numbers(2), 17), "")
    found = run_portable(start_session(content), numbers(2), X)
    assert found.values.tolist() == estimator.predict(X).tolist()


def test_thresholds_are_ranks_only_where_that_saves_bytes() -> None:
    """Ranks of two bytes do not pay for thresholds that are all different."""
    X, y = np.random.default_rng(0).normal(size=(2, 900, 2))
    part = extract_forest(RandomForestRegressor(3, random_state=0).fit(X, y[:, 0]), X)
    model = quantize_forest(part, X)
    assert "C" not in store_trees(model)
    coarse = extract_forest(RandomForestRegressor(3, random_state=0).fit(np.round(X, 1), y[:, 0]), np.round(X, 1))
    assert store_trees(quantize_forest(coarse, np.round(X, 1)))["C"].dtype == np.uint8


@pytest.mark.parametrize(("largest", "kind"), [(255, np.uint8), (256, np.uint16), (65536, np.int32)])
def test_whole_numbers_take_the_narrowest_type(largest: int, kind: type) -> None:
    """The numbers stay the same."""
    found = shrink(np.array([0, largest]))
    assert found.dtype == kind
    assert found.tolist() == [0, largest]


def test_trees_whose_estimator_says_something_else_are_refused(tables: dict[str, Table]) -> None:
    """A logarithm between the trees and the prediction is found out."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    estimator = HistGradientBoostingRegressor(loss="poisson", max_iter=3).fit(X, np.exp(X[:, 0]))
    with pytest.raises(InapplicableError, match=r"^HistGradientBoostingRegressor does not predict what its trees do$"):
        extract_part(estimator, X)
    number = tables["number"]
    assert isinstance(extract_part(train_model(number, estimator_of(*REGRESSORS[0])), matrix(number)), Forest)


def make_params(table: Table, **arguments: Any) -> Params:
    """Return the parameters of a flow whose estimator is a forest."""
    return Params(
        data=table.roles.params,
        train=TrainParams(estimator="sklearn.ensemble.RandomForestClassifier", threads=1, random_state=0, **arguments),
        infer=InferParams(decimals=8),
        export=ExportParams(opset=17, max_difference=1e-5),
        quantize=QuantizeParams(max_quality_loss=0.0, min_agreement=1.0),
    )


@pytest.mark.parametrize(("trees", "pays"), [(10, True), (1, False)])
@pytest.mark.long
def test_the_stage_writes_what_pays(
    tables: dict[str, Table], tmp_path: Path, capsys: pytest.CaptureFixture[str], trees: int, pays: bool
) -> None:
    """A few trees pay; for one small tree the file would be larger than model.onnx, which is said."""
    write_table(tables["multiclass"], tmp_path / DATA)
    params = make_params(tables["multiclass"], n_estimators=trees)
    for stage in (train, export, quantize):
        stage.main(params, tmp_path)
    record, line = json.loads((tmp_path / QUANTIZATION).read_text()), capsys.readouterr().out.splitlines()[-1]
    content, size = (tmp_path / QUANTIZED).read_bytes(), (tmp_path / PORTABLE).stat().st_size
    if pays:
        assert record["agreement"] == 1
        assert record["file_bytes"][QUANTIZED.name] == len(content) < size
        assert record["parameter_bytes"]["quantized"] < record["parameter_bytes"]["float"] / 4
        assert line.startswith(f"model_quantized.onnx: {len(content)} bytes, ")
        return
    assert content == b""
    assert record["applies"] is False
    assert record["reason"].startswith("8 bits do not pay for RandomForestClassifier: model_quantized.onnx would have ")
    assert record["reason"].endswith(f" bytes, model.onnx has {size}")
    assert line == f"quantize does not apply: {record['reason']}"
