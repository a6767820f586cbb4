"""Fixed order: sums, products, triangular systems, exp and log whose every bit is the same on every machine.

Each function is a fixed sequence of elementwise numpy operations: + - * / and square root, which IEEE 754 rounds
correctly, comparisons, and changes of exponents, which are exact. numpy never contracts a multiplication and the
addition after it, which are two calls, into one rounding. Neither BLAS nor libm nor `numpy.sum` is used: their order
of operations depends on the machine. What depends on sizes here is the way through memory, never the order of a sum.

In the bounds u = 2^-53 is the unit roundoff and g(m) = m u / (1 - m u). Sources: Higham, Accuracy and Stability of
Numerical Algorithms, 2nd edition, 2002 (sums: section 4.2, products: 3.5, Cholesky: 10.1, triangular systems: 8.1);
Muller, Elementary Functions, 3rd edition, 2016 (range reduction: chapter 11). Arrays are float64; sums,
products and triangular systems of float32 are float32, with u = 2^-24.
"""

import math

import numpy as np

CHUNK = 1 << 17  # products that are held at a time: 1 MB, which a core's caches hold
SHORT = 64  # terms of a sum from which on the sums, and no longer the terms of one, lie beside each other
NARROW = 16  # sums at a time for which it is better that the terms of one lie beside each other

# ln 2 = LN2_HIGH + LN2_LOW: the first has 32 bits, so that its products with whole numbers up to 2^21 are exact
LN2_HIGH = float.fromhex("0x1.62e42feep-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
OVERFLOW = float.fromhex("0x1.62e42fefa39efp+9")  # exp of more is infinite
UNDERFLOW = -745.2  # exp of less is 0: it is less than half the least subnormal number
# 2 B(2k) / (2k)! for k = 1 to 6, from the Bernoulli numbers: r coth(r/2) - 2 = r^2/6 - r^4/360 + ...
COTH = (1 / 6, -1 / 360, 1 / 15120, -1 / 604800, 1 / 23950080, -691 / 653837184000)
ATANH = tuple(2 / (2 * k + 1) for k in range(1, 11))  # 2 atanh(s) = 2 s + s (2/3 s^2 + 2/5 s^4 + ...)


def total(values: np.ndarray, axis: int = -1, overwrite: bool = False) -> np.ndarray:
    """Return the sum along an axis by halving: the second half is added to the first until one element is left.

    Of an odd number the first half has one more. The error is at most g(ceil(log2 n)) times the sum of magnitudes.
    With `overwrite` the values may be lost, which saves a copy.
    """
    terms = np.moveaxis(np.asarray(values), axis, 0)
    if len(terms) <= SHORT or terms.strides[0] > min(terms.strides[1:], default=0):
        return _halve(terms if overwrite else np.array(terms, order="C"))
    rows = np.moveaxis(terms, 0, -1)
    if not (overwrite and rows.flags.c_contiguous):
        rows = np.array(rows, order="C")
    ends = np.empty((SHORT, *rows.shape[:-1]), rows.dtype)
    return _halve(ends[: _halve_rows(rows, np.empty_like(rows), ends)])


def spread(values: np.ndarray, axis: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation along an axis, the latter of two passes and over all n values."""
    n = np.shape(values)[axis]
    mean = total(values, axis) / n
    off = values - np.expand_dims(mean, axis)
    return mean, np.sqrt(total(off * off, axis) / n)


def product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return the matrix product of A [n, k] and B [k, m]: each element is the `total` of its k products.

    The error is at most g(ceil(log2 k) + 1) |A| |B|, element by element.
    """
    (n, k), m = A.shape, B.shape[1]
    if n < m:
        return product(B.T, A.T).T
    if 0 in (n, k, m):
        return np.zeros((n, m))
    kind = np.result_type(A, B)
    result = np.empty((m, n), kind).T
    if min(n, CHUNK // k) < NARROW and k > SHORT:  # the terms of a sum lie beside each other
        left, right, rows = np.ascontiguousarray(A), np.ascontiguousarray(B.T), max(1, min(n, CHUNK // k))
        (terms, spare), ends = np.empty((2, rows, k), kind), np.empty((SHORT, rows), kind)
        for i in range(0, n, rows):
            height = min(rows, n - i)
            for j in range(m):
                np.multiply(left[i : i + rows], right[j], out=terms[:height])
                length = _halve_rows(terms[:height], spare[:height], ends[:, :height])
                result[i : i + rows, j] = _halve(ends[:length, :height])
        return result
    # what lies beside each other are the rows of A
    left, right, rows = np.ascontiguousarray(A.T), np.ascontiguousarray(B), min(n, max(1, CHUNK // k))
    columns = max(1, CHUNK // (k * rows))
    buffer = np.empty(k * rows * min(columns, m), kind)
    for i in range(0, n, rows):
        for j in range(0, m, columns):
            height, width = min(rows, n - i), min(columns, m - j)
            terms = buffer[: k * width * height].reshape(k, width, height)
            np.multiply(left[:, None, i : i + rows], right[:, j : j + columns, None], out=terms)
            result[i : i + rows, j : j + columns] = _halve(terms).T
    return result


def cholesky(A: np.ndarray) -> np.ndarray:
    """Return the lower L with A = L Lᵀ for symmetric positive definite matrices of shape [..., n, n].

    L Lᵀ differs from A by at most g(n + 1) |L| |Lᵀ|. A pivot that is not positive gives nan from its column on.
    """
    rest, lower = np.array(A), np.zeros_like(A)
    for j in range(rest.shape[-1]):
        pivot = rest[..., j, j]
        root = np.sqrt(np.where(pivot > 0, pivot, np.nan))
        column = rest[..., j:, j] / root[..., None]
        lower[..., j:, j] = column
        rest[..., j + 1 :, j + 1 :] -= column[..., 1:, None] * column[..., None, 1:]
    return lower


def solve_lower(L: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return X with L X = B for lower triangular L [..., n, n] and B [..., n, m], column by column of L.

    X solves (L + E) X = B with |E| at most g(n) |L|.
    """
    X = np.array(np.broadcast_to(B, (*L.shape[:-2], *B.shape[-2:])))
    for j in range(L.shape[-1]):
        X[..., j, :] /= L[..., j, j, None]
        X[..., j + 1 :, :] -= L[..., j + 1 :, j, None] * X[..., j, None, :]
    return X


def solve_upper(U: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return X with U X = B for upper triangular U [..., n, n] and B [..., n, m]; the error is `solve_lower`'s."""
    return solve_lower(U[..., ::-1, ::-1], B[..., ::-1, :])[..., ::-1, :]


def exp(x: np.ndarray) -> np.ndarray:
    """Return e^x with an error below 1 ulp (below 1 unit of the last place that a subnormal result has).

    x = k ln 2 + r with |r| <= ln 2 / 2, and e^r = 1 + r + r c / (2 - c) with c = r - (r coth(r/2) - 2), as in fdlibm;
    the series of coth is cut off at 2e-18.
    """
    x = np.asarray(x, dtype=np.float64)
    inside = np.minimum(np.maximum(x, UNDERFLOW), OVERFLOW)
    inside = np.where(np.isnan(x), 0.0, inside)
    k = np.rint(inside * INVERSE_LN2)
    high, low = inside - k * LN2_HIGH, k * LN2_LOW
    r = high - low
    c = r - _polynomial(COTH, r * r)
    power = 1 - ((low - r * c / (2 - c)) - high)
    half = np.floor(k * 0.5)  # in two steps, for 2^1024 is no number and a subnormal result must be rounded once
    result = power * _power_of_two(half) * _power_of_two(k - half)
    result = np.where(x > OVERFLOW, np.inf, np.where(x < UNDERFLOW, 0.0, result))
    return np.where(np.isnan(x), np.nan, result)


def log(x: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of x with an error below 1 ulp; -inf of 0, nan of less.

    x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), and log(1 + f) = 2 atanh(s) with s = f / (2 + f), arranged as in
    fdlibm so that f, which is exact, carries the result; the series of atanh is cut off at 3e-20.
    """
    x = np.asarray(x, dtype=np.float64)
    fraction, exponent = np.frexp(np.where((x > 0) & (x < np.inf), x, 1.0))
    small = fraction < math.sqrt(0.5)
    f = np.where(small, 2 * fraction, fraction) - 1
    k = exponent - small.astype(np.float64)
    s = f / (2 + f)
    half_square = 0.5 * f * f
    tail = s * (half_square + _polynomial(ATANH, s * s))
    result = k * LN2_HIGH - ((half_square - (tail + k * LN2_LOW)) - f)
    return np.where(x > 0, np.where(x < np.inf, result, np.inf), np.where(x == 0, -np.inf, np.nan))


def log1p(x: np.ndarray) -> np.ndarray:
    """Return log(1 + x) for x >= 0 with a relative error of at most 5 u (Goldberg 1991, theorem 4)."""
    x = np.asarray(x, dtype=np.float64)
    shifted = 1 + x
    exact = shifted - 1  # what of x the rounding left
    usual = (exact > 0) & (shifted < np.inf)
    return np.where(usual, log(shifted) * (np.where(usual, x, 1.0) / np.where(usual, exact, 1.0)), x)


def expit(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-x), the logistic function, with a relative error of at most 5 u."""
    power = exp(-np.abs(x))
    shares: np.ndarray = np.where(np.asarray(x) < 0, power, 1.0) / (1 + power)
    return shares


def softmax(scores: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return e^score divided by its sum along an axis, by default that of classes in [rows, classes].

    The relative error is at most about 10 u, beside that of the scores' differences.
    """
    powers = exp(scores - np.max(scores, axis=axis, keepdims=True))
    shares: np.ndarray = powers / np.expand_dims(total(powers, axis), axis)
    return shares


def log_sum_exp(scores: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the logarithm of the sum of e^score along an axis, by default that of classes in [rows, classes].

    The largest score stands before the logarithm and its e^0 = 1 inside `log1p`, so that a sum of nearly 1 keeps its
    digits (Blanchard, Higham and Higham 2021).
    """
    places = np.expand_dims(np.argmax(scores, axis=axis), axis)
    largest = np.take_along_axis(scores, places, axis)
    powers = exp(scores - largest)
    np.put_along_axis(powers, places, 0.0, axis)
    logarithms: np.ndarray = np.squeeze(largest, axis) + log1p(total(powers, axis))
    return logarithms


def _halve_rows(terms: np.ndarray, spare: np.ndarray, ends: np.ndarray) -> int:
    """Halve rows [..., n] until they have at most SHORT terms, write these to `ends` and return their number.

    The rows and `spare`, of as many elements, are overwritten in turn: a sum into half of its own rows would be slow.
    """
    n: int = terms.shape[-1]
    while n > SHORT:
        half = (n + 1) // 2
        halved = spare.reshape(-1)[: terms[..., :half].size].reshape(*terms.shape[:-1], half)
        np.add(terms[..., : n - half], terms[..., half:], out=halved[..., : n - half])
        halved[..., n - half :] = terms[..., n - half : half]
        terms, spare, n = halved, terms, half
    ends[:n] = np.moveaxis(terms, -1, 0)
    return n


def _halve(values: np.ndarray) -> np.ndarray:
    """Return the sum of `values`, which is overwritten, along the first axis, by halving."""
    n = len(values)
    if n == 0:
        return np.zeros(values.shape[1:], values.dtype)
    while n > 1:
        half = (n + 1) // 2
        values[: n - half] += values[half:n]
        n = half
    whole: np.ndarray = values[0]
    return whole


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Return c1 x + c2 x^2 + ... by Horner's rule."""
    value: np.ndarray = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value *= x
        value += coefficient
    value *= x
    return value


def _power_of_two(exponent: np.ndarray) -> np.ndarray:
    """Return 2^exponent for whole numbers from -1022 to 1023, made of the bits of a float64."""
    return ((exponent.astype(np.int64) + 1023) << 52).view(np.float64)
