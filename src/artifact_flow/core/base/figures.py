"""Figures: numbers as they are written and shown. Pure; of the standard library only."""

import math
from decimal import Decimal

# significant digits of a metric or a score: one row of ten million still shows in a share, a large error is not
# written to the fourth decimal place, and the last digits of a sum are nobody's promise
DIGITS = 8
SHOWN = 4  # significant digits that a person is shown


def round_figure(value: float, digits: int = DIGITS, scale: float | None = None) -> float:
    """Return a number rounded to the decimal place at which `scale`, by default itself, has its last digit of `digits`.

    A difference has the scale of what it is the difference of: smaller digits are what rounding left of them. By a
    scale that is 0 or infinite, nothing is rounded.
    """
    if scale is None:
        return float(f"{value:.{digits}g}")
    if not scale or not math.isfinite(scale):
        return float(value)
    try:
        return round(float(value), decimal_place(digits, scale))
    except OverflowError:  # next to the largest number
        return float(value)


def decimal_place(digits: int, scale: float) -> int:
    """Return the decimal place, as `round` counts it, at which a finite number has its last digit of `digits`."""
    return digits - 1 - int(f"{scale:.{digits - 1}e}".partition("e")[2])


def show_figure(value: float) -> str:
    """Return a number for people: four significant digits, without an exponent."""
    return f"{Decimal(f'{value:#.{SHOWN}g}'):f}"
