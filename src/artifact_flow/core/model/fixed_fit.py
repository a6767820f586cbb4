"""Fixed fits: fits and predicts with scikit-learn's own estimators, the arithmetic in fixed order.

The fitted object is scikit-learn's, with its usual attributes; they are the optimum of its objective to rounding
level, so that `tol` and `solver` say nothing, and the same bytes on every machine. Numbers are float64, whatever type
X has. Covered are LinearRegression, Ridge, LogisticRegression with an L2 penalty, and dense pipelines before them of
imputers, one-hot encoders and standard scalers. What scikit-learn does to a row in these is elementwise, or picks
values (a median is the mean of two): only the scaler's sums need a fixed order.
"""

import warnings
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from artifact_flow.core.base.fixed_order import expit, product, softmax, total
from artifact_flow.core.base.params import ThresholdParams, TrainParams
from artifact_flow.core.model.fixed_logistic import Sample, minimise_logistic
from artifact_flow.core.model.fixed_squares import solve_squares
from artifact_flow.core.model.predictions import FIXED, Predictions, decide

EPS = float(np.finfo(np.float64).eps)
PORTABLE = (DecisionTreeClassifier, RandomForestClassifier)  # measured: docs/checks.md
PICKING = ("median", "most_frequent", "constant")  # strategies of an imputer that sum no column


def is_covered(model: Any) -> bool:
    """Return whether an estimator, fitted or not, can be fitted and predicted with in fixed order."""
    return explain_uncovered(model) is None


def explain_uncovered(model: Any) -> str | None:
    """Return what of an estimator has no fixed order, as one phrase, or None when it is covered."""
    steps = [step for _, step in model.steps] if type(model) is Pipeline else [model]
    for step in steps[:-1]:
        if gap := _explain_transformer(step):
            return gap
    final = steps[-1]
    if type(final) not in FITS:
        covered = ", ".join(cls.__name__ for cls in FITS)
        return f"{type(final).__name__} has no fit in fixed order; covered: {covered}"
    arguments = final.get_params(deep=False)
    for (cls, name), (holds, allowed) in ARGUMENTS.items():
        if type(final) is cls and not holds(arguments[name]):
            return f"{cls.__name__}'s {name} is {arguments[name]!r}; covered: {allowed}"
    return None


def is_portable(fitted: Any, params: TrainParams) -> bool:
    """Return whether the bytes of a model fitted with `params` are the same on every machine with the locked libraries.

    They are in fixed order, and for some estimators always: those grow trees from comparisons and counts. What a search
    or a threshold's choice compares are scores in scikit-learn's arithmetic, for which there is no such promise.
    """
    chosen = params.search is not None or isinstance(params.threshold, ThresholdParams)
    return not chosen and (hasattr(fitted, FIXED) or type(fitted) in PORTABLE)


def fit(model: Any, X: np.ndarray, y: np.ndarray, fixed: bool) -> Any:
    """Return `model` fitted on X [rows, features] and y [rows], if wanted in fixed order, where it is covered."""
    return fit_fixed(model, X, y) if fixed and is_covered(model) else model.fit(X, y)


def fit_fixed(model: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """Return `model`, which must be covered, fitted on X [rows, features] and y [rows] in fixed order.

    Raises what scikit-learn raises for such arguments and data, and ValueError when values are too large to add.
    """
    *before, (_, final) = model.steps if isinstance(model, Pipeline) else [("", model)]
    for _, step in before:
        if step not in (None, "passthrough"):
            step.fit(X, y)
            _put_right(step, X)
            X = step.transform(X)
    final._validate_params()
    FITS[type(final)](final, X, y)
    setattr(model, FIXED, True)
    return model


def predict_fixed(model: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what an estimator fitted by `fit_fixed` predicts for X [rows, features]: values, probabilities or None.

    It may be behind a FixedThresholdClassifier.

    Values are classes or numbers [rows], probabilities [rows, classes] in the order of `classes_`.
    """
    if type(model) is FixedThresholdClassifier:
        decided = decide(Predictions(*predict_fixed(model.estimator_, X)), model.threshold)
        return model.classes_[decided.values], decided.probabilities
    *before, (_, final) = model.steps if isinstance(model, Pipeline) else [("", model)]
    for _, step in before:
        X = X if step in (None, "passthrough") else step.transform(X)
    check_is_fitted(final)
    X = validate_data(final, X, dtype=np.float64, reset=False)
    scores = product(X, np.atleast_2d(final.coef_).T) + final.intercept_
    if type(final) is not LogisticRegression:
        return scores[:, 0], None
    if len(final.classes_) == 2:
        shares = expit(scores[:, 0])
        return final.classes_[(scores[:, 0] > 0).astype(np.int64)], np.column_stack([1 - shares, shares])
    return final.classes_[np.argmax(scores, axis=1)], np.ascontiguousarray(softmax(scores))


def _fit_linear(estimator: LinearRegression, X: np.ndarray, y: np.ndarray) -> None:
    X, y = validate_data(estimator, X, y, dtype=np.float64, y_numeric=True)
    found = solve_squares(X, y.astype(np.float64), estimator.fit_intercept, cut=estimator.tol)
    estimator.coef_, estimator.intercept_ = found.coefficients, found.intercept
    estimator.rank_, estimator.singular_ = found.rank, found.singular


def _fit_ridge(estimator: Ridge, X: np.ndarray, y: np.ndarray) -> None:
    X, y = validate_data(estimator, X, y, dtype=np.float64, y_numeric=True)
    found = solve_squares(X, y.astype(np.float64), estimator.fit_intercept, alpha=float(estimator.alpha))
    estimator.coef_, estimator.intercept_ = found.coefficients, found.intercept
    estimator.n_iter_, estimator.solver_ = None, "svd"


def _fit_logistic(estimator: LogisticRegression, X: np.ndarray, y: np.ndarray) -> None:
    X, y = validate_data(estimator, X, y, dtype=np.float64)
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"This solver needs samples of at least 2 classes, but the data contains only {classes[0]!r}.")
    weights = np.asarray(compute_class_weight(estimator.class_weight, classes=classes, y=y), dtype=np.float64)
    sample = Sample(X, codes, len(classes), weights[codes])
    found = minimise_logistic(sample, 1 / float(estimator.C), estimator.fit_intercept, estimator.max_iter)
    if not found.converged:
        warnings.warn(
            f"The fit in fixed order has not converged after {estimator.max_iter} iterations (max_iter): allow more, "
            "or bring the columns to one scale.",
            ConvergenceWarning,
            stacklevel=4,
        )
    estimator.classes_, estimator.n_iter_ = classes, np.array([found.iterations], dtype=np.int32)
    estimator.coef_, estimator.intercept_ = found.coefficients, found.intercepts


def _put_right(transformer: Any, X: np.ndarray) -> None:
    """Replace the scalers' statistics inside a transformer, fitted on X [rows, features], by those in fixed order."""
    if type(transformer) is Pipeline:
        for _, step in transformer.steps:
            if step not in (None, "passthrough"):
                _put_right(step, X)
                X = step.transform(X)
    elif type(transformer) is ColumnTransformer:
        for _, part, columns in transformer.transformers_:
            _put_right(part, X[:, columns])
    elif type(transformer) is StandardScaler:
        _put_scaler_right(transformer, np.asarray(X, dtype=np.float64))


def _put_scaler_right(scaler: StandardScaler, X: np.ndarray) -> None:
    """Replace mean, variance and scale by those of the known values of X [rows, features], in fixed order.

    The variance is that of two passes with the mean's rounding error taken out (Chan, Golub and LeVeque 1983); a
    column that it cannot tell from a constant one has the scale 1, as in scikit-learn.
    """
    if scaler.mean_ is None:
        return
    known, seen = ~np.isnan(X), np.maximum(scaler.n_samples_seen_, 1)
    scaler.mean_ = mean = total(np.where(known, X, 0.0), axis=0) / seen
    if scaler.var_ is None:
        return
    off = np.where(known, X - mean, 0.0)
    error = total(off, axis=0)
    scaler.var_ = np.maximum(total(off * off, axis=0) - error * error / seen, 0.0) / seen
    bound = seen * mean * EPS
    constant = scaler.var_ <= seen * EPS * scaler.var_ + bound * bound
    scaler.scale_ = np.where(constant, 1.0, np.sqrt(scaler.var_))


def _explain_transformer(step: Any) -> str | None:
    """Return what of a step before the estimator is not covered, or None."""
    name, inside = type(step).__name__, []
    if step is None or isinstance(step, str) or type(step) is StandardScaler:
        return None
    if type(step) is SimpleImputer:
        return None if step.strategy in PICKING else f"{name}'s strategy is {step.strategy!r}; covered: {PICKING}"
    if type(step) is OneHotEncoder:
        return f"{name}'s sparse_output is True; covered: False" if step.sparse_output else None
    if type(step) is Pipeline:
        inside = [part for _, part in step.steps]
    elif type(step) is ColumnTransformer and step.transformer_weights is None:
        inside = [part for _, part, _ in step.transformers] + [step.remainder]
    else:
        return f"{name} before the estimator has no fixed order"
    return next((gap for gap in map(_explain_transformer, inside) if gap), None)


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < np.inf


def _weighs(value: Any) -> bool:
    """Return whether no class is without weight, whose intercept would have no optimum."""
    return not isinstance(value, Mapping) or all(map(_is_positive, value.values()))


FITS: dict[type, Callable[[Any, np.ndarray, np.ndarray], None]] = {
    LinearRegression: _fit_linear,
    Ridge: _fit_ridge,
    LogisticRegression: _fit_logistic,
}
ARGUMENTS: dict[tuple[type, str], tuple[Callable[[Any], bool], str]] = {
    (LinearRegression, "positive"): (lambda value: not value, "False"),
    (Ridge, "positive"): (lambda value: not value, "False"),
    (Ridge, "alpha"): (_is_positive, "a number above 0"),
    (LogisticRegression, "C"): (_is_positive, "a finite number above 0"),
    (LogisticRegression, "l1_ratio"): (lambda value: value == 0, "0"),
    (LogisticRegression, "penalty"): (lambda value: value in ("deprecated", "l2"), "l2, which is its default"),
    (LogisticRegression, "solver"): (lambda value: value != "liblinear", "any but liblinear, whose objective differs"),
    (LogisticRegression, "dual"): (lambda value: not value, "False"),
    (LogisticRegression, "warm_start"): (lambda value: not value, "False"),
    (LogisticRegression, "class_weight"): (_weighs, "none, balanced, or weights above 0"),
}
