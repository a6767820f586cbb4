"""Logistic regression in fixed order: the optimum of scikit-learn's L2-penalised objective, the same on every machine.

With weights s_i of the rows, scores Z = X Wᵀ + b and the penalty l2 = 1 / C, the objective is

    F(W, b) = sum_i s_i loss(z_i, y_i) + l2 / 2 |W|^2,

where loss is log(1 + e^z) - y z for two classes and log(sum_k e^z_k) - z_y for more: scikit-learn's, times the rows'
total weight. It is minimised to rounding level by Newton's method. Each direction comes from conjugate gradients,
preconditioned by the inverses of the Hessian's diagonal blocks, one for each class (Nocedal and Wright,
Numerical Optimization, 2nd edition, 2006, algorithms 5.3 and 7.1), and its length from Armijo's rule. A direction needs
no accuracy, only the gradient does: so the Hessian is float32 and leaves out rows of hardly any curvature, until a full
step of that kind makes no progress. Arrays are [classes, rows] and [features, rows], as numpy runs fastest along rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from artifact_flow.core.base.fixed_order import cholesky, exp, log1p, product, solve_lower, total

FORCING = 0.01  # a direction is good enough when the squared residual, in the preconditioner's norm, has fallen to it
SUFFICIENT = 1e-4  # share of the slope's decrease that Armijo's rule asks for
HALVINGS = 40  # of a step, at most
DIRECTIONS = 500  # conjugate directions a Newton step, at most
FLAT = 2.0**-40  # an expected decrease of less than this share of the objective drowns in its rounding errors
SETTLED = 1e-3  # an expected decrease of less than this share of the objective leaves the Hessian as it is
ROUNDING = 2.0**-50  # a gradient of this share of its terms' magnitudes is one of rounding errors
LEFT_OUT = 1e-3  # curvature, as a share of the largest, below which a row is left out of the Hessian
BLOCK = 512  # features of a block of the preconditioner, at most; for more, the diagonal alone
SAMPLE = 8  # rows a feature that make a block of the preconditioner, at least, where there are so many
SPARSEST = 4  # of so many rows it takes one, at most
STRIP = 16  # rows of a symmetric matrix that are computed at a time
REFRESH = 3  # Newton steps that one preconditioner serves
LIFT = 100  # roundings by which the diagonal is raised: as much may be missing from a block


@dataclass(frozen=True)
class Sample:
    """Rows X [rows, features], their classes y [rows], numbered from 0 to `classes` - 1, and weights above 0 [rows]."""

    X: np.ndarray
    y: np.ndarray
    classes: int
    weights: np.ndarray


@dataclass(frozen=True)
class Logistic:
    """A solution: coefficients [outputs, features], intercepts [outputs], Newton steps taken, and whether it is one."""

    coefficients: np.ndarray
    intercepts: np.ndarray
    iterations: int
    converged: bool


@dataclass(frozen=True)
class _Problem:
    """A sample with rows Z [features, rows], centred and scaled, and the penalty of each feature."""

    Z: np.ndarray
    y: np.ndarray
    classes: int
    weights: np.ndarray
    penalty: np.ndarray


@dataclass(frozen=True)
class _Point:
    """Coefficients W [outputs, features] with the objective and its gradient [outputs, features].

    `residual` is the objective's derivative by the scores, P the probabilities, `odds` P (1 - P): all [outputs, rows].
    """

    W: np.ndarray
    objective: float
    gradient: np.ndarray
    residual: np.ndarray
    P: np.ndarray
    odds: np.ndarray


def minimise_logistic(sample: Sample, l2: float, intercept: bool, max_iter: int) -> Logistic:
    """Return the minimum of the objective for a sample, with the penalty l2 above 0, after at most `max_iter` steps.

    Two classes have one output, more have one each, and then the outputs' coefficients and intercepts sum to 0: adding
    a constant to all changes no probability.

    Raises ValueError when the values are so large that their sums are no numbers.
    """
    X, classes = sample.X, sample.classes
    n, features = X.shape
    centre = total(X, axis=0) / n if intercept else np.zeros(features)
    Z, penalty = np.ones((features + intercept, n)), np.zeros(features + intercept)
    columns = Z[:features]
    columns[:] = X.T
    columns -= centre[:, None]
    if not np.all(np.isfinite(columns)):
        raise ValueError("Input X contains values too large for their sums: bring the columns to one scale.")
    # columns divided by powers of two, which is exact, have the magnitude 1
    exponent = np.clip(np.frexp(np.max(np.abs(columns), axis=1))[1], -200, 200)
    np.ldexp(columns, -exponent[:, None], out=columns)
    penalty[:features] = np.ldexp(l2, -2 * exponent)
    with np.errstate(over="ignore", invalid="ignore"):  # of a step that goes too far, and is not taken
        W, iterations, converged = _minimise(_Problem(Z, sample.y, classes, sample.weights, penalty), max_iter)
    if classes > 2:
        W = W - total(W, axis=0) / classes
    coefficients = np.ldexp(W[:, :features], -exponent)
    intercepts = np.zeros(len(W))
    if intercept:
        intercepts = W[:, -1] - total(coefficients * centre, axis=1)
        if classes > 2:
            intercepts -= total(intercepts) / classes
    return Logistic(coefficients, intercepts, iterations, converged)


def _minimise(problem: _Problem, max_iter: int) -> tuple[np.ndarray, int, bool]:
    """Return the coefficients at the minimum, the Newton steps taken, and whether the last could improve nothing."""
    outputs = 1 if problem.classes == 2 else problem.classes
    here = _evaluate(problem, np.zeros((outputs, len(problem.penalty))))
    quick, inverses, served = True, None, 0
    for iteration in range(max_iter):
        if _is_rounding(problem, here):
            return here.W, iteration, True
        if inverses is None or served == REFRESH:
            inverses, served = _precondition(problem, here, quick), 0
        direction = _newton_direction(problem, here, inverses, quick)
        slope = _dot(here.gradient, direction)
        there = _evaluate(problem, here.W + direction)
        if -slope > FLAT * abs(here.objective):
            served += -slope > SETTLED * abs(here.objective)  # a Hessian that has settled needs no other
            progress = there.objective <= here.objective + SUFFICIENT * slope
            if not progress and not quick:
                shorter = _search(problem, here, direction, slope)
                progress, there = shorter is not None, shorter or there
        else:
            progress = _dot(there.gradient, there.gradient) < 0.25 * _dot(here.gradient, here.gradient)
        if progress:
            here = there
        elif quick:
            quick, inverses = False, None
        else:
            return here.W, iteration, True
    return here.W, max_iter, _is_rounding(problem, here)


def _is_rounding(problem: _Problem, here: _Point) -> bool:
    """Return whether the gradient is of the size of its own rounding errors."""
    error = product(np.abs(here.residual), np.abs(problem.Z.T)) + np.abs(problem.penalty * here.W)
    return _dot(here.gradient, here.gradient) <= ROUNDING * ROUNDING * _dot(error, error)


def _search(problem: _Problem, here: _Point, direction: np.ndarray, slope: float) -> _Point | None:
    """Return the point at the first of the steps 1/2, 1/4, ... that decreases the objective enough, or None."""
    for halving in range(1, HALVINGS):
        step = 0.5**halving
        there = _evaluate(problem, here.W + step * direction)
        if there.objective <= here.objective + SUFFICIENT * step * slope:
            return there
    return None


def _evaluate(problem: _Problem, W: np.ndarray) -> _Point:
    """Return the point at W."""
    scores, rows = product(W, problem.Z), np.arange(len(problem.y))
    if problem.classes == 2:
        sign = np.where(problem.y == 1, -1.0, 1.0)
        wrong = sign * scores[0]  # the score of the class that the row is not of
        powers = exp(-np.abs(wrong))
        losses = np.maximum(wrong, 0) + log1p(powers)
        share = np.where(wrong < 0, powers, 1.0) / (1 + powers)
        P, odds = share[None], (powers / ((1 + powers) * (1 + powers)))[None]
        residual = (sign * share)[None]
    else:
        places = np.argmax(scores, axis=0)
        largest = scores[places, rows]
        powers = exp(scores - largest)
        powers[places, rows] = 0.0
        rest = total(powers, axis=0)  # beside the largest, whose power is 1
        losses = (largest - scores[problem.y, rows]) + log1p(rest)
        powers[places, rows] = 1.0
        P = powers / (1 + rest)
        residual = P.copy()
        residual[problem.y, rows] = 0.0
        residual[problem.y, rows] = -total(residual, axis=0)  # P - 1, with all its digits
        odds = P * (1 - P)
    penalised = problem.penalty * W
    objective = total(problem.weights * losses) + 0.5 * _dot(penalised, W)
    residual *= problem.weights
    gradient = product(residual, problem.Z.T) + penalised
    return _Point(W, float(objective), gradient, residual, P, odds)


def _newton_direction(problem: _Problem, here: _Point, inverses: np.ndarray, quick: bool) -> np.ndarray:
    """Return an approximate solution D of H D = -gradient by preconditioned conjugate gradients from 0."""
    kind = _kind(quick)
    curvature = problem.weights * np.max(here.odds, axis=0)
    kept = curvature > (LEFT_OUT * np.max(curvature) if quick else 0)
    weights = problem.weights[kept].astype(kind)
    Z, P, odds = (np.compress(kept, array, axis=1).astype(kind) for array in (problem.Z, here.P, here.odds))

    def hessian(D: np.ndarray) -> np.ndarray:
        change = product(D.astype(kind), Z)
        if problem.classes == 2:
            change = odds * change
        else:
            change = P * change
            change -= P * total(change, axis=0)
        image: np.ndarray = product(weights * change, Z.T).astype(np.float64) + problem.penalty * D
        return image

    D, residual = np.zeros_like(here.W), -here.gradient
    conditioned = _apply(inverses, residual)
    along, size = conditioned, _dot(residual, conditioned)
    enough = FORCING * size
    for _ in range(DIRECTIONS):
        image = hessian(along)
        curve = _dot(along, image)
        if not curve > 0:  # rounding errors are all that is left
            break
        D = D + (size / curve) * along
        residual = residual - (size / curve) * image
        conditioned = _apply(inverses, residual)
        before, size = size, _dot(residual, conditioned)
        if not size > enough:
            break
        along = conditioned + (size / before) * along
    return D


def _precondition(problem: _Problem, here: _Point, quick: bool) -> np.ndarray:
    """Return the inverses of the Hessian's blocks as [features, outputs, features], or as [outputs, features].

    The latter, for many features, are the inverses of the diagonal alone.
    """
    curvature, size, kind = problem.weights * here.odds, len(problem.Z), _kind(quick)
    if size > BLOCK:
        diagonal = product(curvature, (problem.Z * problem.Z).T) + problem.penalty
        return 1 / np.where(diagonal > 0, diagonal, 1.0)
    blocks = np.array([_gram(problem.Z, row, quick) for row in curvature], dtype=np.float64)
    places = np.arange(size)
    diagonal = blocks[:, places, places] * (1 + LIFT * np.finfo(kind).eps) + problem.penalty
    blocks[:, places, places] = np.where(diagonal > 0, diagonal, 1.0)
    factors = solve_lower(cholesky(blocks), np.eye(size))
    inverses = np.array([product(factor.T, factor) for factor in factors]).astype(kind)
    if not np.all(np.isfinite(inverses)):
        return 1 / blocks[:, places, places]
    return np.ascontiguousarray(inverses.transpose(1, 0, 2))


def _gram(Z: np.ndarray, curvature: np.ndarray, quick: bool) -> np.ndarray:
    """Return the sum of curvature_i z_i z_iᵀ [features, features]; a quick one is estimated from some rows."""
    kept, kind = np.flatnonzero(curvature > (LEFT_OUT * np.max(curvature) if quick else 0)), _kind(quick)
    every = min(max(1, len(kept) // (SAMPLE * len(Z))), SPARSEST) if quick else 1
    Z = np.take(Z, kept[::every], axis=1).astype(kind)
    weighted, gram = Z * (every * curvature[kept[::every]]).astype(kind), np.empty((len(Z), len(Z)), kind)
    for first in range(0, len(Z), STRIP):  # of a symmetric matrix the lower half
        last = first + STRIP
        gram[first:last, :last] = product(weighted[first:last], Z[:last].T)
        gram[:last, first:last] = gram[first:last, :last].T
    return gram


def _kind(quick: bool) -> Any:
    """Return the type of numbers that a direction is computed with."""
    return np.float32 if quick else np.float64


def _apply(inverses: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return the preconditioner's inverse times a residual [outputs, features]."""
    if inverses.ndim == 2:
        return np.asarray(inverses * residual)
    terms = inverses * residual.T.astype(inverses.dtype)[:, :, None]
    found: np.ndarray = total(terms, axis=0, overwrite=True).astype(np.float64)
    return found


def _dot(A: np.ndarray, B: np.ndarray) -> float:
    """Return the sum of the products of two arrays' elements."""
    return float(total(np.ravel(A * B)))
