"""Threshold: the label of an ONNX classifier of two classes is set by the second class's probability."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from artifact_flow.portable.names import free_names, rename, used_names


def set_label(model: onnx.ModelProto, threshold: float, label: str, probabilities: str, opset: int) -> None:
    """Make the graph's first output, `label`, 1 where the second of `probabilities` is `threshold` or more, else 0.

    `opset` is the one that the graph was written for.
    """
    graph = model.graph
    wanted = ("most_likely", "threshold", "second", "chance", "below", "reached")
    likely, limit, second, chance, below, reached = free_names(wanted, used_names(graph))
    rename(graph, {label: likely})
    graph.output[0].name = label
    graph.initializer.append(numpy_helper.from_array(np.array(threshold, dtype=np.float32), limit))
    graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), second))
    graph.node.extend(
        [
            helper.make_node("Gather", [probabilities, second], [chance], axis=1),
            helper.make_node("Less", [chance, limit], [below]),
            helper.make_node("Not", [below], [reached]),
            helper.make_node("Cast", [reached], [label], to=TensorProto.INT64),
        ]
    )
    declare_opset(model, opset)


def declare_opset(model: onnx.ModelProto, opset: int) -> None:
    """Set the version of the standard operators that a model uses; a converter may have declared a lower one."""
    others = [known for known in model.opset_import if known.domain]
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), *others])
