"""Forest: the trees of a fitted estimator in one form, whichever of scikit-learn's estimators of trees it is.

The nodes of all trees lie in the order of their levels, the roots first. So no node needs a pointer: with T trees, the
children of the k-th inner node, counted from 0, are the nodes T + 2k and T + 2k + 1 (Jacobson 1989, level-order trees).
A row goes to the second child if its feature is above the threshold as float32, as scikit-learn and ONNX compare.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn import ensemble, tree
from sklearn.base import is_classifier

from artifact_flow.core.base.errors import InapplicableError
from artifact_flow.core.model.models import final_step
from artifact_flow.portable.links import Link, apply_link
from artifact_flow.portable.prepare import BOOSTED, prepare
from artifact_flow.portable.quantize import preprocess

BATCH = 1 << 16  # pairs of a row and a tree that are followed at a time: 0.5 MB an array
AVERAGED = (
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
)
GRADIENT = (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
FORESTS = (tree.BaseDecisionTree, *AVERAGED, *GRADIENT, *BOOSTED)


@dataclass(frozen=True)
class Forest:
    """Trees over pre-processed rows Z: scores = base + factor * the sum of the leaves a row reaches, then the link.

    `inner` is bool [nodes], in the order of levels; `features` int64 and `thresholds` float32 [inner nodes]; `leaves`
    float64 [leaves, width]. A leaf holds all outputs (width = outputs), or the trees of a boosted model take turns with
    them (width 1). `base` has shape [outputs]. With `gaps`, the features from the middle on are the same ones again: a
    missing value is below every threshold in the first half, and above in the second.
    """

    trees: int
    depth: int
    inner: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    leaves: np.ndarray
    base: np.ndarray
    factor: float
    link: Link
    gaps: bool

    @property
    def parameter_bytes(self) -> int:
        """The bytes of all features, thresholds and leaves."""
        return sum(array.nbytes for array in (self.features, self.thresholds, self.leaves))


@dataclass(frozen=True)
class _Tree:
    """A tree as scikit-learn has it: arrays over its nodes; a leaf's `left` is -1; `values` is [nodes, width]."""

    left: np.ndarray
    right: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    missing_left: np.ndarray
    values: np.ndarray


def extract_forest(estimator: Any, X: np.ndarray) -> Forest:
    """Return the trees of a fitted estimator; X, encoded rows [rows, features], are what proves them.

    Raises InapplicableError when they do not predict what the estimator predicts for the rows.
    """
    final = final_step(estimator)
    refusal = InapplicableError(f"{type(final).__name__} does not predict what its trees do")
    if not isinstance(final, FORESTS) or getattr(final, "n_outputs_", 1) != 1:
        raise refusal
    boosted = isinstance(final, (*GRADIENT, *BOOSTED))
    Z = preprocess(estimator, X)
    trees, outputs = _list_trees(final_step(prepare(estimator, X)))
    link: Link = "identity"
    if is_classifier(final):
        link = "shares" if not boosted else "softmax" if outputs > 1 else "sigmoid"
    forest = _join(trees, Z.shape[1], bool(np.isnan(Z).any()), outputs, link)
    if not boosted and link == "identity":
        forest = replace(forest, factor=1 / len(trees))
    scores = forest.factor * add_leaves(forest.leaves, find_leaves(forest, Z), outputs)
    if boosted:
        ask: Callable[[np.ndarray], np.ndarray] = final.decision_function if is_classifier(final) else final.predict
        forest = replace(forest, base=np.atleast_1d(ask(Z[:1])[0]) - scores[0])
    expected = apply_link(forest.base + scores, link)
    wanted = estimator.predict(X) if expected.probabilities is None else estimator.predict_proba(X)
    found = expected.values if expected.probabilities is None else expected.probabilities
    if found.shape != wanted.shape or not np.allclose(found, wanted):
        raise refusal
    return forest


def find_leaves(forest: Forest, Z: np.ndarray) -> np.ndarray:
    """Return which leaf a row reaches in each tree, int32 [rows, trees]; Z are pre-processed rows [rows, columns]."""
    before = np.cumsum(forest.inner) - forest.inner  # inner nodes before each node
    place = np.arange(len(forest.inner))
    first = np.where(forest.inner, forest.trees + 2 * before, place)
    features, limits = np.zeros(len(place), dtype=np.int64), np.full(len(place), np.inf, dtype=np.float32)
    features[forest.inner], limits[forest.inner] = forest.features, forest.thresholds
    leaves = np.empty((len(Z), forest.trees), dtype=np.int32)
    size = max(1, BATCH // forest.trees)
    for start in range(0, len(Z), size):
        rows = Z[start : start + size].astype(np.float32)
        if forest.gaps:
            gap = np.isnan(rows)
            rows = np.hstack([np.where(gap, -np.inf, rows), np.where(gap, np.inf, rows)])
        nodes = np.tile(place[: forest.trees], (len(rows), 1))
        for _ in range(forest.depth):
            nodes = first[nodes] + (np.take_along_axis(rows, features[nodes], axis=1) > limits[nodes])
        leaves[start : start + size] = nodes - before[nodes]
    return leaves


def add_leaves(values: np.ndarray, reached: np.ndarray, outputs: int) -> np.ndarray:
    """Return the sums [rows, outputs] of the values [leaves, width] of the leaves [rows, trees] that rows reach.

    The trees are added one after the other, so that every machine gets the same sum.
    """
    sums = np.zeros((len(reached), outputs), dtype=np.result_type(values, np.int64))
    for number, leaves in enumerate(reached.T):
        if values.shape[1] == outputs:
            sums += values[leaves]
        else:
            sums[:, number % outputs] += values[leaves, 0]
    return sums


def _list_trees(final: Any) -> tuple[list[_Tree], int]:
    """Return the trees of an estimator in the order in which they are added, and the number of outputs."""
    if isinstance(final, BOOSTED):
        return [_read_nodes(one.nodes) for turn in final._predictors for one in turn], len(final._predictors[0])
    if isinstance(final, GRADIENT):
        parts = final.estimators_
        return [_read_tree(one.tree_, final.learning_rate) for one in parts.ravel()], parts.shape[1]
    parts = [final] if isinstance(final, tree.BaseDecisionTree) else final.estimators_
    trees = [_read_tree(one.tree_, 1.0) for one in parts]
    return trees, trees[0].values.shape[1]


def _read_tree(one: Any, rate: float) -> _Tree:
    return _Tree(
        left=one.children_left,
        right=one.children_right,
        features=one.feature,
        thresholds=one.threshold,
        missing_left=one.missing_go_to_left.astype(bool),
        values=rate * one.value[:, 0, :],
    )


def _read_nodes(nodes: np.ndarray) -> _Tree:
    """Return a histogram-boosted tree, from its structured array of nodes."""
    leaf = nodes["is_leaf"] != 0
    return _Tree(
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        features=nodes["feature_idx"].astype(np.int64),
        thresholds=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"] != 0,
        values=nodes["value"][:, None],
    )


def _join(trees: list[_Tree], columns: int, gaps: bool, outputs: int, link: Link) -> Forest:
    """Return the forest that the trees are, its nodes in the order of levels, with base 0 and factor 1."""
    starts = np.cumsum([0, *(len(one.left) for one in trees)])[:-1]
    left = np.concatenate(
        [np.where(one.left < 0, -1, one.left + start) for one, start in zip(trees, starts, strict=True)]
    )
    right = np.concatenate([one.right + start for one, start in zip(trees, starts, strict=True)])
    levels, level = [], starts
    while len(level):
        levels.append(level)
        parents = level[left[level] >= 0]
        level = np.column_stack([left[parents], right[parents]]).ravel()
    order = np.concatenate(levels)
    inner = left[order] >= 0
    nodes, ends = order[inner], order[~inner]
    exact = np.concatenate([one.thresholds for one in trees])[nodes]
    rounded = exact.astype(np.float32)
    # downwards, so that a float32 number is above both or neither; infinity splits missing values from all others
    rounded = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    features = np.concatenate([one.features for one in trees])[nodes]
    if gaps:
        features = features + columns * ~np.concatenate([one.missing_left for one in trees])[nodes]
    return Forest(
        trees=len(trees),
        depth=len(levels) - 1,
        inner=inner,
        features=features.astype(np.int64),
        thresholds=np.minimum(rounded, np.finfo(np.float32).max),
        leaves=np.concatenate([one.values for one in trees])[ends],
        base=np.zeros(outputs),
        factor=1.0,
        link=link,
        gaps=gaps,
    )
