"""Export: a fitted estimator becomes an ONNX model that any runtime opens without running code, and its parity.

The graph takes raw rows. Where every feature is a number it has one input, `features`, float32 [rows, features], in the
contract's order; a table with text has one input a column, float32 or string [rows, 1], by the contract's names (a
missing text is "", a missing number NaN). Outputs: `label` (class index, int64 [rows]) and `probabilities`
(float32 [rows, classes]), or `prediction` (float32 [rows, 1]).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from artifact_flow.artifacts import CONTRACT_KEY
from artifact_flow.contract import Contract, Feature
from artifact_flow.encoding import UNSEEN
from artifact_flow.errors import ModelError
from artifact_flow.predictions import Predictions

FEATURES, LABEL, PROBABILITIES, PREDICTION = "features", "label", "probabilities", "prediction"
ML_OPSET = 3  # of ai.onnx.ml, the domain of encoders, trees and linear models


def export_model(estimator: Any, contract: Contract, opset: int) -> onnx.ModelProto:
    """Return the ONNX model of a fitted estimator and its pre-processing.

    Raises ModelError when its converter, skl2onnx, has no way to write it.
    """
    classes = contract.target.classes
    if is_classifier(estimator) and list(estimator.classes_) != list(range(len(classes))):
        lacking = [name for index, name in enumerate(classes) if index not in estimator.classes_]
        raise ModelError(
            f"the train split holds no row of class {', '.join(lacking)}, so the model cannot be exported: set "
            "data.stratify: true in params.yaml, or leave such rows out."
        )
    model = convert(estimator, len(contract.features), opset)
    outputs = [LABEL, PROBABILITIES][: len(model.graph.output)] if is_classifier(estimator) else [PREDICTION]
    if is_classifier(estimator) and not hasattr(estimator, "predict_proba"):
        outputs = [LABEL]
    _name_outputs(model, outputs)
    return take_raw_rows(model, contract.features)


def convert(estimator: Any, features: int, opset: int) -> onnx.ModelProto:
    """Return skl2onnx's model of an estimator or transformer over one float32 input [rows, features]."""
    from skl2onnx import convert_sklearn  # noqa: PLC0415 - a second that most importers do not need
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    final = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    options = {id(final): {"zipmap": False}} if hasattr(final, "predict_proba") else None
    try:
        return convert_sklearn(  # type: ignore[no-any-return]
            estimator,
            name="artifact_flow",
            initial_types=[(FEATURES, FloatTensorType([None, features]))],
            target_opset={"": opset, "ai.onnx.ml": ML_OPSET},
            options=options,
        )
    except Exception as error:  # the converter's are of many kinds, some thousands of lines long
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:160]
        raise ModelError(
            f"{type(final).__name__} cannot be written as ONNX by skl2onnx ({reason}): choose another "
            "train.estimator, or take the stages export and quantize out of dvc.yaml."
        ) from error


def take_raw_rows(model: onnx.ModelProto, features: Sequence[Feature]) -> onnx.ModelProto:
    """Return a model over encoded rows as one over raw rows: itself where every feature is a number."""
    if all(feature.type != "category" for feature in features):
        return model
    others = [opset for opset in model.opset_import if opset.domain != "ai.onnx.ml"]
    del model.opset_import[:]  # the converter lowers a domain to what its own nodes need
    model.opset_import.extend([*others, helper.make_opsetid("ai.onnx.ml", ML_OPSET)])
    graph, inputs, nodes = model.graph, [], []
    for number, feature in enumerate(features):
        text = feature.type == "category"
        kind = TensorProto.STRING if text else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(feature.name, kind, [None, 1]))
        if text:
            values = [*(feature.categories or ()), ""]
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [feature.name],
                    [f"code_{number}"],
                    domain="ai.onnx.ml",
                    keys_strings=values,
                    values_floats=[float(code) for code in range(len(values))],
                    default_float=float(UNSEEN),
                )
            )
    encoded = [f"code_{i}" if feature.type == "category" else feature.name for i, feature in enumerate(features)]
    nodes.append(helper.make_node("Concat", encoded, [FEATURES], axis=1))
    rest = list(graph.node)
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend([*nodes, *rest])
    return model


def serialize(model: onnx.ModelProto, contract_sha256: str) -> bytes:
    """Return the file's bytes, after the model is bound to its contract; raise ModelError when it is no valid ONNX."""
    helper.set_model_props(model, {CONTRACT_KEY: contract_sha256})
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"what the converter wrote is no valid ONNX: {str(error).splitlines()[0]}.") from error
    return bytes(model.SerializeToString(deterministic=True))


def check_parity(expected: Predictions, found: Predictions, y: np.ndarray, tolerance: float) -> tuple[float, int]:
    """Return the largest difference of two models' predictions, and the number of rows that differ too much.

    A class must be the same, but for rows whose two best probabilities are nearer than `tolerance`; probabilities must
    be within `tolerance`, numbers within `tolerance` standard deviations of y.
    """
    if expected.probabilities is None and np.issubdtype(expected.values.dtype, np.integer):
        return 0.0, int(np.count_nonzero(expected.values != found.values))
    if expected.probabilities is None:
        scale = float(np.std(y)) or 1.0
        differences = np.abs(found.values - expected.values) / scale
        return float(differences.max(initial=0)), int(np.count_nonzero(~(differences <= tolerance)))
    probabilities = np.asarray(found.probabilities)
    differences = np.abs(probabilities - expected.probabilities).max(axis=1, initial=0)
    best = np.sort(expected.probabilities, axis=1)[:, -2:]
    tie = best[:, 1] - best[:, 0] <= tolerance
    wrong = ~(differences <= tolerance) | ((found.values != expected.values) & ~tie)
    return float(differences.max(initial=0)), int(np.count_nonzero(wrong))


def _name_outputs(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Give the first outputs of a graph these names, and drop the others."""
    graph = model.graph
    renamed = {output.name: name for output, name in zip(graph.output, names, strict=False)}
    del graph.output[len(names) :]
    for output in graph.output:
        output.name = renamed[output.name]
    for node in graph.node:
        for place in (node.input, node.output):
            place[:] = [renamed.get(name, name) for name in place]
