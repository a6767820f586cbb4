"""Figures are rounded to significant digits, and shown without an exponent."""

import math
import sys

import pytest

from artifact_flow.core.base.figures import round_figure, show_figure


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (584480208.2528, 584480210.0),
        (0.9583333333333334, 0.95833333),
        (0.003045217, 0.003045217),
        (-1e-20, -1e-20),
        (0.0, 0.0),
        (1.0, 1.0),
    ],
)
def test_a_figure_has_eight_significant_digits(value: float, rounded: float) -> None:
    """Whatever its unit."""
    assert round_figure(value) == rounded


@pytest.mark.parametrize(
    ("value", "digits", "scale", "rounded"),
    [
        (0.1 + 0.2 - 0.3, 8, 0.3, 0.0),  # what rounding left of a difference
        (1700001234.5678, 6, 3600.0, 1700001234.57),
        (123456.0, 2, 1e5, 120000.0),
        (0.123456, 3, 0.0, 0.123456),
        (0.123456, 3, math.inf, 0.123456),
        (sys.float_info.max, 4, sys.float_info.max, sys.float_info.max),
        (5e-324, 4, 5e-324, 5e-324),
        (9.9999, 3, 9.9999, 10.0),
    ],
)
def test_a_figure_is_rounded_by_the_scale_of_another(value: float, digits: int, scale: float, rounded: float) -> None:
    """A large offset costs no digits; at the ends of what numbers there are, nothing breaks."""
    assert round_figure(value, digits, scale) == rounded


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.958333, "0.9583"),
        (1.0, "1.000"),
        (584480208.2528, "584500000"),
        (16340.8143, "16340"),
        (5363.9, "5364"),
        (0.00304522, "0.003045"),
        (-1068.9, "-1069"),
        (0.0, "0.000"),
        (9999.96, "10000"),
    ],
)
def test_people_are_shown_four_digits(value: float, shown: str) -> None:
    """And never an exponent."""
    assert show_figure(value) == shown
