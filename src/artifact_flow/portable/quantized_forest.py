"""Quantized forest: trees in standard ONNX with every comparison kept and 8-bit leaves, and what they predict.

ONNX's own operator for trees writes a name, three floats and six numbers for each node, and a float and three numbers
for each class of each leaf. Here the shape of all trees is one bit a node, a threshold its rank among all thresholds
or, if that is larger, the float32 number itself, and a leaf 8 bits an output; equal leaves of several classes are
stored once. The thresholds are those of `Forest`, so each row reaches the leaves that it reaches in the float model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.fixed_order import spread
from artifact_flow.core.model.predictions import Predictions
from artifact_flow.portable.export import LABEL, PROBABILITIES, take_raw_rows
from artifact_flow.portable.forest import Forest, add_leaves, find_leaves
from artifact_flow.portable.links import add_link, apply_link, score_name
from artifact_flow.portable.names import rename
from artifact_flow.portable.quantize import LEVELS, begin_graph
from artifact_flow.portable.threshold import declare_opset, set_label

# Steps of a share, fewer than 8 bits have: a multiple of 1 to 6, 8, 10, 12, 15 and 16, so that the shares in leaves of
# so many rows are exact, and equal sums of them stay equal.
SHARES = 240
PAIRS = 1 << 15  # pairs of a row and a tree that the graph follows at a time, which bounds its memory

# What the runtime computes when it opens the file. S: the shape, a bit a node; F: features; C: ranks of thresholds in
# V; L: leaves; I: is a node an inner one; K: inner nodes before it; N: its first child, of a leaf itself; H: its
# threshold, infinite in a leaf; E: its leaf. An index of features or thresholds may be one too high: there is one more.
SETUP = """
  s1 = Unsqueeze(S, one)  s2 = BitShift <direction = "RIGHT"> (s1, bits)  s3 = Mod(s2, byte)  s4 = Reshape(s3, rest)
  I = Cast <to = 9> (s4)  s5 = Cast <to = 6> (s4)  K = CumSum <exclusive = 1> (s5, nil)
  n0 = Range(nil, nodes, step)  n1 = Add(K, K)  n2 = Add(n1, trees)  N = Where(I, n2, n0)  R = Range(nil, trees, step)
  f1 = Gather(F, K)  f2 = Cast <to = 6> (f1)
  {ranks}
  h2 = Gather(h1, K)  H = Where(I, h2, high)  E = Sub(n0, K)
"""
RANKS, NUMBERS = "c1 = Cast <to = 6> (C)  h1 = Gather(V, c1)", "h1 = Identity(V)"
# Rows are followed some at a time, as many each time: x, [rows, columns], at the nodes k, [rows, trees].
ROWS = """
  r0 = Shape(X)  r1 = Gather(r0, first)  r2 = Sub(r1, unit)
  t1 = Div(r1, size)  t2 = Add(t1, unit)  t3 = Div(r2, t2)  t4 = Add(t3, unit)  t5 = Mul(t2, t4)
  a1 = Range(first, t5, unit)  a2 = Min(a1, r2)  a3 = Unsqueeze(t2, start)  a4 = Concat <axis = 0> (a3, rest)
  a5 = Reshape(a2, a4)
  y = Scan <num_scan_inputs = 1, body = part (int64[b] a) => (float[b, {outputs}] z) {{
    x = Gather(X, a)
    {gaps}
    k0 = Unsqueeze(R, start)  k1 = Shape(a)  k2 = Concat <axis = 0> (k1, one)  k3 = Expand(k0, k2)
    k = Loop(depth, , k3) <body = step (int64 i, bool on, int32[p, q] j) => (bool go, int32[p, q] j3) {{
      g1 = Gather(f2, j)  g2 = GatherElements <axis = 1> ({x}, g1)  g3 = Gather(H, j)  g4 = Greater(g2, g3)
      g5 = Cast <to = 6> (g4)  j2 = Gather(N, j)  j3 = Add(j2, g5)  go = Identity(on)
    }}>
    e1 = Gather(E, k)  e2 = Gather(L, e1)
    {values}
    z1 = Reshape(e3, turns)  z = ReduceSum <keepdims = 0> (z1, one)
  }}> (a5)
  y1 = Reshape(y, wide)  y2 = Unsqueeze(r1, start)  {sums} = Slice(y1, start, y2)
"""
GAPS = """
    m1 = IsNaN(x)  m2 = Where(m1, low, x)  m3 = Where(m1, high, x)  m = Concat <axis = 1> (m2, m3)
"""
ONE, MANY = "e3 = Cast <to = 1> (e2)", "e4 = Cast <to = 6> (e2)  e5 = Gather(W, e4)  e3 = Cast <to = 1> (e5)"


@dataclass(frozen=True)
class QuantizedForest:
    """A forest as stored: scores = base + scale * the sum of the `leaves` that a row reaches, then the link.

    `leaves` is uint8 of the shape that they have in `forest`, `scale` float32 [1] and `base` float32 [outputs].
    """

    forest: Forest
    leaves: np.ndarray
    scale: np.ndarray
    base: np.ndarray

    @property
    def parameter_bytes(self) -> int:
        """The bytes of all stored numbers."""
        return count_bytes(store_trees(self)) + self.scale.nbytes + self.base.nbytes


def quantize_forest(forest: Forest, Z: np.ndarray) -> QuantizedForest:
    """Return a forest with 8-bit leaves; Z, the train split pre-processed, gives the mean error, which goes into base.

    Shares of classes are multiples of 1/240; other leaves have 256 steps from the lowest to the highest.
    """
    outputs = len(forest.base)
    if forest.link == "shares":
        stored = np.rint(forest.leaves * SHARES).astype(np.uint8)
        return QuantizedForest(forest, stored, np.ones(1, dtype=np.float32), np.zeros(outputs, dtype=np.float32))
    low, high = forest.leaves.min(), forest.leaves.max()
    step = (high - low) / LEVELS if high > low else 1.0
    stored = np.rint((forest.leaves - low) / step).astype(np.uint8)
    scale = np.full(1, forest.factor * step, dtype=np.float32)
    reached = find_leaves(forest, Z)
    exact = forest.base + forest.factor * add_leaves(forest.leaves, reached, outputs)
    base, _ = spread(exact - scale.astype(np.float64) * add_leaves(stored, reached, outputs), axis=0)
    return QuantizedForest(forest, stored, scale, base.astype(np.float32))


def predict_forest(model: QuantizedForest, Z: np.ndarray) -> Predictions:
    """Return what the stored numbers predict for pre-processed rows [rows, columns], computed in float64."""
    sums = add_leaves(model.leaves, find_leaves(model.forest, Z), len(model.base))
    return apply_link(model.scale.astype(np.float64) * sums + model.base, model.forest.link)


def store_trees(model: QuantizedForest) -> dict[str, np.ndarray]:
    """Return the arrays that are a forest's trees, under the names that they have in the graph."""
    forest = model.forest
    stored = {"S": np.packbits(forest.inner), "F": shrink(np.append(forest.features, 0))}
    values, ranks = np.unique(forest.thresholds, return_inverse=True)
    ranked = {"C": shrink(np.append(ranks, 0)), "V": np.append(values, np.float32(0))}
    plain = {"V": np.append(forest.thresholds, np.float32(0))}
    stored |= ranked if count_bytes(ranked) < count_bytes(plain) else plain
    if model.leaves.shape[1] == 1:
        return stored | {"L": model.leaves[:, 0]}
    different, places = np.unique(model.leaves, axis=0, return_inverse=True)
    return stored | {"L": shrink(places.ravel()), "W": different}


def count_bytes(arrays: Mapping[str, np.ndarray]) -> int:
    """Return the bytes of all the numbers in arrays."""
    return sum(array.nbytes for array in arrays.values())


def shrink(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers from 0 in the narrowest of uint8, uint16 and int32 that holds them."""
    kinds = (kind for kind in (np.uint8, np.uint16, np.int32) if numbers.max(initial=0) <= np.iinfo(kind).max)
    return numbers.astype(next(kinds))


def write_forest(
    model: QuantizedForest, estimator: Any, features: list[Feature], opset: int, threshold: float | None = None
) -> onnx.ModelProto:
    """Return the ONNX model: pre-processing as `export` writes it, then the 8-bit trees, in and out as there."""
    forest, outputs = model.forest, len(model.base)
    onnx_model, rows = begin_graph(estimator, features, opset)
    declare_opset(onnx_model, opset)
    stored = store_trees(model)
    exact = forest.link == "shares"
    scores = score_name(forest.link)
    part = parser.parse_graph(
        f"trees (float[r, c] X) => (float[r, {outputs}] {scores}) <{_constants(model, stored)}> {{"
        + SETUP.format(ranks=RANKS if "C" in stored else NUMBERS)
        + ROWS.format(
            outputs=outputs,
            gaps=GAPS if forest.gaps else "",
            x="m" if forest.gaps else "x",
            values=MANY if "W" in stored else ONE,
            sums=scores if exact else "sums",
        )
        + ("}" if exact else f"  z2 = Mul(sums, scale)  {scores} = Add(z2, base) }}")
    )
    rename(part, {"X": rows})
    stored |= {} if exact else {"scale": model.scale, "base": model.base}
    graph = onnx_model.graph
    graph.node.extend(part.node)
    graph.initializer.extend(part.initializer)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
    add_link(graph, forest.link, outputs)
    if threshold is not None:
        set_label(onnx_model, threshold, LABEL, PROBABILITIES, opset)
    return take_raw_rows(onnx_model, features)


def _constants(model: QuantizedForest, stored: dict[str, np.ndarray]) -> str:
    """Return the constants of the graph, in ONNX's text format."""
    forest, (width, outputs) = model.forest, (model.leaves.shape[1], len(model.base))
    constants = {
        "uint8[8] bits": "7, 6, 5, 4, 3, 2, 1, 0",
        "uint8 byte": 2,
        "int32 nil": 0,
        "int32 step": 1,
        "int32 nodes": 8 * len(stored["S"]),
        "int32 trees": forest.trees,
        "int64 first": 0,
        "int64 unit": 1,
        "int64 size": max(1, PAIRS // forest.trees),
        "int64 depth": forest.depth,
        "int64[1] start": 0,
        "int64[1] one": 1,
        "int64[1] rest": -1,
        "int64[2] wide": f"-1, {outputs}",
        "int64[3] turns": f"0, {forest.trees * width // outputs}, {outputs}",
        "float high": "inf",
    }
    if forest.gaps:
        constants["float low"] = "-inf"
    return ", ".join(f"{name} = {{{value}}}" for name, value in constants.items())
