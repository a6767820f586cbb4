"""Least squares in fixed order: ordinary and ridge regression, the same on every machine.

With centred X and y, w minimises |y - X w|^2 + alpha |w|^2; for alpha = 0 it is the shortest of the minimisers among
the directions whose singular value is above a share of the largest, as in scikit-learn. X = Q R by modified
Gram-Schmidt with the target as its last column, which is as stable as Householder's method (Björck, Numerical Methods
for Least Squares Problems, 1996, section 2.4), though Q be far from orthogonal; then rotations make the rows of R
orthogonal, which gives the singular values (one-sided Jacobi: Demmel and Veselić 1992; Higham, section 20.2).
"""

from dataclasses import dataclass

import numpy as np

from artifact_flow.core.base.fixed_order import CHUNK, product, total

ORTHOGONAL = 2.0**-50  # cosine of two rows that are not rotated any more
CANCELLED = 2.0**-20  # share of a squared length below which subtractions have left it too few digits
SWEEPS = 30  # over all pairs of rows, at most; six are usual


@dataclass(frozen=True)
class Squares:
    """A solution: coefficients [features], intercept, singular values of the centred X, and the rank used."""

    coefficients: np.ndarray
    intercept: float
    singular: np.ndarray
    rank: int


def solve_squares(X: np.ndarray, y: np.ndarray, intercept: bool, alpha: float = 0.0, cut: float = 0.0) -> Squares:
    """Return the solution for X [rows, features] and y [rows]; `cut` is the least singular value as a share.

    Raises ValueError when the values are so large that their sums are no numbers.
    """
    n, features = X.shape
    columns = np.empty((features + 1, n))
    columns[:-1], columns[-1] = X.T, y
    means = total(columns, axis=1) / n if intercept else np.zeros(features + 1)
    columns -= means[:, None]
    if not np.all(np.isfinite(columns)):
        raise ValueError("Input X contains values too large for their sums: bring the columns to one scale.")
    # X and y each divided by a power of two, which is exact, so that no square overflows or vanishes
    power, target_power = (np.frexp(np.max(np.abs(part), initial=0.0))[1] for part in (columns[:-1], columns[-1]))
    np.ldexp(columns, np.append(np.full(features, -power), -target_power)[:, None], out=columns)
    rows = _diagonalise(_triangularise(columns))
    squares = total(rows[:, :-1] * rows[:, :-1], axis=1)
    order = np.argsort(-squares, kind="stable")
    rows, squares = rows[order], squares[order]
    found = np.sqrt(squares)
    used = found > cut * np.max(found, initial=0.0)
    shares = rows[used, -1] / (squares[used] + np.ldexp(alpha, -2 * power))
    coefficients = np.ldexp(total(shares[:, None] * rows[used, :-1], axis=0), target_power - power)
    singular = np.zeros(min(n, features))
    singular[: len(found)] = np.ldexp(found, power)
    level = float(means[-1] - total(means[:-1] * coefficients))
    return Squares(coefficients, level if intercept else 0.0, singular, int(np.count_nonzero(used)))


def _triangularise(columns: np.ndarray) -> np.ndarray:
    """Return the rows [rank, features + 1] of R, the target's column last, for columns [features + 1, rows].

    The next column is always the longest of the rest. The columns are overwritten.
    """
    features, n = len(columns) - 1, columns.shape[1]
    places, several = np.arange(features + 1), max(1, CHUNK // n)
    lengths, known = np.zeros((2, features))  # squared: as they are after each step, and when last summed
    R = np.zeros((min(features, n), features + 1))
    for step, row in enumerate(R):
        for i in range(step, features):
            if step == 0 or lengths[i] < CANCELLED * known[i]:
                lengths[i] = known[i] = total(columns[i] * columns[i])
        longest = step + int(np.argmax(lengths[step:]))
        if not lengths[longest] > 0:
            return R[:step]
        for array in (columns, places, lengths, known):
            array[[step, longest]] = array[[longest, step]]
        length = np.sqrt(total(columns[step] * columns[step]))
        unit, rest = columns[step] / length, columns[step + 1 :]
        shares = product(rest, unit[:, None])
        row[places[step]], row[places[step + 1 :]] = length, shares[:, 0]
        lengths[step + 1 :] -= shares[:-1, 0] * shares[:-1, 0]
        for first in range(0, len(rest), several):
            rest[first : first + several] -= shares[first : first + several] * unit
    return R


def _diagonalise(R: np.ndarray) -> np.ndarray:
    """Return the rows of R rotated in pairs until they are orthogonal, but for the last column, which goes along.

    In a round every row is in one pair; in the rounds of a sweep it meets every other one.
    """
    rows = np.vstack([R, np.zeros((len(R) % 2, R.shape[1]))])
    half = len(rows) // 2
    order = np.arange(len(rows))
    for _ in range(SWEEPS):
        rotated = False
        for _ in range(len(rows) - 1):
            first, second = order[:half], order[half:][::-1]
            A, B = rows[first], rows[second]
            a, b = np.split(total(rows[order, :-1] * rows[order, :-1], axis=1), 2)
            b, c = b[::-1], total(A[:, :-1] * B[:, :-1], axis=1)
            skew = np.abs(c) > ORTHOGONAL * np.sqrt(a) * np.sqrt(b)
            if np.any(skew):
                rotated = True
                zeta = (b - a) / (2 * np.where(skew, c, 1.0))
                tangent = np.where(zeta < 0, -1.0, 1.0) / (np.abs(zeta) + np.sqrt(1 + zeta * zeta))
                tangent = np.where(skew, tangent, 0.0)[:, None]
                cosine = 1 / np.sqrt(1 + tangent * tangent)
                rows[first] = cosine * (A - tangent * B)
                rows[second] = cosine * (B + tangent * A)
            order = np.concatenate([order[:1], order[-1:], order[1:-1]])
        if not rotated:
            break
    return rows[: len(R)]
