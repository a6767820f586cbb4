"""Threshold: the label of an ONNX classifier of two classes is set by the second class's probability."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def set_label(model: onnx.ModelProto, threshold: float, label: str, probabilities: str, opset: int) -> None:
    """Make the graph's output `label` 1 where the second of `probabilities` is `threshold` or more, else 0.

    `opset` is the one that the graph was written for; a converter may have declared a lower one.
    """
    graph = model.graph
    used = {name for node in graph.node for name in (*node.input, *node.output)}
    names = {}
    for name in ("most_likely", "threshold", "second", "chance", "below", "reached"):
        names[name] = next(free for free in (name + "_" * count for count in range(len(used) + 1)) if free not in used)
    for node in graph.node:
        for place in (node.input, node.output):
            place[:] = [names["most_likely"] if name == label else name for name in place]
    limit, second = np.array(threshold, dtype=np.float32), np.array(1, dtype=np.int64)
    graph.initializer.append(numpy_helper.from_array(limit, names["threshold"]))
    graph.initializer.append(numpy_helper.from_array(second, names["second"]))
    graph.node.extend(
        [
            helper.make_node("Gather", [probabilities, names["second"]], [names["chance"]], axis=1),
            helper.make_node("Less", [names["chance"], names["threshold"]], [names["below"]]),
            helper.make_node("Not", [names["below"]], [names["reached"]]),
            helper.make_node("Cast", [names["reached"]], [label], to=TensorProto.INT64),
        ]
    )
    others = [known for known in model.opset_import if known.domain]
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), *others])
