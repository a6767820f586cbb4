"""Reading: what a table's texts mean before roles are decided: which mark a gap, and how each column writes numbers.

Marks such as `n/a` are gaps in a column whose other values are all numbers or dates. The result holds plain numbers and
nulls, so that roles are decided as if the file had been written that way.
"""

import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.cells import MARKS, PLAIN
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Style
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.numbers import are_numbers, choose_style, find_styles, parse_numbers
from artifact_flow.init.values import all_match, are_finite

GAPS = ("null", "none", "na", "n/a", "#n/a", "n.a.", "<na>", "nan", "nil", "missing", "?", ".", "-", "--")  # lower case
SENTINELS = ("-9", "-99", "-999", "-9999", "-99999", "-999.0", "-9999.0", "999", "9999", "99999", "999999")
PROBED = 100  # distinct values that are looked at first: most columns of text are known as such from these
NAMED = 5  # columns or values listed in a note, at most
POINTED = r"^[^.]*\.(\d{1,2}|\d{4,})$|^[+-]?0?\.\d"  # a number whose point cannot part thousands


@dataclass(frozen=True)
class Reading:
    """Texts with null for a gap and plain numbers, the form with which the file reads so, and notes about both."""

    table: pa.Table
    form: Form
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Numbers:
    """A column of numbers: its values without gap marks, and the styles in which all of them are numbers."""

    values: pa.Array | pa.ChunkedArray  # distinct, unless all are plain and finite
    styles: Mapping[Style, pa.Array]
    plain: bool  # every value is written as 1234.5


@dataclass(frozen=True)
class Hints:
    """What is known beforehand: columns that are text, the decimal mark if the user gave one, and what dates are."""

    texts: Collection[str]
    decimal: str | None
    are_dates: Callable[[pa.Array], bool]  # of distinct texts


def read_as_meant(path: Path, table: pa.Table, form: Form, hints: Hints) -> Reading:
    """Return a table of texts as it is meant.

    Raises DataError when a column writes numbers in two ways.
    """
    columns: dict[str, _Numbers] = {}
    gaps: dict[str, pa.Array] = {}
    for name in table.column_names:
        if name in hints.texts:
            continue
        present = table[name].drop_null()
        if are_finite(present):  # so none of them marks a gap
            columns[name] = _Numbers(present, {}, plain=True)
            continue
        distinct = pc.unique(present)
        marks = pc.is_in(pc.utf8_lower(distinct), pa.array(GAPS))
        values = distinct.filter(pc.invert(marks)) if _any(marks) else distinct
        numbers = _find_numbers(path, name, table[name], values, form)
        if numbers:
            columns[name] = numbers
        if len(values) < len(distinct) and len(values) and (numbers or hints.are_dates(values)):
            gaps[name] = distinct.filter(marks)
    styles, notes = _choose_styles(columns, form, hints.decimal)
    missing = dict.fromkeys(text for marks in gaps.values() for text in marks.to_pylist())
    form = replace(form, missing=tuple(dict.fromkeys((*form.missing, *missing))), numbers={**form.numbers, **styles})
    notes = [*_note_gaps(gaps), *notes, *_note_sentinels(table, columns)]
    return Reading(_apply(table, form, list(missing)), form, notes)


def note_unknown_class(target: str, classes: pa.Array) -> list[str]:
    """Return a note for each class of the target that usually marks a gap."""
    marks = classes.filter(pc.is_in(pc.utf8_lower(classes), pa.array(GAPS))).to_pylist()
    return [
        f"{mark} is a class of {target}, the target; if it stands for an unknown class, add --missing "
        f"{shlex.quote(mark)} --drop-missing-target"
        for mark in marks
    ]


def _find_numbers(path: Path, name: str, column: pa.ChunkedArray, values: pa.Array, form: Form) -> _Numbers | None:
    """Return a column of numbers; None for other columns."""
    if not len(values):
        return None
    if all_match(values, PLAIN):
        return _Numbers(values, {}, plain=True)
    if not _all(are_numbers(values[:PROBED])) or not _all(are_numbers(values)):
        return None
    styles = find_styles(values)
    if not styles:
        one, other = _contradiction(values)
        row = pc.index(column, pa.scalar(other)).as_py() + 1 + form.header
        raise DataError(
            f"{path}, row {row}: {name} is {other!r}, but {one!r} elsewhere, so its numbers are written in two ways: "
            f"write them alike, or add --category {name} if it is text, or --leave-out {name}."
        )
    return _Numbers(values, styles, plain=False)


def _contradiction(values: pa.Array) -> tuple[str, str]:
    """Return the first value, and the first that no style reads together with it and those before."""
    first, end = 1, len(values)
    while first < end:
        middle = (first + end) // 2
        first, end = (middle + 1, end) if find_styles(values[: middle + 1]) else (first, middle)
    other = values[first]
    one = next(value for value in values if not find_styles(pa.array([value.as_py(), other.as_py()])))
    return one.as_py(), other.as_py()


def _choose_styles(
    columns: Mapping[str, _Numbers], form: Form, decimal: str | None
) -> tuple[dict[str, Style], list[str]]:
    """Return the style of each column that is not written as 1234.5, and a note about each."""
    comma = decimal == "," or (decimal is None and _prefers_comma(columns, form))
    chosen: dict[str, Style] = {}
    notes = []
    for name, numbers in columns.items():
        styles, values = numbers.styles, numbers.values
        if numbers.plain:
            if not comma or not _any(pc.match_substring(values, ".")):
                continue
            values = pc.unique(values)
            styles = find_styles(values)
        style, other = choose_style(styles, (",", ".") if comma else (".", ","))
        if style == "1234.5" and numbers.plain:
            continue
        chosen[name] = style
        place = _telling(styles[style], styles[other] if other else None, values)
        text, value = values[place].as_py(), styles[style][place].as_py()
        note = f"{name}: {text} is read as {value:.15g}"
        if other:
            note += f"; --decimal {MARKS[other][1]} reads it as {styles[other][place].as_py():.15g}"
        notes.append(note)
    return chosen, notes


def _telling(values: pa.Array, others: pa.Array | None, texts: pa.Array) -> int:
    """Return the place of a value that shows the style: one that another style reads otherwise, or an odd one."""
    shows = pc.not_equal(values, others) if others is not None else pc.invert(pc.match_substring_regex(texts, PLAIN))
    return max(0, int(pc.index(shows, pa.scalar(True)).as_py()))


def _prefers_comma(columns: Mapping[str, _Numbers], form: Form) -> bool:
    """Return whether the file's decimal mark is a comma, by its other columns or, without any, by its separator."""
    allowed = [{MARKS[style][1] for style in one.styles} for one in columns.values()]
    marks = {mark for some in allowed if len(some) == 1 for mark in some}
    if "." in marks or (not marks and form.separator != ";"):
        return False
    return not any(one.plain and _any(pc.match_substring_regex(one.values, POINTED)) for one in columns.values())


def _note_gaps(gaps: Mapping[str, pa.Array]) -> list[str]:
    found: dict[str, list[str]] = {}
    for name, marks in gaps.items():
        for text in marks.to_pylist():
            found.setdefault(text, []).append(name)
    return [
        f"{text} is taken for a missing value, because the other values of {_list(names)} are numbers or dates "
        "(--category COLUMN reads a column as text)"
        for text, names in found.items()
    ]


def _note_sentinels(table: pa.Table, columns: Mapping[str, _Numbers]) -> list[str]:
    """Return a note for each number that may stand for a gap: it repeats, and the others are far from it."""
    found: dict[str, list[str]] = {}
    sentinels = pa.array(SENTINELS)
    for name, numbers in columns.items():
        if not numbers.plain:
            continue
        for text in pc.unique(numbers.values.filter(pc.is_in(numbers.values, sentinels))).to_pylist():
            others = pc.unique(numbers.values.filter(pc.not_equal(numbers.values, text))).cast(pa.float64()).to_numpy()
            value = float(text)
            far = others.min(initial=np.inf) >= 0 if value < 0 else 10 * others.max(initial=-np.inf) < value
            if len(others) > 1 and far and pc.sum(pc.equal(table[name], text)).as_py() > 1:
                found.setdefault(text, []).append(name)
    return [
        f"{text} in {_list(names)} is used as a number; if it stands for a missing value, add --missing {text}"
        for text, names in found.items()
    ]


def _apply(table: pa.Table, form: Form, missing: list[str]) -> pa.Table:
    columns = {}
    for name in table.column_names:
        column = table[name]
        if missing:
            column = pc.if_else(pc.is_in(column, pa.array(missing)), pa.scalar(None, pa.string()), column)
        if name in form.numbers:
            column = parse_numbers(column, form.numbers[name]).cast(pa.string())
        columns[name] = column
    return pa.table(columns)


def _all(found: pa.Array) -> bool:
    return bool(pc.all(found).as_py())


def _any(found: pa.Array) -> bool:
    return bool(pc.any(found).as_py())


def _list(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
