"""Models: params become an estimator, and an estimator becomes a fitted one. Pure: no file is touched."""

import importlib
import inspect
import re
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_regressor

from artifact_flow.datasets import Task
from artifact_flow.errors import ParamsError
from artifact_flow.params import PARAMS, TrainParams, closest


def build_estimator(params: TrainParams) -> Any:
    """Return the unfitted estimator that `train.estimator` names, built with the block's other keys.

    Raises ParamsError when the path leads to no estimator or a key is not one of its arguments.
    """
    cls = _import_estimator(params.estimator)
    known = [name for name in inspect.signature(cls).parameters if name != "self"]
    for key in params.keywords:
        if key not in known:
            raise ParamsError(
                f"{PARAMS}: train.{key} is not an argument of {params.estimator}{closest(key, known)}; "
                f"allowed: {', '.join(sorted(known))}."
            )
    try:
        return cls(**params.keywords)
    except Exception as error:  # each of scikit-learn's estimators has its own
        raise ParamsError(_refusal(params, error)) from error


def train_model(X: np.ndarray, y: np.ndarray, params: TrainParams, task: Task = "classification") -> Any:
    """Return the estimator of `params` fitted on X of shape [rows, features] and y of shape [rows].

    Raises ParamsError when the estimator does another task than `task` or refuses a value, naming the key.
    """
    estimator = build_estimator(params)
    fits = {"classification": is_classifier, "regression": is_regressor}[task]
    if not fits(estimator):
        wanted = {"classification": "a classifier", "regression": "a regressor"}[task]
        raise ParamsError(
            f"{PARAMS}: train.estimator is {params.estimator}, but the target asks for {task}; allowed: {wanted}."
        )
    try:
        return estimator.fit(X, y)
    except Exception as error:  # each of scikit-learn's estimators has its own
        raise ParamsError(_refusal(params, error)) from error


def _import_estimator(path: str) -> Any:
    where = f"{PARAMS}: train.estimator is {path!r}"
    allowed = "allowed: the import path of a scikit-learn estimator, such as sklearn.linear_model.LogisticRegression."
    # code from elsewhere would run untracked: no stage declares it, and no lock holds it
    if not re.fullmatch(r"sklearn(\.[^\W\d]\w*)+", path):
        raise ParamsError(f"{where}, which is no path in sklearn; {allowed}")
    module, _, name = path.rpartition(".")
    try:
        found = vars(importlib.import_module(module))
    except ImportError as error:
        raise ParamsError(f"{where}, but {module} cannot be imported ({error}); {allowed}") from error
    if name not in found:
        raise ParamsError(f"{where}, but {module} has no {name}{closest(name, found)}; {allowed}")
    cls = found[name]
    if not (inspect.isclass(cls) and issubclass(cls, BaseEstimator) and hasattr(cls, "predict")):
        raise ParamsError(f"{where}, which is no classifier or regressor; {allowed}")
    return cls


def _refusal(params: TrainParams, error: Exception) -> str:
    message = " ".join(str(error).split())
    # scikit-learn words its own checks: The 'C' parameter of LogisticRegression must be … Got 0 instead.
    found = re.fullmatch(r"The '(\w+)' parameter of \w+ must be (.*)\. Got (.*) instead\.", message)
    if found:
        return f"{PARAMS}: train.{found[1]} is {found[3]}; allowed: {found[2]}."
    return f"{PARAMS}: train: {params.estimator} refuses these arguments or this data: {message.rstrip('.')}."
