"""Sums, products, exp and log are one sequence of roundings, within their bounds, whatever lies where in memory."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from artifact_flow.core.base import fixed_order
from artifact_flow.core.base.fixed_order import (
    cholesky,
    exp,
    expit,
    log,
    log1p,
    log_sum_exp,
    product,
    softmax,
    solve_lower,
    solve_upper,
    total,
)

U = Fraction(1, 2**53)


def g(m: int) -> Fraction:
    """Return Higham's bound m u / (1 - m u)."""
    return m * U / (1 - m * U)


def halve(values: list[float]) -> float:
    """Return a sum in the order that is promised, in plain Python."""
    while len(values) > 1:
        half = (len(values) + 1) // 2
        values = [a + b for a, b in zip(values, values[half:], strict=False)] + values[len(values) - half : half]
    return values[0] if values else 0.0


def ulps(got: np.ndarray, exact: list[Decimal]) -> float:
    """Return the largest error in units of the last place."""
    return float(
        max(abs(Decimal(a) - b) / Decimal(math.ulp(float(b))) for a, b in zip(got.tolist(), exact, strict=True))
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 64, 65, 66, 127, 1000, 1437])
def test_a_sum_is_halved(n: int) -> None:
    """The order is the one that the documentation says, along either axis and in every layout."""
    values = np.random.default_rng(n).normal(size=(5, n)) * 10.0 ** np.arange(5)[:, None]
    expected = [halve(row) for row in values.tolist()]
    for same in (values, np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2], values[::-1][::-1]):
        assert total(same, axis=1).tolist() == expected
        assert total(same.T, axis=0).tolist() == expected
        assert total(same.copy(), axis=1, overwrite=True).tolist() == expected
    assert [float(total(row)) for row in values] == expected


@pytest.mark.parametrize("seed", range(5))
def test_a_sum_is_within_its_bound(seed: int) -> None:
    """The error is at most g(ceil(log2 n)) times the sum of magnitudes, with numbers of all sizes that cancel."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=333) * 2.0 ** generator.integers(-40, 40, 333)
    values = np.append(values, -math.fsum(values))
    magnitudes = sum(Fraction(abs(value)) for value in values.tolist())
    exact = sum(Fraction(value) for value in values.tolist())
    assert abs(Fraction(float(total(values))) - exact) <= g(9) * magnitudes
    assert abs(float(total(values)) - math.fsum(values)) <= float(g(9) * magnitudes)


@pytest.mark.parametrize(
    ("n", "k", "m"),
    [(3, 1, 2), (5, 7, 3), (2, 3000, 50), (3, 300, 2), (40, 65, 30), (20, 1437, 64), (0, 3, 2), (2, 0, 3)],
)
def test_a_product_is_sums_of_products(n: int, k: int, m: int) -> None:
    """Each element is the halved sum of its products, whichever way through memory the shape leads to."""
    generator = np.random.default_rng(n)
    A, B = generator.normal(size=(n, k)), generator.normal(size=(k, m))
    found = product(A, B)
    assert found.shape == (n, m)
    for i in {0, n // 2, n - 1} if n else ():
        for j in {0, m - 1}:
            assert found[i, j] == halve([a * b for a, b in zip(A[i].tolist(), B[:, j].tolist(), strict=True)])
    wide = np.repeat(A, 2, axis=1)[:, ::2]
    for left, right in ((np.asfortranarray(A), np.asfortranarray(B)), (wide, B[:, ::-1][:, ::-1])):
        assert product(left, right).tobytes() == found.tobytes()
    assert product(B.T, A.T).T.tobytes() == found.tobytes()


def test_the_way_through_memory_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of another size give the same sums."""
    generator = np.random.default_rng(0)
    A, B = generator.normal(size=(30, 500)), generator.normal(size=(500, 20))
    found, narrow = product(A, B).tobytes(), product(A[:9], B[:, :4]).tobytes()
    monkeypatch.setattr(fixed_order, "CHUNK", 1200)
    monkeypatch.setattr(fixed_order, "SHORT", 5)
    assert (product(A, B).tobytes(), product(A[:9], B[:, :4]).tobytes()) == (found, narrow)


def test_a_product_is_within_its_bound() -> None:
    """The error is at most g(ceil(log2 k) + 1) |A| |B|, in float32 with its own unit."""
    generator = np.random.default_rng(1)
    A, B = generator.normal(size=(4, 100)), generator.normal(size=(100, 3))
    small = product(A.astype(np.float32), B.astype(np.float32))
    assert small.dtype == np.float32
    assert np.abs(small - product(A, B)).max() < 10 * 2.0**-24 * product(np.abs(A), np.abs(B)).max()
    for i in range(4):
        for j in range(3):
            terms = [Fraction(a) * Fraction(b) for a, b in zip(A[i].tolist(), B[:, j].tolist(), strict=True)]
            assert abs(Fraction(float(product(A, B)[i, j])) - sum(terms)) <= g(8) * sum(map(abs, terms))


def test_cholesky_and_the_triangular_systems() -> None:
    """L Lᵀ is the matrix, the systems have small residuals, several matrices are done at once, no other has a root."""
    generator = np.random.default_rng(2)
    X = generator.normal(size=(3, 40, 12))
    A = np.array([product(x.T, x) for x in X])
    L, B = cholesky(A), generator.normal(size=(12, 2))
    assert np.array_equal(L, np.tril(L))
    for lower, matrix in zip(L, A, strict=True):
        size = product(np.abs(lower), np.abs(lower.T))
        assert np.all(np.abs(product(lower, lower.T) - matrix) <= float(2 * g(14)) * size)
        for solution, triangle in ((solve_lower(lower, B), lower), (solve_upper(lower.T, B), lower.T)):
            bound = float(2 * g(14)) * product(np.abs(triangle), np.abs(solution))
            assert np.all(np.abs(product(triangle, solution) - B) <= bound)
        assert np.array_equal(solve_lower(L, np.broadcast_to(B, (3, 12, 2)))[0], solve_lower(L[0], B))
    assert np.isnan(cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))).any()


def spread(low: float, high: float, seed: int = 0) -> np.ndarray:
    """Return numbers between two bounds, many of them near 0."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.uniform(low, high, 600), generator.uniform(-1, 1, 300) * min(1.0, high)])


@pytest.mark.parametrize(
    ("function", "exact", "values", "bound"),
    [
        (exp, lambda x: x.exp(), spread(-708.0, 709.7), 1.0),
        (exp, lambda x: x.exp(), spread(-745.0, -708.0)[:600], 1.0),
        (log, lambda x: x.ln(), np.abs(spread(0.5, 2.0)), 1.0),
        (log, lambda x: x.ln(), np.ldexp(np.abs(spread(0.5, 1.0)), np.arange(900) - 600), 1.0),
        (log, lambda x: x.ln(), 1 + spread(-1e-6, 1e-6), 1.0),
        (log1p, lambda x: (1 + x).ln(), np.ldexp(np.abs(spread(0.5, 1.0)), np.arange(900) // 15 - 50), 5.0),
        (expit, lambda x: 1 / (1 + (-x).exp()), spread(-700.0, 40.0), 5.0),
    ],
)
def test_functions_are_within_their_bounds(
    function: Callable[[np.ndarray], np.ndarray], exact: Callable[[Decimal], Decimal], values: np.ndarray, bound: float
) -> None:
    """Against the standard library's decimal arithmetic with 40 digits."""
    with localcontext(prec=40):
        assert ulps(function(values), [exact(Decimal(value)) for value in values.tolist()]) < bound


def test_edges() -> None:
    """Zeros, infinities, no number, the largest and the least, and no warning."""
    inf, nan, tiny = math.inf, math.nan, 5e-324
    x = np.array([0.0, -0.0, inf, -inf, nan, 710.0, -746.0, 709.782712893384, -745.13, -1e300, 1e300, tiny])
    expected = [1.0, 1.0, inf, 0.0, nan, inf, 0.0, 1.7976931348622732e308, tiny, 0.0, inf, 1.0]
    assert np.array_equal(exp(x), expected, equal_nan=True)
    x = np.array([0.0, -0.0, inf, -inf, nan, -1.0, 1.0, tiny, 1.7976931348623157e308])
    expected = [-inf, -inf, inf, nan, nan, nan, 0.0, -744.4400719213812, 709.782712893384]
    assert np.array_equal(log(x), expected, equal_nan=True)
    x = np.array([0.0, inf, nan, tiny, 1e-300, 1.7976931348623157e308])
    assert np.array_equal(log1p(x), [0.0, inf, nan, tiny, 1e-300, 709.782712893384], equal_nan=True)
    assert np.array_equal(expit(np.array([0.0, inf, -inf, nan, -800.0])), [0.5, 1.0, 0.0, nan, 0.0], equal_nan=True)


def test_softmax_and_log_sum_exp() -> None:
    """Shares sum to 1; scores of any size overflow nothing; a sum of nearly 1 keeps its digits."""
    scores = np.array([[1000.0, 999.0, -1000.0], [0.0, -50.0, -60.0], [3.0, 3.0, 3.0]])
    with localcontext(prec=40):
        for row, shares, value in zip(scores.tolist(), softmax(scores), log_sum_exp(scores), strict=True):
            powers = [Decimal(score).exp() for score in row]
            assert np.allclose(shares, [float(power / sum(powers)) for power in powers], rtol=1e-15, atol=1e-300)
            assert abs(value - float(sum(powers).ln())) <= 4e-16 * abs(value)
    assert np.array_equal(softmax(scores.T, axis=0).T, softmax(scores))
    assert np.array_equal(log_sum_exp(scores.T, axis=0), log_sum_exp(scores))


def test_known_bits() -> None:
    """These bits are those of every machine: one that gives others has a fault, or numpy contracts its operations."""
    x = np.linspace(-3, 7, 2001)
    found = [
        total(x * x),
        product(x[None], exp(x)[:, None])[0, 0],
        total(log(np.abs(x) + 0.25)),
        total(expit(x)),
        log_sum_exp(x[None])[0],
        cholesky(np.array([[2.0, 0.3], [0.3, 1.1]]))[1, 1],
    ]
    assert [float(value).hex() for value in found] == KNOWN


KNOWN = [
    "0x1.81deb33333334p+14",
    "0x1.423a16aa80390p+20",
    "0x1.bcb22cf60dcc9p+10",
    "0x1.5bbf3c682887dp+10",
    "0x1.899fead1ccacfp+3",
    "0x1.06f21e3ca0f7fp+0",
]
