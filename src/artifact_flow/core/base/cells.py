"""Cells: one value of a row, as text or as JSON writes it, read by the role of its column. Imports no library.

`core.table` reads whole columns with Arrow by the same words and patterns, so that training, `predict` and the service
read a value alike, or refuse it alike.
"""

import re
from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

from artifact_flow.core.base.dates import RULES, parse_date
from artifact_flow.core.base.params import Role, Style

Value: TypeAlias = float | bool | datetime | str | None  # None is a missing value

TRUE = tuple(form(word) for word in ("true", "yes", "t", "y") for form in (str.lower, str.title, str.upper))
FALSE = tuple(form(word) for word in ("false", "no", "f", "n") for form in (str.lower, str.title, str.upper))
FINITE = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"  # 1234.5, the whole text
NOT_FINITE = r"^[+-]?(?i:inf|infinity|nan)$"
PLAIN = rf"^{FINITE}$|{NOT_FINITE}"
# Unicode's currency symbols (category Sc), which RE2 has a name for and Python has not
_SYMBOLS = (
    "$\u00a2-\u00a5\u058f\u060b\u07fe\u07ff\u09f2\u09f3\u09fb\u0af1\u0bf9\u0e3f\u17db\u20a0-\u20c0\ua838\ufdfc\ufe69"
    "\uff04\uffe0\uffe1\uffe5\uffe6\U00011fdd-\U00011fe0\U0001e2ff\U0001ecb0"
)
_CURRENCY = rf"(?:[A-Z]{{0,3}}[{_SYMBOLS}]|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL)"
SIGN, SPACE = "+\\-\u2212", " \u00a0\u202f"
# style → (the characters that part groups of digits, the decimal mark)
MARKS: dict[Style, tuple[str, str]] = {
    "1234.5": ("", "."),
    "1,234.5": (",", "."),
    "1234,5": ("", ","),
    "1.234,5": (".", ","),
    "1 234.5": (SPACE, "."),
    "1 234,5": (SPACE, ","),
    "1'234.5": ("'\u2019", "."),
}
SUFFIXES = {"k": "e3", "K": "e3", "M": "e6", "B": "e9", "bn": "e9"}


def _pattern(style: Style) -> str:
    """Return the pattern of a style, for RE2 and `re`: its groups are the signs, the digits and what follows them."""
    groups, point = MARKS[style]
    whole = r"\d+"
    if groups:
        lakhs = r"[1-9]\d{0,2}(?:,\d{2})+,\d{3}|" if groups == "," else ""  # 12,34,567, as in India
        whole = rf"{lakhs}[1-9]\d{{0,2}}(?:[{groups}]\d{{3}})+|\d+"
    digits = rf"(?:{whole})(?:[{point}]\d*)?|[{point}]\d+"
    sign = f"[{SIGN}]?"
    return (
        rf"^(?P<open>\(?)(?P<first>{sign})[{SPACE}]*{_CURRENCY}?[{SPACE}]*(?P<second>{sign})"
        rf"(?P<digits>{digits})(?P<end>[eE][+-]?\d+|{'|'.join(SUFFIXES)}|[{SPACE}]*%|)[{SPACE}]*{_CURRENCY}?\)?$"
    )


PATTERNS: dict[Style, str] = {style: _pattern(style) for style in MARKS}
_FINITE, _NOT_FINITE = re.compile(FINITE, re.ASCII), re.compile(NOT_FINITE)


def cell_reader(role: Role, missing: Collection[str], style: Style | None = None) -> Callable[[Any], Value]:
    """Return the function that reads one value of a column: a text, or a value of JSON.

    `missing` are the texts that mark a missing value; `style` is how numbers are written, by default 1234.5. The
    function raises ValueError when a value does not fit the role.
    """
    gaps = frozenset((*missing, ""))
    if role == "number":
        pattern = re.compile(PATTERNS[style], re.ASCII) if style else None
        return partial(_read_number, gaps=gaps, pattern=pattern, style=style)
    if role == "boolean":
        return partial(_read_boolean, gaps=gaps)
    return partial(_read_date, gaps=gaps, role=role) if role in RULES else partial(_read_text, gaps=gaps)


def _read_number(value: Any, gaps: Collection[str], pattern: re.Pattern[str] | None, style: Style | None) -> Value:
    if isinstance(value, str):
        text = value.strip()
        if text in gaps:
            return None
        number = _parse_number(text, pattern, style)
    elif value is None:
        return None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = _as_float(value)
    else:
        raise ValueError("not a number")
    if number - number == 0:  # finite
        return number
    if number != number:  # noqa: PLR0124 - NaN is a missing value
        return None
    raise ValueError("an infinite number")


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _parse_number(text: str, pattern: re.Pattern[str] | None, style: Style | None) -> float:
    if _NOT_FINITE.fullmatch(text):
        return float(text)
    if style is None or pattern is None:
        if not _FINITE.fullmatch(text):
            raise ValueError("not a number")
        return float(text)
    parts = pattern.fullmatch(text)
    if not parts:
        raise ValueError(f"not a number written as {style}")
    groups, point = MARKS[style]
    digits = parts["digits"].translate(dict.fromkeys(map(ord, groups))).replace(point, ".")
    end = parts["end"].strip(f"{SPACE}%")
    value = float(digits + SUFFIXES.get(end, end))
    minus = "-\u2212"
    negative = parts["open"] or any(sign and sign in minus for sign in (parts["first"], parts["second"]))
    return -value if negative else value


def _read_boolean(value: Any, gaps: Collection[str]) -> Value:
    if isinstance(value, str):
        text = value.strip()
        if text in gaps:
            return None
        if text in TRUE or text == "1":
            return True
        if text in FALSE or text == "0":
            return False
    elif value is None:
        return None
    elif isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise ValueError("neither true nor false")


def _read_date(value: Any, gaps: Collection[str], role: str) -> Value:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # 20240115
    if value is None or (isinstance(value, str) and value.strip() in gaps):
        return None
    if not isinstance(value, str):
        raise ValueError("a date is text")
    try:
        return parse_date(value, role)
    except OverflowError as error:  # an offset that leads out of the calendar
        raise ValueError("not a date") from error


def _read_text(value: Any, gaps: Collection[str]) -> Value:
    if isinstance(value, str):
        text = value.strip()
        return None if text in gaps else text
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) < 2**63:
        return str(value)
    if isinstance(value, float) and value - value == 0:
        return _write_number(value)
    raise ValueError("not text")


def _write_number(value: float) -> str:
    """Return a number as Arrow writes it in a column of texts: 5 for 5.0, and 0.00001."""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if 1e-6 <= abs(value) < 1e-4:
        return f"{Decimal(repr(value)):f}"
    return repr(value).replace("e-0", "e-")
