"""Thresholds: the probability from which a model predicts the second of two classes, given or chosen on the folds.

The fitted estimator stays what it is without a threshold; scikit-learn's FixedThresholdClassifier around it predicts
the classes, in the pickle and wherever it is opened. The contract records the threshold.
"""

from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from artifact_flow.core.base.errors import ParamsError, closest
from artifact_flow.core.base.params import PARAMS, ThresholdParams, TrainParams
from artifact_flow.core.model.folds import FoldPlan, split_folds
from artifact_flow.core.model.imports import import_function
from artifact_flow.core.model.predictions import FIXED
from artifact_flow.core.model.search import Build
from artifact_flow.core.table.tables import Table

SCORERS = ("accuracy", "balanced_accuracy", "f1", "f1_macro", "jaccard", "matthews_corrcoef", "precision", "recall")
DECIMALS = 6  # of a chosen threshold: the last digits of a probability are not reproducible


def check_threshold(params: TrainParams, classes: list[str]) -> None:
    """Raise ParamsError when the block has a threshold but the target does not have two classes."""
    if params.threshold is not None and len(classes) != 2:
        found = f"{len(classes)} classes" if classes else "no classes, as it is a number"
        raise ParamsError(f"{PARAMS}: train.threshold is for a target of two classes, and this one has {found}.")


def choose_threshold(params: TrainParams, build: Build, chosen: TrainParams, X: np.ndarray, train: Table) -> float:
    """Return the threshold of the block `params`: as given, or the best of a hundred on the folds of the train split.

    `chosen` is the block whose model `build` makes, X [rows, features] is encoded. The folds are drawn by `data.seed`
    as those of a search are. Raises ParamsError when the metric is unknown or does not depend on a threshold.
    """
    wanted = params.threshold
    if not isinstance(wanted, ThresholdParams):
        return float(wanted or 0)
    plan = FoldPlan("train.threshold.cv", wanted.cv, train.roles.params.seed, "classification")
    search = TunedThresholdClassifierCV(
        build(chosen),
        scoring=_find_scorer(wanted.maximize, train.roles.classes),
        response_method="predict_proba",
        cv=split_folds(plan, train.y, train.key),
        random_state=0,
    )
    try:
        best = search.fit(X, train.y).best_threshold_
    except Exception as error:  # estimators, scorers and functions of one's own raise various exceptions
        raise ParamsError(
            f"{PARAMS}: train.threshold cannot be chosen by {wanted.maximize}: "
            f"{' '.join(str(error).split()).rstrip('.')}."
        ) from error
    return float(np.clip(round(float(best), DECIMALS), 0.1**DECIMALS, 1 - 0.1**DECIMALS))


def apply_threshold(fitted: Any, unfitted: Any, threshold: float) -> FixedThresholdClassifier:
    """Return a fitted classifier that predicts the second class from `threshold` of its probability on.

    `unfitted` is the estimator that `fitted` was fitted from. Raises ParamsError when it has no probabilities.
    """
    if not hasattr(fitted, "predict_proba"):
        raise ParamsError(
            f"{PARAMS}: train.threshold is of a probability, and this estimator predicts none; allowed: an estimator "
            "with predict_proba, such as sklearn.calibration.CalibratedClassifierCV around this one."
        )
    model = FixedThresholdClassifier(unfitted, threshold=threshold, pos_label=1, response_method="predict_proba")
    model.estimator_ = fitted
    model.n_features_in_ = fitted.n_features_in_
    if hasattr(fitted, FIXED):
        setattr(model, FIXED, True)
    return model


def without_threshold(estimator: Any, threshold: float | None) -> Any:
    """Return the fitted estimator that a model with the contract's `threshold` holds; without one, the model itself."""
    return estimator if threshold is None else estimator.estimator_


def _find_scorer(name: str, classes: list[str]) -> Any:
    where = f"{PARAMS}: train.threshold.maximize is {name!r}"
    if name in get_scorer_names() and get_scorer(name)._response_method == "predict":
        return get_scorer(name)
    if "." not in name:
        reason = "which does not depend on a threshold" if name in get_scorer_names() else "which is no scorer"
        raise ParamsError(
            f"{where}, {reason}{closest(name, SCORERS)}; allowed: a scorer of predicted classes, such as "
            f"{', '.join(SCORERS)}, or the import path of a function in src/own."
        )
    function = import_function(name, "train.threshold.maximize")
    texts = np.array(classes)
    return make_scorer(lambda y, values: function(texts[y], texts[values]))
