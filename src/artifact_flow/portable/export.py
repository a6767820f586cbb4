"""Export: a fitted estimator becomes an ONNX model that any runtime opens without running code, and its parity.

The graph takes raw rows. Where every feature is a number it has one input, `features`, float32 [rows, features], in the
contract's order; a table with text has one input a column in that order, float32 or string [rows, 1], by the contract's
names (a missing text is "", a missing number NaN), with an underscore behind a name that an output has. Free text is
split into words by an operator that only ONNX Runtime has. Outputs:
`label` (class index, int64 [rows]) and `probabilities` (float32 [rows, classes]), or `prediction` (float32 [rows, 1]).
"""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from sklearn.base import is_classifier

from artifact_flow.core.base.contract import Contract, Feature
from artifact_flow.core.base.encoding import UNSEEN, have_text
from artifact_flow.core.base.errors import InapplicableError
from artifact_flow.core.base.legend import LEGEND_KEY, Legend, dump_legend
from artifact_flow.core.model.artifacts import CONTRACT_KEY, start_session
from artifact_flow.core.model.models import final_step
from artifact_flow.core.model.predictions import Predictions, run_portable
from artifact_flow.core.model.thresholds import without_threshold
from artifact_flow.portable.names import free_names, rename, set_aside
from artifact_flow.portable.prepare import CONVERTERS, SHAPES, prepare
from artifact_flow.portable.threshold import set_label

FEATURES, LABEL, PROBABILITIES, PREDICTION = "features", "label", "probabilities", "prediction"
# Estimators whose parity the user cannot restore, and modules of such: their splits, distances or kernels need more
# digits than float32 has or, the last one, skl2onnx 1.20.0 writes other probabilities for two classes.
ROUNDED = (
    "sklearn.tree.",
    "sklearn.ensemble.",
    "sklearn.neighbors.",
    "sklearn.gaussian_process.",
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
)
ML_OPSET = 3  # of ai.onnx.ml, the domain of encoders, trees and linear models


def export_model(estimator: Any, contract: Contract, opset: int, X: np.ndarray) -> onnx.ModelProto:
    """Return the ONNX model of a fitted estimator and its pre-processing.

    X, encoded rows [rows, features], are the rows on which the model's float32 splits must fall as the estimator's do.
    Raises InapplicableError when skl2onnx, the converter, cannot write such an estimator.
    """
    threshold = contract.target.threshold
    estimator = without_threshold(estimator, threshold)
    check_classes(estimator, contract.target.classes)
    model = convert(prepare(estimator, X), contract.features, opset)
    if name_of(estimator) == "QuadraticDiscriminantAnalysis":
        _flatten_label(model)
    outputs = [LABEL, PROBABILITIES][: len(model.graph.output)] if is_classifier(estimator) else [PREDICTION]
    if is_classifier(estimator) and not hasattr(estimator, "predict_proba"):
        outputs = [LABEL]
    _name_outputs(model, outputs)
    if threshold is not None:
        set_label(model, threshold, LABEL, PROBABILITIES, opset)
    return take_raw_rows(model, contract.features)


def check_classes(estimator: Any, classes: Sequence[str]) -> None:
    """Raise InapplicableError when a classifier was fitted without a row of one of the contract's classes."""
    if is_classifier(estimator) and list(estimator.classes_) != list(range(len(classes))):
        lacking = [name for index, name in enumerate(classes) if index not in estimator.classes_]
        raise InapplicableError(
            f"the train split has no row of class {', '.join(lacking)}, so ONNX would number the classes differently; "
            "with data.stratify: true, both splits have rows of each class"
        )


def name_of(estimator: Any) -> str:
    """Return the name of an estimator's class, without its pre-processing."""
    return type(final_step(estimator)).__name__


def is_rounded(estimator: Any) -> bool:
    """Return whether no change of the features' scale would make ONNX predict as such an estimator does.

    So it is of one in `ROUNDED`, and of one made of other estimators: what its parts lose to float32 adds up.
    """
    final = final_step(estimator)
    parts = [final, *(part for part in final.get_params(deep=True).values() if hasattr(part, "predict"))]
    paths = [f"{type(part).__module__}.{type(part).__name__}" for part in parts]
    return len(parts) > 1 or paths[0].startswith(ROUNDED)


def predict_portable(content: bytes, contract: Contract, X: np.ndarray) -> Predictions:
    """Return the predictions of an ONNX model's bytes for encoded rows X [rows, features].

    Raises InapplicableError when the runtime lacks an operator of the model or cannot run it.
    """
    try:
        return run_portable(start_session(content), contract.features, X)
    except Exception as error:  # the runtime's exceptions have no common base class
        first = error.__cause__ or error  # the runtime's own words
        reason = (str(first).strip().splitlines() or [type(first).__name__])[0].rstrip(".")[:160]
        raise InapplicableError(f"the ONNX model that skl2onnx writes cannot run: {reason}") from error


def convert(estimator: Any, features: Sequence[Feature], opset: int) -> onnx.ModelProto:
    """Return skl2onnx's model of an estimator or transformer over one float32 input [rows, features].

    Where there are texts, each feature has an input of its own [rows, 1]. Raises InapplicableError when skl2onnx cannot
    write it.
    """
    from skl2onnx import convert_sklearn  # noqa: PLC0415 - a second that most importers do not need
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType  # noqa: PLC0415

    final = final_step(estimator)
    options = {id(final): {"zipmap": False}} if hasattr(final, "predict_proba") else None
    if type(final).__name__ == "LinearSVC":  # behind other steps its converter asks itself for options it has not
        options = {id(final): {"nocl": False}}
    inputs = [(FEATURES, FloatTensorType([None, len(features)]))]
    if have_text(features):
        kinds = [StringTensorType if feature.type == "text" else FloatTensorType for feature in features]
        inputs = [(f"{FEATURES}_{place}", kind([None, 1])) for place, kind in enumerate(kinds)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated in what the converter calls
            model: onnx.ModelProto = convert_sklearn(
                estimator,
                name="artifact_flow",
                initial_types=inputs,
                target_opset={"": opset, "ai.onnx.ml": ML_OPSET},
                options=options,
                custom_conversion_functions=CONVERTERS,
                custom_shape_calculators=SHAPES,
            )
    except InapplicableError:
        raise
    except Exception as error:  # the converter raises various exceptions, some with messages of thousands of lines
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        reason = re.sub(r" at 0x[0-9a-f]+", "", reason)[:160]  # an address is another one in each run
        raise InapplicableError(f"{type(final).__name__} cannot be written as ONNX by skl2onnx: {reason}") from error
    # the converter of support vector machines lists the domains in the order of a set, which each process has anew
    domains = sorted(model.opset_import, key=lambda opset: opset.domain, reverse=True)
    del model.opset_import[:]
    model.opset_import.extend(domains)
    return model


def take_raw_rows(model: onnx.ModelProto, features: Sequence[Feature]) -> onnx.ModelProto:
    """Return a model over encoded rows as one over raw rows: itself where every feature is a number."""
    texts = have_text(features)
    if not texts and all(feature.type != "category" for feature in features):
        return model
    others = [opset for opset in model.opset_import if opset.domain != "ai.onnx.ml"]
    del model.opset_import[:]  # the converter lowers a domain to what its own nodes need
    model.opset_import.extend([*others, helper.make_opsetid("ai.onnx.ml", ML_OPSET)])
    graph, inputs, nodes = model.graph, [], []
    names = free_names([feature.name for feature in features], {output.name for output in graph.output})
    codes = free_names([f"code_{number}" for number in range(len(features))], set(names))
    set_aside(graph, {*names, *codes})
    for number, feature in enumerate(features):
        kind = TensorProto.STRING if feature.type in ("category", "text") else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(names[number], kind, [None, 1]))
        if feature.type == "category":
            values = [*(feature.categories or ()), ""]
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [names[number]],
                    [codes[number]],
                    domain="ai.onnx.ml",
                    keys_strings=values,
                    values_floats=[float(code) for code in range(len(values))],
                    default_float=float(UNSEEN),
                )
            )
    encoded = [codes[i] if feature.type == "category" else names[i] for i, feature in enumerate(features)]
    if texts:  # the graph has an input for each feature
        rename(graph, dict(zip([value.name for value in graph.input], encoded, strict=True)))
    else:
        nodes.append(helper.make_node("Concat", encoded, [graph.input[0].name], axis=1))
    rest = list(graph.node)
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend([*nodes, *rest])
    return model


def serialize(model: onnx.ModelProto, contract_sha256: str, legend: Legend | None = None) -> bytes:
    """Return the file's bytes, after the model is bound to its contract and holds the legend of its columns.

    Raises InapplicableError if the model is invalid.
    """
    properties = {CONTRACT_KEY: contract_sha256} | ({LEGEND_KEY: dump_legend(legend)} if legend else {})
    helper.set_model_props(model, properties)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise InapplicableError(f"skl2onnx writes invalid ONNX for it: {str(error).splitlines()[0]}") from error
    return bytes(model.SerializeToString(deterministic=True))


def check_parity(
    expected: Predictions, found: Predictions, y: np.ndarray, tolerance: float, threshold: float | None = None
) -> tuple[float, int]:
    """Return the largest difference of two models' predictions, and the number of rows that differ too much.

    A class must be the same, but for rows whose two best probabilities are nearer than `tolerance`, or whose second
    class's is nearer than that to the `threshold` of a model that has one; probabilities must be within `tolerance`,
    numbers within `tolerance` standard deviations of y.
    """
    if found.values.shape != expected.values.shape:
        return 0.0, len(expected.values)
    if expected.probabilities is None and np.issubdtype(expected.values.dtype, np.integer):
        return 0.0, int(np.count_nonzero(expected.values != found.values))
    if expected.probabilities is None:
        scale = float(np.std(y)) or 1.0
        differences = np.abs(found.values - expected.values) / scale
        return float(differences.max(initial=0)), int(np.count_nonzero(~(differences <= tolerance)))
    probabilities = np.asarray(found.probabilities)
    differences = np.abs(probabilities - expected.probabilities).max(axis=1, initial=0)
    best = np.sort(expected.probabilities, axis=1)[:, -2:]
    margin = best[:, 1] - best[:, 0] if threshold is None else np.abs(expected.probabilities[:, 1] - threshold)
    tie = margin <= tolerance
    wrong = ~(differences <= tolerance) | ((found.values != expected.values) & ~tie)
    return float(differences.max(initial=0)), int(np.count_nonzero(wrong))


def _flatten_label(model: onnx.ModelProto) -> None:
    """Give the first output the shape [rows]: one converter of skl2onnx 1.20.0 writes [1, rows]."""
    graph = model.graph
    nested = graph.output[0].name
    graph.initializer.append(helper.make_tensor("flat_shape", TensorProto.INT64, [1], [-1]))
    graph.node.append(helper.make_node("Reshape", [nested, "flat_shape"], ["flat_label"]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("flat_label", TensorProto.INT64, [None]))


def _name_outputs(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Give the first outputs of a graph these names, and drop the others."""
    graph = model.graph
    del graph.output[len(names) :]
    renamed = {output.name: name for output, name in zip(graph.output, names, strict=True) if output.name != name}
    set_aside(graph, set(renamed.values()))
    rename(graph, renamed)
