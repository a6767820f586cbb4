"""Links: how a model's scores become its predictions, in float64 and as ONNX."""

from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from artifact_flow.core.base.fixed_order import expit, softmax, total
from artifact_flow.core.model.predictions import Predictions
from artifact_flow.portable.export import LABEL, PREDICTION, PROBABILITIES

# How scores become probabilities; "shares": divided by their sum; "none": only the class is known. "identity": the
# scores are the prediction.
Link = Literal["softmax", "sigmoid", "one-vs-rest", "shares", "none", "identity"]
SCORES = "scores"


def apply_link(scores: np.ndarray, link: Link) -> Predictions:
    """Return the predictions that scores of shape [rows, outputs] stand for."""
    if link == "identity":
        return Predictions(scores[:, 0], None)
    values = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.int64)
    if link == "none":
        return Predictions(values, None)
    if link == "softmax":
        return Predictions(values, softmax(scores))
    shares = scores if link == "shares" else expit(scores)
    if link == "sigmoid":
        return Predictions(values, np.hstack([1 - shares, shares]))
    return Predictions(values, shares / total(shares, axis=1)[:, None])


def score_name(link: Link) -> str:
    """Return the name that a graph's scores must have for `add_link`."""
    return PREDICTION if link == "identity" else SCORES


def add_link(graph: onnx.GraphProto, link: Link, outputs: int) -> None:
    """Add to a graph with scores [rows, outputs] the nodes that make predictions of them, and its outputs."""
    graph.node.extend(_link_nodes(link, binary=outputs == 1))
    if link == "identity":
        graph.output.append(helper.make_tensor_value_info(PREDICTION, TensorProto.FLOAT, [None, 1]))
        return
    graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.INT64, [None]))
    if link != "none":
        shape = [None, max(2, outputs)]
        graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape))
    if link in ("one-vs-rest", "shares"):
        graph.initializer.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
    if outputs == 1:
        graph.initializer.append(numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"))
        graph.initializer.append(numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"))


def _link_nodes(link: Link, binary: bool) -> list[onnx.NodeProto]:
    node = helper.make_node
    if link == "identity":
        return []
    if binary:
        nodes = [
            node("Greater", [SCORES, "zero"], ["above"]),
            node("Reshape", ["above", "flat"], ["above_flat"]),
            node("Cast", ["above_flat"], [LABEL], to=TensorProto.INT64),
        ]
    else:
        nodes = [node("ArgMax", [SCORES], [LABEL], axis=1, keepdims=0)]
    if link == "softmax":
        nodes.append(node("Softmax", [SCORES], [PROBABILITIES], axis=1))
    elif link == "sigmoid":
        nodes += [  # 1 - sigmoid(x) = sigmoid(-x)
            node("Neg", [SCORES], ["against"]),
            node("Concat", ["against", SCORES], ["both"], axis=1),
            node("Sigmoid", ["both"], [PROBABILITIES]),
        ]
    elif link in ("one-vs-rest", "shares"):
        shares = SCORES
        if link == "one-vs-rest":
            shares = "shares"
            nodes.append(node("Sigmoid", [SCORES], [shares]))
        nodes += [
            node("ReduceSum", [shares, "axis"], ["sum"], keepdims=1),
            node("Div", [shares, "sum"], [PROBABILITIES]),
        ]
    return nodes
