"""Models: builds an estimator from parameters and fits it. Pure: reads and writes no file.

With `data.preprocess: auto`, an imputer, a one-hot encoder and a scaler, built from the contract's features, precede
the estimator, so that the model takes rows as `encoding` returns them.
"""

import importlib
import inspect
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.errors import ParamsError, closest
from artifact_flow.core.base.params import PARAMS, Task, TrainParams


def build_estimator(params: TrainParams) -> Any:
    """Return the unfitted estimator named by `train.estimator`, built with the block's other keys.

    Raises ParamsError when the path names no estimator or a key is not one of its arguments.
    """
    cls = _import_estimator(params.estimator)
    known = [name for name in inspect.signature(cls).parameters if name != "self"]
    space = params.search.space if params.search else {}
    for place in (*params.keywords, *(f"search.space.{name}" for name in space)):
        key = place.removeprefix("search.space.")
        if key not in known:
            raise ParamsError(
                f"{PARAMS}: train.{place} is not an argument of {params.estimator}{closest(key, known)}; "
                f"allowed: {', '.join(sorted(known))}."
            )
    for key, value in params.keywords.items():
        _refuse_bool(cls, key, value, params)
    for key, values in space.items():
        for value in values:
            _refuse_bool(cls, key, value, params, "train.search.space")
    try:
        return cls(**params.keywords)
    except Exception as error:  # scikit-learn's estimators raise various exceptions
        raise ParamsError(_refusal(params, str(error))) from error


def build_preprocessor(features: Sequence[Feature], scale: bool = True) -> ColumnTransformer:
    """Return the transformer of encoded rows [rows, features] into numbers, none missing and, with `scale`, scaled.

    Numbers, booleans and dates: missing values become the median, then the column gets mean 0 and standard deviation 1.
    Categories: one column per value, and one for "missing" if the train split has missing values; an unseen value has
    no column.
    """
    numbers = [i for i, feature in enumerate(features) if feature.type != "category"]
    texts = [i for i, feature in enumerate(features) if feature.type == "category"]
    codes = [np.arange(len(features[i].categories or ()) + (features[i].missing > 0), dtype=float) for i in texts]
    steps = []
    if numbers:
        impute = SimpleImputer(strategy="median", keep_empty_features=True)
        scaled = Pipeline([("impute", impute), ("scale", StandardScaler())])
        steps.append(("numbers", scaled if scale else impute, numbers))
    if texts:
        encode = OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False)
        steps.append(("categories", encode, texts))
    return ColumnTransformer(steps, sparse_threshold=0)


def build_model(
    params: TrainParams, task: Task, features: Sequence[Feature] = (), preprocess: Literal["none", "auto"] = "none"
) -> Any:
    """Return the unfitted estimator of `params`, with `preprocess` "auto" preceded by the preprocessor of `features`.

    Raises ParamsError when the estimator is not for `task` or cannot take such columns.
    """
    estimator = build_estimator(params)
    fits = {"classification": is_classifier, "regression": is_regressor}[task]
    if not fits(estimator):
        wanted = {"classification": "a classifier", "regression": "a regressor"}[task]
        raise ParamsError(
            f"{PARAMS}: train.estimator is {params.estimator}, but the target requires {task}; allowed: {wanted}."
        )
    if preprocess == "auto":
        # trees need no scaling, and with it a rounding error could move a value across a threshold
        tree = type(estimator).__module__.startswith(("sklearn.tree.", "sklearn.ensemble."))
        return Pipeline([("preprocess", build_preprocessor(features, scale=not tree)), ("estimator", estimator)])
    texts = [feature.name for feature in features if feature.type == "category"]
    if texts:
        raise ParamsError(
            f"{PARAMS}: data.preprocess is none, but {', '.join(texts)} is text, which no estimator accepts; "
            "allowed: auto."
        )
    return estimator


def fit_model(model: Any, X: np.ndarray, y: np.ndarray, params: TrainParams) -> Any:
    """Return `model`, built from `params`, fitted on X of shape [rows, features] and y of shape [rows].

    Raises ParamsError naming the key when the estimator rejects a value.
    """
    try:
        return model.fit(X, y)
    except Exception as error:  # scikit-learn's estimators raise various exceptions
        raise ParamsError(_refusal(params, str(error))) from error


def _import_estimator(path: str) -> Any:
    where = f"{PARAMS}: train.estimator is {path!r}"
    allowed = "allowed: the import path of a scikit-learn estimator, such as sklearn.linear_model.LogisticRegression."
    # code from elsewhere would run untracked: no stage declares it and no lock records it
    if not re.fullmatch(r"sklearn(\.[^\W\d]\w*)+", path):
        raise ParamsError(f"{where}, which is not a path in sklearn; {allowed}")
    module, _, name = path.rpartition(".")
    try:
        found = vars(importlib.import_module(module))
    except ImportError as error:
        raise ParamsError(f"{where}, but {module} cannot be imported ({error}); {allowed}") from error
    if name not in found:
        raise ParamsError(f"{where}, but {module} has no {name}{closest(name, found)}; {allowed}")
    cls = found[name]
    if not (inspect.isclass(cls) and issubclass(cls, BaseEstimator) and hasattr(cls, "predict")):
        raise ParamsError(f"{where}, which is not a classifier or regressor; {allowed}")
    return cls


def _refuse_bool(cls: Any, key: str, value: Any, params: TrainParams, where: str = "train") -> None:
    """Raise ParamsError when an argument is true or false and the estimator does not document it as a boolean.

    Python's True equals 1, which scikit-learn would accept for `C`; numpy's bool is not a number and is rejected.
    """
    constraints = getattr(cls, "_parameter_constraints", {})
    if isinstance(value, bool) and key in constraints:
        try:
            validate_parameter_constraints({key: constraints[key]}, {key: np.bool_(value)}, cls.__name__)
        except InvalidParameterError as error:
            message = str(error).replace(repr(np.bool_(value)), str(value).lower())
            raise ParamsError(_refusal(params, message, where)) from error


def _refusal(params: TrainParams, message: str, where: str = "train") -> str:
    message = " ".join(message.split())
    # scikit-learn's own checks read: The 'C' parameter of LogisticRegression must be … Got 0 instead.
    found = re.fullmatch(r"The '(\w+)' parameter of \w+ must be (.*)\. Got (.*) instead\.", message)
    if found:
        return f"{PARAMS}: {where}.{found[1]} is {found[3]}; allowed: {found[2]}."
    return f"{PARAMS}: train: {params.estimator} rejects these arguments or this data: {message.rstrip('.')}."
