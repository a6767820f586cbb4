"""Bins: the edges that cut a number's values into bins with about as many rows each, and the rows in each bin."""

import itertools
import math
import sys
from collections.abc import Sequence

import numpy as np

from artifact_flow.core.base.figures import decimal_place, round_figure

BINS = 10  # quantile bins of a number's reference distribution; frequent single values get bins of their own besides
EDGE_DIGITS = 4  # edges are rounded to this many significant digits of the distance between two of them
FLOAT32_ROUNDING = 2.0**-23  # relative error of a number converted to float32
FLOAT64_NOISE = 2.0**-40  # relative; above the error of interpolating two values, below that of float32


def draw_edges(values: np.ndarray, std: float) -> list[float]:
    """Return the rounded bin edges of values, float64 [rows], that are not all equal; `std` is their deviation."""
    return _round_edges(_cut(values, std))


def count_bins(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Return the number of values in each bin of `edges`; the first and last bins include values beyond the range.

    A value that was on an edge and is just above it after a conversion to float32 still counts as on the edge. The
    contract's shares and the service's rows are both counted by this function, so that equal rows give equal shares.
    """
    inner = np.array(edges[1:-1], np.float64)
    with np.errstate(over="ignore"):
        inner += np.minimum(FLOAT32_ROUNDING * np.abs(inner), 0.001 * np.diff(edges[1:]))
    return np.bincount(np.searchsorted(inner, values, side="left"), minlength=len(inner) + 1)


def _cut(values: np.ndarray, std: float) -> list[float]:
    """Return the bin edges of values that are not all equal: deciles, and edges that isolate frequent values.

    A value that equals two deciles, such as 0 in a column that is mostly zero, gets its own bin: one edge is the value
    itself, and one is just below it, by at most a hundredth of the standard deviation. If the value is the minimum or
    the maximum, the values beyond it get a bin too.
    """
    unit = 4 if np.abs(values).max() > sys.float_info.max / 4 else 1  # a unit in which no sum or difference overflows
    values, near = values / unit, std / unit / 100
    deciles = np.quantile(values, np.linspace(0, 1, BINS + 1)).tolist()
    low, high = deciles[0], deciles[-1]
    tied = {one for one, other in itertools.pairwise(deciles) if one == other}
    edges = {edge for edge in deciles[1:-1] if edge < high}
    for value in tied - {low}:
        below = float(values[values < value].max())
        if not any(below <= edge < value for edge in edges):
            edges.add(_just_below(value, min((value - below) / 2, near)))
    first, last = [low], [high]
    if low in tied:
        below = _just_below(low, near)
        first = [below] * 2 if math.isfinite(unit * below) else first
    if high in tied:
        last = [high] * 2
    return [unit * edge for edge in (*first, *sorted(edges), *last)]


def _just_below(value: float, distance: float) -> float:
    """Return a number below a value: by a power of ten up to `distance`, or the next float if that is further."""
    step = 10.0 ** -decimal_place(1, distance) if distance else 0.0
    return min(value - step, math.nextafter(value, -math.inf))


def _round_edges(edges: list[float]) -> list[float]:
    """Return the edges with the inner ones rounded, by too little to change what the bins show.

    They are rounded up, so that a value that equals an edge stays in its bin; an error as small as interpolation's may
    be rounded in either direction.
    """
    rounded = list(edges)
    for i in range(1, len(edges) - 1):
        distance = min(d for d in (edges[i] - edges[i - 1], edges[i + 1] - edges[i]) if d > 0)
        edge = round_figure(edges[i], EDGE_DIGITS, distance)
        if edges[i] - edge > min(FLOAT64_NOISE * abs(edges[i]), distance / 10_000):
            edge = round_figure(edge + 10.0 ** -decimal_place(EDGE_DIGITS, distance), EDGE_DIGITS, distance)
        if (edges[i - 1] == edges[i] or edges[i - 1] < edge) and edge < edges[i + 1]:
            rounded[i] = edge
    if edges[0] == edges[1]:
        rounded[0] = rounded[1]
    return rounded
