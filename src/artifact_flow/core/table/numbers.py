"""Numbers: texts such as `$1,000`, `1.234,50`, `45%` and `3.0M` as numbers, once their column's style is known.

A style is how the number 1234.5 is written in the column. In each style a sign, a currency, `%` and the suffixes k, M
and B may stand around the digits; 45% is the number 45. Which style a column has is decided from all of its values.
"""

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.cells import MARKS, NOT_FINITE, PATTERNS, PLAIN, SPACE, SUFFIXES
from artifact_flow.core.base.params import Style

_ANY = "|".join([PLAIN, *(re.sub(r"\?P<\w+>", "?:", pattern) for pattern in PATTERNS.values())])


def parse_numbers(texts: pa.ChunkedArray, style: Style) -> pa.ChunkedArray:
    """Return texts of a style, or plain numbers such as `inf`, as float64; null stays null.

    Raises pa.ArrowInvalid when a text is not written so.
    """
    parts = pc.extract_regex(texts, PATTERNS[style])
    plain = pc.fill_null(pc.match_substring_regex(texts, NOT_FINITE), False)
    if not pc.all(pc.or_(pc.or_(parts.is_valid(), texts.is_null()), plain)).as_py():
        raise pa.ArrowInvalid(f"not a number written as {style}")
    groups, point = MARKS[style]
    digits = pc.struct_field(parts, "digits")
    if groups:
        digits = pc.replace_substring_regex(digits, f"[{groups}]", "")
    digits = pc.replace_substring(digits, point, ".")
    end = pc.replace_substring_regex(pc.struct_field(parts, "end"), f"[{SPACE}]*%", "")
    for suffix, exponent in SUFFIXES.items():
        end = pc.if_else(pc.equal(end, suffix), exponent, end)  # as text: 3.3 times a million would be rounded
    values = pc.binary_join_element_wise(digits, end, "").cast(pa.float64())
    signs = [pc.struct_field(parts, name) for name in ("first", "second")]
    minus = pc.or_(*(pc.is_in(sign, pa.array(["-", "\u2212"])) for sign in signs))
    negative = pc.or_(minus, pc.equal(pc.struct_field(parts, "open"), "("))
    values = pc.if_else(negative, pc.negate(values), values)
    return pc.if_else(plain, pc.if_else(plain, texts, None).cast(pa.float64()), values)


def find_styles(distinct: pa.Array) -> dict[Style, pa.Array]:
    """Return each style in which all of a column's distinct texts are numbers, with these numbers; {} if none fits.

    A column in which only some of the values have a `%` has no style.
    """
    percent = pc.match_substring(distinct, "%")
    if pc.any(percent).as_py() and not pc.all(percent).as_py():
        return {}
    found: dict[Style, pa.Array] = {}
    texts = pa.chunked_array([distinct])
    for style in MARKS:
        try:
            found[style] = parse_numbers(texts, style).combine_chunks()
        except pa.ArrowInvalid:
            continue
    return found


def are_numbers(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return for each text whether it is a number in any style; null for null."""
    return pc.match_substring_regex(texts, _ANY)


def choose_style(styles: Mapping[Style, pa.Array], decimals: Sequence[str]) -> tuple[Style, Style | None]:
    """Return the style of a column, and one that reads its values otherwise, or None if all of them read the same.

    `decimals` are decimal marks by preference; among styles with the same mark, the first of `MARKS` wins.
    """
    mark = next(mark for mark in decimals if any(MARKS[style][1] == mark for style in styles))
    chosen = next(style for style in styles if MARKS[style][1] == mark)
    others = (style for style, values in styles.items() if not values.equals(styles[chosen]))
    return chosen, next(others, None)
