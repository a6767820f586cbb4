"""Eight bits: the 8-bit twin of an estimator, a linear model or one made of trees."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.model.models import final_step
from artifact_flow.core.model.predictions import Predictions
from artifact_flow.portable.forest import FORESTS, Forest, extract_forest
from artifact_flow.portable.quantize import (
    Linear,
    extract_linear,
    predict_quantized,
    preprocess,
    quantize_linear,
    write_quantized,
)
from artifact_flow.portable.quantized_forest import predict_forest, quantize_forest, write_forest


@dataclass(frozen=True)
class Twin:
    """An 8-bit model: what it predicts for the rows, computed in float64, its graph, and the bytes of its numbers.

    `float_bytes` are those of the numbers that it stands for. `of_trees`: it is made of trees.
    """

    predictions: Predictions
    graph: onnx.ModelProto
    float_bytes: int
    quantized_bytes: int
    of_trees: bool


def extract_part(estimator: Any, X: np.ndarray) -> Linear | Forest:
    """Return what of a fitted estimator is quantized; X, encoded rows [rows, features], are what proves it.

    Raises InapplicableError when the estimator is neither linear nor made of trees.
    """
    extract = extract_forest if isinstance(final_step(estimator), FORESTS) else extract_linear
    return extract(estimator, X)


def make_twin(estimator: Any, contract: Contract, opset: int, X: np.ndarray, train: np.ndarray) -> Twin:
    """Return the 8-bit twin of a fitted estimator without its threshold, which the contract has.

    X are encoded rows [rows, features], `train`, bool [rows], marks those of the train split. Raises InapplicableError
    as `extract_part`.
    """
    part, Z = extract_part(estimator, X), preprocess(estimator, X)
    features, threshold = contract.features, contract.target.threshold
    if isinstance(part, Forest):
        forest = quantize_forest(part, Z[train])
        graph = write_forest(forest, estimator, features, opset, threshold)
        return Twin(predict_forest(forest, Z), graph, part.parameter_bytes, forest.parameter_bytes, of_trees=True)
    linear = quantize_linear(part, Z[train])
    graph = write_quantized(linear, estimator, features, opset, threshold)
    float_bytes = part.weights.nbytes + part.intercept.nbytes
    return Twin(predict_quantized(linear, Z), graph, float_bytes, linear.parameter_bytes, of_trees=False)
