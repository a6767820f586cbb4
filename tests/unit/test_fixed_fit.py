"""Fits in fixed order are scikit-learn's optimum, in scikit-learn's objects, and what is not covered is told."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from unit.tables import matrix

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.params import Params, TrainParams
from artifact_flow.core.model.estimators import build_estimator
from artifact_flow.core.model.fixed_fit import explain_uncovered, fit_fixed, is_covered, predict_fixed
from artifact_flow.core.model.models import build_preprocessor
from artifact_flow.core.model.predictions import FIXED
from artifact_flow.core.table.tables import Table

TIGHT = {"solver": "newton-cholesky", "tol": 1e-10, "max_iter": 1000}
IRIS, WINE, CANCER = (load(return_X_y=True) for load in (load_iris, load_wine, load_breast_cancer))


def loss(model: LogisticRegression, X: np.ndarray, y: np.ndarray) -> np.longdouble:
    """Return the objective without class weights, with the longest numbers that the machine has."""
    scores = X.astype(np.longdouble) @ model.coef_.astype(np.longdouble).T + model.intercept_
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    largest = scores.max(axis=1)
    own = scores[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    losses = largest - own + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
    return losses.sum() + (model.coef_.astype(np.longdouble) ** 2).sum() / (2 * model.C)


def gradient(model: LogisticRegression, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the objective's gradient by coefficients and intercepts, computed by scikit-learn and BLAS."""
    P = model.predict_proba(X)
    residual = P - (y[:, None] == model.classes_)
    residual = residual[:, 1:] if len(model.classes_) == 2 else residual
    by_coefficients = residual.T @ X + model.coef_ / model.C
    return np.column_stack([by_coefficients, residual.sum(axis=0)])


@pytest.mark.parametrize("data", [IRIS, WINE, CANCER], ids=["iris", "wine", "breast_cancer"])
@pytest.mark.parametrize("C", [0.01, 1.0, 1e4])
@pytest.mark.long
def test_the_optimum_is_scikit_learns(data: tuple[np.ndarray, np.ndarray], C: float) -> None:
    """The loss is not above scikit-learn's at any tolerance, its gradient is rounding, and every label is the same."""
    X, y = data
    ours = fit_fixed(LogisticRegression(C=C), X, y)
    tight = LogisticRegression(C=C, **TIGHT).fit(X, y)
    assert ours.coef_.shape == tight.coef_.shape
    assert ours.intercept_.shape == tight.intercept_.shape
    assert np.abs(gradient(ours, X, y)).max() < 1e-11 * np.abs(X).sum(axis=0).max()
    excess = loss(ours, X, y) - loss(tight, X, y)
    assert excess <= 1e-16 * loss(tight, X, y)  # of two that are rounding away from the optimum either may be nearer
    values, probabilities = predict_fixed(ours, X)
    assert np.array_equal(values, tight.predict(X))
    assert np.allclose(probabilities, tight.predict_proba(X), atol=1e-7)
    assert np.array_equal(values, ours.predict(X))
    assert np.allclose(probabilities, ours.predict_proba(X), rtol=0, atol=1e-13)


@pytest.mark.parametrize("tol", [1e-4, 1e-10])
@pytest.mark.long
def test_the_loss_is_below_that_of_the_default_solver(tol: float) -> None:
    """At its usual and at a tight tolerance."""
    ours, theirs = fit_fixed(LogisticRegression(), *IRIS), LogisticRegression(tol=tol, max_iter=1000).fit(*IRIS)
    assert loss(ours, *IRIS) < loss(theirs, *IRIS)


@pytest.mark.long
def test_the_digits(params: Params, digits: Table) -> None:
    """The main flow's fit: a lower loss than scikit-learn's at the flow's own tolerance, the labels of a tight one."""
    X, y, train = matrix(digits), digits.y, digits.split == "train"
    ours = fit_fixed(build_estimator(params.train), X[train], y[train])
    assert np.abs(gradient(ours, X[train], y[train])).max() < 1e-10
    assert loss(ours, X[train], y[train]) < loss(
        build_estimator(params.train).fit(X[train], y[train]), X[train], y[train]
    )
    values, _ = predict_fixed(ours, X)
    assert np.mean(values[~train] == y[~train]) > 0.95
    assert np.array_equal(values, ours.predict(X))
    assert ours.n_iter_.tolist() < [params.train.others["max_iter"]]


@pytest.mark.parametrize(
    "keywords",
    [
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {0: 5.0, 1: 0.5}},
        {"C": 1e-6},
    ],
)
@pytest.mark.parametrize("data", [WINE, CANCER], ids=["wine", "breast_cancer"])
@pytest.mark.long
def test_arguments_mean_what_they_mean(data: tuple[np.ndarray, np.ndarray], keywords: dict[str, Any]) -> None:
    """Penalty, weights of classes and a missing intercept give scikit-learn's coefficients."""
    X, y = StandardScaler().fit_transform(data[0]), data[1]
    ours = fit_fixed(LogisticRegression(**keywords), X, y)
    theirs = LogisticRegression(**(TIGHT | {"solver": "lbfgs"}), **keywords).fit(X, y)
    assert set(vars(ours)) - {FIXED} == set(vars(theirs))
    assert np.allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-4 * np.abs(theirs.coef_).max())
    assert np.allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)


def test_classes_may_be_texts_and_their_outputs_sum_to_nothing() -> None:
    """The classes come back as given; of more than two, coefficients and intercepts sum to 0."""
    names = np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
    model = fit_fixed(LogisticRegression(), IRIS[0], names)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert set(predict_fixed(model, IRIS[0])[0]) == set(names)
    assert np.abs(model.coef_.sum(axis=0)).max() < 1e-15
    assert abs(model.intercept_.sum()) < 1e-14
    two = fit_fixed(LogisticRegression(), CANCER[0][:, :1], np.where(CANCER[1], "good", "bad"))
    assert two.coef_.shape == (1, 1)
    assert set(predict_fixed(two, CANCER[0][:, :1])[0]) == {"good", "bad"}


@pytest.mark.long
def test_hard_problems_are_solved() -> None:
    """Hardly any penalty, columns of very different sizes, equal and constant ones: the gradient is rounding."""
    X, y = IRIS
    X = np.column_stack([X * [1e9, 1e-9, 1, 1e3] + [1e9, 0, 0, 0], X[:, 0], X[:, 0], np.full(len(X), 7.0)])
    model = fit_fixed(LogisticRegression(C=1e6), X, y)
    assert np.all(np.abs(gradient(model, X, y)) < 1e-9 * np.append(np.abs(X).sum(axis=0), len(X)))
    assert np.mean(predict_fixed(model, X)[0] == y) > 0.97


def test_many_features_are_preconditioned_by_the_diagonal() -> None:
    """More features than a block has, and than there are rows."""
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(60, 520)), np.arange(60) % 3
    model = fit_fixed(LogisticRegression(C=0.1), X, y)
    assert np.abs(gradient(model, X, y)).max() < 1e-12


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_no_square_overflows_or_vanishes(size: float) -> None:
    """Values whose squares are no numbers are fitted as others are."""
    X, y = load_diabetes(return_X_y=True)
    usual, other = fit_fixed(LinearRegression(), X, y), fit_fixed(LinearRegression(), X * size, y)
    assert np.allclose(other.coef_ * size, usual.coef_, rtol=1e-9)
    assert np.allclose(predict_fixed(other, X * size)[0], predict_fixed(usual, X)[0])
    model = fit_fixed(LogisticRegression(), IRIS[0] * 1e50, IRIS[1])
    assert np.mean(predict_fixed(model, IRIS[0] * 1e50)[0] == IRIS[1]) > 0.9


def test_too_few_iterations_are_told() -> None:
    """As scikit-learn does, with its own warning."""
    with pytest.warns(ConvergenceWarning, match=r"has not converged after 2 iterations \(max_iter\)"):
        model = fit_fixed(LogisticRegression(max_iter=2), *IRIS)
    assert model.n_iter_.tolist() == [2]
    with pytest.warns(ConvergenceWarning):
        assert not np.any(fit_fixed(LogisticRegression(max_iter=0), *IRIS).coef_)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("case", ["usual", "dependent", "wide", "single", "constant", "one row"])
def test_least_squares_are_scikit_learns(case: str, fit_intercept: bool) -> None:
    """Coefficients, intercept, rank and singular values; of many solutions the shortest."""
    X, y = load_diabetes(return_X_y=True)
    X, y = {
        "usual": (X, y),
        "dependent": (np.column_stack([X, 2 * X[:, 0], X[:, 1] - X[:, 2], np.zeros(len(X))]), y),
        "wide": (X[:7], y[:7]),
        "single": (X[:, :1], y),
        "constant": (np.ones((9, 3)), y[:9]),
        "one row": (X[:1], y[:1]),
    }[case]
    for model in (LinearRegression(fit_intercept=fit_intercept), Ridge(alpha=0.5, fit_intercept=fit_intercept)):
        ours, theirs = fit_fixed(clone(model), X, y), clone(model).fit(X, y)
        size = max(1.0, np.abs(theirs.coef_).max())
        assert set(vars(ours)) - {FIXED} == set(vars(theirs))
        assert np.allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-11 * size)
        assert np.allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-11 * size)
        values, probabilities = predict_fixed(ours, X)
        assert probabilities is None
        assert np.allclose(values, theirs.predict(X), rtol=0, atol=1e-11 * size)
        if isinstance(model, LinearRegression):
            assert ours.rank_ == theirs.rank_
            assert np.allclose(ours.singular_, theirs.singular_, rtol=0, atol=1e-14 * theirs.singular_.max(initial=1))


@pytest.mark.parametrize(
    "keywords", [{}, {"with_mean": False}, {"with_std": False}, {"with_mean": False, "with_std": False}]
)
def test_the_scaler_is_scikit_learns(keywords: dict[str, Any]) -> None:
    """Means, variances and scales; a constant column has the scale 1; a missing value counts nowhere."""
    X = np.column_stack([WINE[0], np.full(len(WINE[0]), 0.1), np.arange(len(WINE[0])) + 1e8])
    model = fit_fixed(Pipeline([("scale", StandardScaler(**keywords)), ("fit", Ridge())]), X, WINE[1])
    theirs = StandardScaler(**keywords).fit(X)
    for name in ("mean_", "var_", "scale_", "n_samples_seen_"):
        ours, other = getattr(model[0], name), getattr(theirs, name)
        assert (ours is None) == (other is None)
        assert ours is None or np.allclose(ours, other, rtol=1e-12)
    assert np.allclose(predict_fixed(model, X)[0], model.predict(X), rtol=0, atol=1e-6)


def test_the_preprocessor_is_put_right() -> None:
    """Behind the preprocessor that `data.preprocess: auto` builds: scalers in fixed order, then the estimator."""
    X = np.column_stack([CANCER[0][:, :3], np.arange(len(CANCER[0])) % 3])
    X[::7, 1] = np.nan
    kinds = ["number", "number", "number", "category"]
    features = [
        Feature(name=str(i), type=kind, missing=0, shares=[], categories=list("abc") if kind == "category" else None)
        for i, kind in enumerate(kinds)
    ]
    steps = [("preprocess", build_preprocessor(features)), ("estimator", LogisticRegression(**TIGHT))]
    ours, theirs = (fit(clone(Pipeline(steps)), X, CANCER[1]) for fit in (fit_fixed, Pipeline.fit))
    scaler = ours[0].named_transformers_["numbers"][-1]
    assert np.allclose(scaler.mean_, theirs[0].named_transformers_["numbers"][-1].mean_, rtol=1e-14)
    assert np.allclose(ours[-1].coef_, theirs[-1].coef_, atol=1e-6)
    values, probabilities = predict_fixed(ours, X)
    assert np.array_equal(values, theirs.predict(X))
    assert np.allclose(probabilities, theirs.predict_proba(X), atol=1e-7)


@pytest.mark.long
def test_where_the_rows_lie_changes_no_byte() -> None:
    """Columns first, a slice of another array, whole numbers: the same fit."""
    X, y = np.rint(10 * IRIS[0]), IRIS[1]
    for model, target in ((LogisticRegression(), y), (LinearRegression(), X[:, 0] + y), (Ridge(), y)):
        fits = [
            fit_fixed(clone(model), rows, target)
            for rows in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.astype(np.int64))
        ]
        assert len({fit.coef_.tobytes() + np.asarray(fit.intercept_).tobytes() for fit in fits}) == 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (LinearSVC(), "LinearSVC has no fit in fixed order; covered: LinearRegression, Ridge, LogisticRegression"),
        (DecisionTreeClassifier(), "DecisionTreeClassifier has no fit in fixed order"),
        (LinearRegression(positive=True), "LinearRegression's positive is True; covered: False"),
        (Ridge(alpha=0), "Ridge's alpha is 0; covered: a number above 0"),
        (Ridge(alpha=[1.0, 2.0]), "Ridge's alpha is [1.0, 2.0]"),
        (LogisticRegression(C=np.inf), "LogisticRegression's C is inf; covered: a finite number above 0"),
        (LogisticRegression(C="one"), "LogisticRegression's C is 'one'"),
        (LogisticRegression(l1_ratio=0.5, solver="saga"), "LogisticRegression's l1_ratio is 0.5; covered: 0"),
        (LogisticRegression(solver="liblinear"), "LogisticRegression's solver is 'liblinear'; covered: any but"),
        (
            LogisticRegression(class_weight={0: 0}),
            "LogisticRegression's class_weight is {0: 0}; covered: none, balanced",
        ),
        (
            Pipeline([("more", PolynomialFeatures()), ("fit", Ridge())]),
            "PolynomialFeatures before the estimator has no",
        ),
        (
            Pipeline([("code", OneHotEncoder()), ("fit", Ridge())]),
            "OneHotEncoder's sparse_output is True; covered: False",
        ),
        (
            Pipeline([("columns", ColumnTransformer([("a", OneHotEncoder(), [0])])), ("fit", Ridge())]),
            "OneHotEncoder's sparse_output is True",
        ),
    ],
)
def test_what_is_not_covered_is_told(model: Any, reason: str) -> None:
    """One phrase names the class, the argument and what is covered."""
    assert not is_covered(model)
    assert str(explain_uncovered(model)).startswith(reason)


def test_texts_are_not_covered_and_defaults_are() -> None:
    """A vectorizer of texts has sums of its own; a pipeline of numbers is covered."""
    number, text = (
        Feature(name="a", type="number", missing=0, shares=[]),
        Feature(name="b", type="text", missing=0, shares=[]),
    )
    assert is_covered(Pipeline([("preprocess", build_preprocessor([number])), ("fit", Ridge())]))
    assert explain_uncovered(Pipeline([("preprocess", build_preprocessor([number, text])), ("fit", Ridge())]))


def test_scikit_learns_own_refusals_stay() -> None:
    """A wrong argument, one class alone, a missing value, a number of columns, and values that no square can hold."""
    X, y = IRIS
    with pytest.raises(ValueError, match="The 'max_iter' parameter of LogisticRegression must be"):
        fit_fixed(LogisticRegression(max_iter=-1), X, y)
    with pytest.raises(ValueError, match="at least 2 classes"):
        fit_fixed(LogisticRegression(), X, np.zeros(len(X), dtype=int))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fit_fixed(Ridge(), np.where(X > 5, np.nan, X), y)
    with pytest.raises(ValueError, match="4 features"):
        predict_fixed(fit_fixed(Ridge(), X, y), X[:, :3])
    for model in (LinearRegression(), LogisticRegression()):
        with pytest.raises(ValueError, match="Input X contains values too large"), np.errstate(all="ignore"):
            fit_fixed(model, X * 2e307, y)


def test_a_train_block_is_covered(params: Params) -> None:
    """The shipped estimators are covered as params.yaml builds them."""
    assert is_covered(build_estimator(params.train))
    assert is_covered(build_estimator(TrainParams(estimator="sklearn.linear_model.LinearRegression", threads=1)))
