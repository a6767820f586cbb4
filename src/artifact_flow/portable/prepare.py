"""Prepare: fitted estimators in the form that skl2onnx can write.

Histogram-boosted trees compare float64 values, which ONNX rounds to float32, so they get thresholds that split the same
rows equally; scikit-learn's other trees compare float32 values themselves.
"""

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, VotingClassifier
from sklearn.pipeline import Pipeline

from artifact_flow.core.base.errors import InapplicableError
from artifact_flow.core.model.models import final_step
from artifact_flow.core.model.vectorizer import Vectorizer
from artifact_flow.portable.words import convert_words, shape_words

BOOSTED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def prepare(estimator: Any, X: np.ndarray) -> Any:
    """Return a fitted estimator in the form that skl2onnx writes: a changed copy, or as it is.

    Histogram-boosted trees get float32 thresholds. X are the encoded rows [rows, features] that must fall on the same
    side of each threshold as float32; where two values of a column are equal as float32, they cannot. Raises
    InapplicableError for splits by category.
    """
    final = final_step(estimator)
    if isinstance(final, VotingClassifier):
        prepared = copy.copy(final)
        prepared.flatten_transform = False  # of `transform`, which no prediction uses; the converter rejects True
    elif isinstance(final, BOOSTED):
        Z = estimator[:-1].transform(X) if isinstance(estimator, Pipeline) else X
        prepared = _round_splits(final, np.asarray(Z, dtype=np.float64))
    else:
        return estimator
    return Pipeline([*estimator.steps[:-1], ("estimator", prepared)]) if isinstance(estimator, Pipeline) else prepared


def round_threshold(values: np.ndarray, threshold: float) -> float:
    """Return a float32 number that splits sorted values, as float32, where `threshold` splits them as float64."""
    place = int(np.searchsorted(values, threshold, side="right"))
    rounded = np.float32(threshold)
    if place < len(values):
        rounded = min(rounded, np.nextafter(np.float32(values[place]), np.float32(-np.inf)))
    if place > 0:
        rounded = max(rounded, np.float32(values[place - 1]))
    return float(rounded)


def _round_splits(boosted: Any, Z: np.ndarray) -> Any:
    columns = [np.unique(column[~np.isnan(column)]) for column in Z.T]
    rounded = copy.copy(boosted)
    rounded._predictors = [[_round_tree(tree, columns) for tree in trees] for trees in boosted._predictors]
    return rounded


def _round_tree(tree: Any, columns: list[np.ndarray]) -> SimpleNamespace:
    nodes = tree.nodes.copy()
    if nodes["is_categorical"].any():
        raise InapplicableError("splits by category cannot be written as ONNX")
    for place in np.flatnonzero(nodes["is_leaf"] == 0):
        node = nodes[place]
        nodes["num_threshold"][place] = round_threshold(columns[node["feature_idx"]], node["num_threshold"])
    return SimpleNamespace(nodes=nodes)


class _IntegerContainer:
    """The converter's container, with integers in place of the booleans and numpy integers that onnx rejects."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *arguments: Any, **attributes: Any) -> None:
        """Add a node to the graph."""
        for name, values in attributes.items():
            if isinstance(values, list):
                attributes[name] = [int(value) if isinstance(value, bool | np.integer) else value for value in values]
        self._container.add_node(*arguments, **attributes)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.common._registration import get_converter  # noqa: PLC0415

    get_converter(_alias(operator))(scope, operator, _IntegerContainer(container))


def _shape(operator: Any) -> None:
    from skl2onnx.common._registration import get_shape_calculator  # noqa: PLC0415

    get_shape_calculator(_alias(operator))(operator)


def _alias(operator: Any) -> str:
    return f"Sklearn{type(operator.raw_operator).__name__}"


# What skl2onnx 1.20.0 calls for these classes; its own converter of trees passes on booleans, which onnx rejects.
CONVERTERS = {**dict.fromkeys(BOOSTED, _convert), Vectorizer: convert_words}
SHAPES = {**dict.fromkeys(BOOSTED, _shape), Vectorizer: shape_words}
