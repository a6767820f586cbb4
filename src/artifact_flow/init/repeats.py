"""Repeats: rows that occur twice, and texts that differ in nothing but case."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from artifact_flow.init.values import count_distinct, to_numbers

COMPARED = 255  # distinct texts up to which they are compared


def differ_in_case(distinct: pa.Array) -> str:
    """Return a sentence about two of the texts that differ in nothing but case, or ""."""
    seen: dict[str, str] = {}
    for text in distinct.to_pylist() if len(distinct) <= COMPARED else ():
        other = seen.setdefault(text.casefold(), text)
        if other != text:
            return f"{other} and {text} differ in case only"
    return ""


def count_repeated(table: pa.Table, names: Sequence[str]) -> int:
    """Return the number of rows that equal an earlier row in the named columns."""
    rows = np.zeros(table.num_rows, np.uint64)
    for place, name in enumerate(names, start=1):
        numbers = to_numbers(table[name])
        if numbers is None:
            codes = table[name].combine_chunks().dictionary_encode().indices.fill_null(-1)
            numbers = codes.to_numpy(zero_copy_only=False).astype(np.float64)
        rows = (rows ^ numbers.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        rows ^= rows >> np.uint64(29)
        if place & (place - 1) == 0 and count_distinct(rows) == len(rows):
            return 0
    return len(rows) - count_distinct(rows)
