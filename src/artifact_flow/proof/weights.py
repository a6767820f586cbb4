"""Weights: the numbers and the metadata in an ONNX file, read as data; no graph runs and no other file is opened."""

from collections.abc import Iterator

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, numpy_helper

from artifact_flow.core.model.artifacts import CONTRACT_KEY


def bound_contract(content: bytes) -> str:
    """Return the sha256 of the contract that an ONNX file names, or "" if it names none or is not ONNX."""
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        return ""
    return next((entry.value for entry in model.metadata_props if entry.key == CONTRACT_KEY), "")


def describe_difference(one: bytes, other: bytes) -> str:
    """Return in words the largest difference of a number between two ONNX files, or how their graphs differ.

    Compared are the initializers by name and the numeric attributes of the nodes by place, such as the coefficients of
    a LinearClassifier.
    """
    try:
        before, after = (dict(_numbers(onnx.load_model_from_string(content).graph)) for content in (one, other))
    except DecodeError:
        return "one of the two files is not ONNX"
    changed = [name for name in {**before, **after} if not _is_alike(before.get(name), after.get(name))]
    if changed:
        return f"the graphs differ in {', '.join(sorted(changed)[:3])}"
    differences = {name: _largest(before[name], after[name]) for name in before}
    worst = max(differences, key=differences.__getitem__, default="")
    if not worst or differences[worst] == 0:
        return "no number differs"
    return f"the largest difference of coefficients is {differences[worst]:.3g}, in {worst}"


def _numbers(graph: onnx.GraphProto) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL and tensor.data_type != TensorProto.STRING:
            yield tensor.name, numpy_helper.to_array(tensor)
    for number, node in enumerate(graph.node):
        for attribute in node.attribute:
            if attribute.type == AttributeProto.FLOATS:
                yield f"{attribute.name} of node {number} ({node.op_type})", np.array(attribute.floats)
            elif attribute.type == AttributeProto.INTS:
                yield f"{attribute.name} of node {number} ({node.op_type})", np.array(attribute.ints)


def _is_alike(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and one.shape == other.shape and one.dtype == other.dtype


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    differences = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return float(np.nan_to_num(differences, nan=np.inf).max(initial=0.0))
