"""Figures: how numbers are rounded in files and shown to people. Pure; standard library only."""

import math
from decimal import Decimal

# Significant digits of a metric or a score: enough for one row in ten million to change a share, while a large error is
# not written to needless decimal places, and the last digits of a sum, which are not reproducible, are dropped.
DIGITS = 8
SHOWN_DIGITS = 4  # significant digits of a number shown to a person


def round_figure(value: float, digits: int = DIGITS, scale: float | None = None) -> float:
    """Return a number rounded to the decimal place of the last of `digits` significant digits of `scale`.

    `scale` is the number itself by default. For a difference, pass the scale of its operands: smaller digits are only
    their rounding errors. A scale of 0 or infinity leaves the number as it is.
    """
    if scale is None:
        return float(f"{value:.{digits}g}")
    if not scale or not math.isfinite(scale):
        return float(value)
    try:
        return round(float(value), decimal_place(digits, scale))
    except OverflowError:  # rounding up would exceed the largest float
        return float(value)


def decimal_place(digits: int, scale: float) -> int:
    """Return the decimal place, as `round` counts, of the last of a finite number's `digits` significant digits."""
    return digits - 1 - int(f"{scale:.{digits - 1}e}".partition("e")[2])


def show_figure(value: float) -> str:
    """Return a number as text for people: four significant digits, no exponent."""
    return f"{Decimal(f'{value:#.{SHOWN_DIGITS}g}'):f}"
