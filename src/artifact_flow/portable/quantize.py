"""Quantize: a linear model's weights as unsigned 8-bit integers, in standard ONNX, and what that costs.

Each feature is divided by its standard deviation and its weights multiplied by it, so that mixed units share one
scale; the weights of each output become uint8 with a scale and a zero point (Jacob et al. 2018, eq. 1: w = s(q - z));
the mean error over the train split goes into the intercept. What is measured here in float64 is what the file holds;
`export.check_parity` then holds the file in its runtime against it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.errors import InapplicableError
from artifact_flow.core.base.fixed_order import product, spread
from artifact_flow.core.model.models import final_step
from artifact_flow.core.model.predictions import Predictions
from artifact_flow.portable.export import FEATURES, LABEL, PROBABILITIES, convert, take_raw_rows
from artifact_flow.portable.links import Link, add_link, apply_link, score_name
from artifact_flow.portable.threshold import set_label

LEVELS = 255  # steps of an unsigned 8-bit integer

LINKS: dict[str, Link] = {
    "LinearDiscriminantAnalysis": "softmax",
    "LogisticRegression": "softmax",
    "LogisticRegressionCV": "softmax",
    "SGDClassifier": "one-vs-rest",
}


@dataclass(frozen=True)
class Linear:
    """A linear model over pre-processed rows Z: scores = Z @ weights + intercept, then the link.

    `weights` has shape [columns, outputs], `intercept` [outputs]; a binary classifier has one output.
    """

    weights: np.ndarray
    intercept: np.ndarray
    link: Link


@dataclass(frozen=True)
class Quantized:
    """A linear model as stored: scores = Z @ (factors * scale * (weights - zero_point)) + intercept, then the link.

    `weights` is uint8 [columns, outputs], `zero_point` uint8 and `scale` float32 [outputs], `factors` float32
    [columns, 1], `intercept` float32 [outputs].
    """

    weights: np.ndarray
    zero_point: np.ndarray
    scale: np.ndarray
    factors: np.ndarray
    intercept: np.ndarray
    link: Link

    @property
    def parameter_bytes(self) -> int:
        """The bytes of all stored numbers."""
        return sum(array.nbytes for array in (self.weights, self.zero_point, self.scale, self.factors, self.intercept))


def extract_linear(estimator: Any, X: np.ndarray) -> Linear:
    """Return the linear part of a fitted estimator; X, encoded rows [rows, features], are what proves it linear.

    Raises InapplicableError when the estimator is not a linear function of its pre-processed rows.
    """
    final = final_step(estimator)
    refusal = InapplicableError(
        f"{type(final).__name__} is not a linear model, and only linear models and trees are quantized"
    )
    if not (hasattr(final, "coef_") and hasattr(final, "intercept_")):
        raise refusal
    weights = np.atleast_2d(np.asarray(final.coef_, dtype=np.float64)).T
    intercept = np.broadcast_to(np.asarray(final.intercept_, dtype=np.float64), weights.shape[1:]).copy()
    link: Link = "identity"
    if is_classifier(final):
        link = LINKS.get(type(final).__name__, "none") if hasattr(final, "predict_proba") else "none"
        if weights.shape[1] == 1 and link != "none":
            link = "sigmoid"
        if link == "none" and hasattr(final, "predict_proba"):
            raise refusal
    linear = Linear(weights, intercept, link)
    Z = preprocess(estimator, X)
    if Z.shape[1] != len(weights):
        raise refusal
    expected = apply_link(product(Z, weights) + intercept, link)
    if link == "identity" and not np.allclose(expected.values, estimator.predict(X)):
        raise refusal
    if expected.probabilities is not None and not np.allclose(expected.probabilities, estimator.predict_proba(X)):
        raise refusal
    if link == "none" and not np.array_equal(expected.values, estimator.predict(X)):
        raise refusal
    return linear


def preprocess(estimator: Any, X: np.ndarray) -> np.ndarray:
    """Return encoded rows as the linear part sees them, float64 [rows, columns]."""
    Z: Any = estimator[:-1].transform(X) if isinstance(estimator, Pipeline) else X
    return np.asarray(Z.toarray() if issparse(Z) else Z, dtype=np.float64)


def quantize_linear(linear: Linear, Z: np.ndarray) -> Quantized:
    """Return a linear model with 8-bit weights; Z, the train split pre-processed, gives scales and mean error."""
    mean, deviation = spread(Z, axis=0)
    factors = (1 / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)[:, None]
    weights = linear.weights / factors.astype(np.float64)
    low, high = np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 0)
    scale = np.where(high > low, (high - low) / LEVELS, 1.0).astype(np.float32)
    zero_point = np.clip(np.rint(-low / scale), 0, LEVELS)
    stored = np.clip(np.rint(weights / scale) + zero_point, 0, LEVELS)
    error = weights - (stored - zero_point) * scale
    intercept = linear.intercept + product(mean[None, :], factors * error)[0]
    return Quantized(
        weights=stored.astype(np.uint8),
        zero_point=zero_point.astype(np.uint8),
        scale=scale,
        factors=factors,
        intercept=intercept.astype(np.float32),
        link=linear.link,
    )


def predict_quantized(model: Quantized, Z: np.ndarray) -> Predictions:
    """Return what the stored numbers predict for pre-processed rows, computed in float64."""
    stored = model.weights.astype(np.float64) - model.zero_point
    weights = model.factors.astype(np.float64) * (stored * model.scale)
    return apply_link(product(Z, weights) + model.intercept, model.link)


def begin_graph(estimator: Any, features: list[Feature], opset: int) -> tuple[onnx.ModelProto, str]:
    """Return an ONNX model of an estimator's pre-processing, without outputs, and the name of the rows it makes."""
    if isinstance(estimator, Pipeline):
        model = convert(estimator[:-1], features, opset)
        (output,) = model.graph.output
        rows = output.name
        del model.graph.output[:]
        return model, rows
    graph = helper.make_graph(
        [], "artifact_flow", [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [None, len(features)])], []
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), FEATURES


def write_quantized(
    model: Quantized, estimator: Any, features: list[Feature], opset: int, threshold: float | None = None
) -> onnx.ModelProto:
    """Return the ONNX model: pre-processing as `export` writes it, then the 8-bit linear part, in and out as there."""
    onnx_model, rows = begin_graph(estimator, features, opset)
    graph = onnx_model.graph
    # names of one letter: in a file of some hundred bytes they count
    stored = {
        "w": model.weights,
        "s": model.scale,
        "z": model.zero_point,
        "f": model.factors,
        "b": model.intercept,
    }
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
    node = helper.make_node
    graph.node.extend(
        [
            # the factors stand between: onnxruntime would fuse a DequantizeLinear right before a Gemm into
            # MatMulNBits, which rounds the rows to 8 bits too
            node("DequantizeLinear", ["w", "s", "z"], ["v"], axis=1),
            node("Mul", ["v", "f"], ["u"]),
            node("Gemm", [rows, "u", "b"], [score_name(model.link)]),
        ]
    )
    add_link(graph, model.link, len(model.intercept))
    if threshold is not None:
        set_label(onnx_model, threshold, LABEL, PROBABILITIES, opset)
    return take_raw_rows(onnx_model, features)
