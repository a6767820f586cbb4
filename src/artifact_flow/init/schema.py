"""Schema: the role of each column of a user's table, inferred from its values; `init` writes it to params.yaml.

The thresholds are the constants below. Every decision carries its reason, and the user can override every one.
"""

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.cells import FALSE, PLAIN, TRUE
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Role, Task
from artifact_flow.core.table.columns import missing_columns
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.names import Header
from artifact_flow.core.table.source import read_header
from artifact_flow.core.table.typed_rows import read_texts
from artifact_flow.init.identifiers import identifier_reason
from artifact_flow.init.mixed import find_mixed, refuse_mixed
from artifact_flow.init.orders import UNCLEAR, tell_date
from artifact_flow.init.reading import Hints, Reading, note_unknown_class, read_as_meant
from artifact_flow.init.repeats import count_repeated, differ_in_case
from artifact_flow.init.values import all_match, are_whole, count_distinct, to_numbers

WHOLE, PADDED = r"^[+-]?\d+$", r"^0\d\d+$"
BOOLEANS = [{yes, no} for yes, no in zip(TRUE, FALSE, strict=True)]
SET = "set by you"
WORDS = 5  # in half of a column's distinct texts, at least, from which they are texts to learn from; names have fewer
MANY = 255  # distinct texts above which a column is free text, as it is above half the number of rows
FEW_CLASSES = 20  # a target with at most so many distinct whole numbers is a class
FIRST_DATE, LAST_DATE = 19000101, 20991231  # written without marks
EXACT = 2.0**53  # whole numbers from here on are not all exact in float64


@dataclass(frozen=True)
class ColumnSchema:
    """The inferred role of a column, with the counts and the reason behind it."""

    name: str
    role: Role
    missing: int | None  # None: not read
    distinct: int | None
    note: str = ""


@dataclass(frozen=True)
class Overrides:
    """The roles, the task and the decimal mark that the user sets, which take precedence over the inferred ones."""

    categories: Collection[str] = ()
    texts: Collection[str] = ()
    left_out: Collection[str] = ()
    day_first: Collection[str] = ()
    month_first: Collection[str] = ()
    id: str | None = None
    task: Task | None = None
    decimal: str | None = None


@dataclass(frozen=True)
class Schema:
    """A table's number of rows, its target and task, its columns without the target, and how the file is read."""

    rows: int
    target: ColumnSchema
    task: Task
    columns: list[ColumnSchema]
    form: Form
    notes: Sequence[str] = ()


def understand(path: Path, form: Form, target: str, overrides: Overrides) -> Schema:
    """Return the schema of the table in `path`.

    Raises DataError naming a column that does not exist, a target that cannot be predicted, or the first row with a
    text in a column that is otherwise numbers.
    """
    header = read_header(path, form)
    names = header.names
    named = (overrides.categories, overrides.texts, overrides.left_out, overrides.day_first, overrides.month_first)
    missing_columns([target, *(name for one in named for name in one), *filter(None, [overrides.id])], names, path)
    table = read_texts(path, form, [name for name in names if name not in overrides.left_out or name == target])
    said = {
        *overrides.categories,
        *overrides.texts,
        overrides.id or "",
        target if overrides.task == "classification" else "",
    }
    reading = read_as_meant(path, table, form, Hints(said, overrides.decimal, _are_dates))
    original, table, form, task = table, reading.table, reading.form, overrides.task
    columns, mixed = _classify_columns(table, header, target, overrides), []
    if task != "classification" and to_numbers(table[target].drop_null()) is None:
        mixed += find_mixed(target, table[target], True, "; or, if it is a class, add --task classification")
    task = "regression" if target in form.numbers and task != "classification" else task
    for column in columns:
        if column.role != "number" and column.note != SET and column.name != header.index:
            text = column.role in ("category", "text")
            other = f"; or, if the column is text, add --category {column.name}"
            mixed += find_mixed(column.name, table[column.name], text, other)
    _refuse_unclear(path, [column.name for column in columns if column.note == UNCLEAR])
    refuse_mixed(path, form, mixed)
    ids = sorted((column for column in columns if column.role == "id"), key=lambda column: column.name == header.index)
    columns = [
        replace(column, role="left out", note=f"{column.note}, and there is an identifier already")
        if column in ids[1:]
        else column
        for column in columns
    ]
    if not any(column.role not in ("id", "left out") for column in columns):
        raise DataError(f"{path}: no column is left to predict {target} from.")
    _refuse_lost_classes(path, target, original[target], reading)
    found, task = classify_target(path, target, table[target], task)
    unknown = note_unknown_class(target, pc.unique(table[target].drop_null())) if task == "classification" else []
    notes = [*header.notes, *reading.notes, *unknown, *_notes(table, columns, found, task)]
    return Schema(table.num_rows, found, task, columns, form, notes)


def _classify_columns(table: pa.Table, header: Header, target: str, overrides: Overrides) -> list[ColumnSchema]:
    columns = []
    for name in header.names:
        if name == target:
            continue
        if name in overrides.left_out:
            columns.append(ColumnSchema(name, "left out", None, None, SET))
            continue
        column = classify_column(name, table[name], overrides)
        index = name == header.index and column.note not in (SET, "empty")
        columns.append(_classify_index(table[name], column) if index else column)
    return columns


def classify_column(  # noqa: PLR0911, PLR0912 - a rule, a return
    name: str, values: pa.ChunkedArray, overrides: Overrides
) -> ColumnSchema:
    """Return the role of a column of texts, in which a missing value is null."""
    present = values.drop_null()
    said = {*overrides.categories, *overrides.texts, *overrides.day_first, *overrides.month_first, overrides.id}
    numbers = None if name in said else to_numbers(present)
    if numbers is not None and not are_whole(numbers) and (values.null_count or np.ptp(numbers)):
        return ColumnSchema(name, "number", values.null_count, count_distinct(numbers))
    distinct = pc.unique(present)
    counts = values.null_count, len(distinct)
    if given := _given_text(name, overrides):
        return ColumnSchema(name, given, *counts, SET)
    if not len(distinct):
        return ColumnSchema(name, "left out", *counts, "empty")
    if len(distinct) == 1 and not values.null_count:
        return ColumnSchema(name, "left out", *counts, f"constant: {distinct[0]}")
    if name in overrides.day_first or name in overrides.month_first:
        order: Role = "day-first date" if name in overrides.day_first else "month-first date"
        return ColumnSchema(name, order, *counts, SET)
    unique = len(distinct) == len(values) and len(values) > FEW_CLASSES
    if len(distinct) <= len(TRUE) and _are_booleans(distinct.to_pylist()):
        return ColumnSchema(name, "boolean", *counts)
    numbers, reason = to_numbers(distinct), ""
    if numbers is not None:
        whole = are_whole(numbers) and all_match(distinct, WHOLE)
        reason = _code_reason(distinct, numbers) if whole else ""
        dated = FIRST_DATE <= numbers.min() <= numbers.max() <= LAST_DATE
        if whole and dated and not reason and (date := tell_date(distinct)):
            return ColumnSchema(name, date[0], *counts, date[1])
        named = identifier_reason(name, numbers) if whole and unique and not reason else ""
        if named and overrides.id:
            return ColumnSchema(name, "left out", *counts, f"{named}, and there is an identifier already")
        if not reason:
            return ColumnSchema(name, "id" if named else "number", *counts, named)
    elif date := tell_date(distinct):
        return ColumnSchema(name, date[0], *counts, date[1])
    many = len(distinct) > MANY or len(distinct) > max(FEW_CLASSES, len(present) / 2)
    if many and numbers is None and (words := _count_words(distinct)) >= WORDS:
        return ColumnSchema(name, "text", *counts, f"free text of {words} words, by the median; or --leave-out")
    if unique:
        return ColumnSchema(name, "left out" if overrides.id else "id", *counts, reason or "as many values as rows")
    if many:
        return ColumnSchema(name, "left out", *counts, f"{reason or 'short texts'}: too many values for a category")
    return ColumnSchema(name, "category", *counts, reason or differ_in_case(distinct))


def _given_text(name: str, overrides: Overrides) -> Role | None:
    """Return the role of a column that the user takes for the identifier, a category or a text."""
    if name == overrides.id:
        return "id"
    return "category" if name in overrides.categories else "text" if name in overrides.texts else None


def _count_words(distinct: pa.Array) -> int:
    """Return the median number of words, parted by blanks, of at least one text."""
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(distinct)))
    return int(np.median(words.to_numpy(zero_copy_only=False)))


def classify_target(path: Path, name: str, values: pa.ChunkedArray, task: Task | None) -> tuple[ColumnSchema, Task]:
    """Return the target as a column, noting why its task is what it is, and the task.

    Texts and few whole numbers are classes; other numbers are a regression. The note names the flag for the other task
    where that is possible.
    """
    present = values.drop_null()
    measures = to_numbers(present)
    if measures is not None and not are_whole(measures) and task != "classification":
        return _regression(name, values, count_distinct(measures), task)
    distinct = pc.unique(present)
    counts = values.null_count, len(distinct)
    numbers = to_numbers(distinct) is not None
    whole = numbers and all_match(distinct, r"^[+-]?\d+(\.0*)?$")
    because = f"because it has {len(distinct)} distinct whole numbers" if whole else "because its values are text"
    found: Task = "regression" if numbers and not (whole and len(distinct) <= FEW_CLASSES) else "classification"
    if (task or found) == "regression":
        if not numbers:
            first = next(text for text in distinct.to_pylist() if not re.match(PLAIN, text))
            raise DataError(f"{path}: {name}, the target, is {first!r} in some row, but a regression needs numbers.")
        return _regression(name, values, len(distinct), task)
    if len(distinct) < 2:
        found_classes = f"only the class {distinct[0]}" if len(distinct) else "no value"
        raise DataError(f"{path}: {name}, the target, holds {found_classes}: a classifier needs at least two classes.")
    if len(distinct) * 2 > len(values):
        raise DataError(
            f"{path}: {name}, the target, holds {len(distinct)} distinct values in {len(values)} rows, fewer than two "
            "rows per class: choose another target."
        )
    hint = SET if task else f"{because} (or --task regression)" if numbers else because
    return ColumnSchema(name, "category", *counts, f"classification, {hint}"), "classification"


def _regression(name: str, values: pa.ChunkedArray, distinct: int, task: Task | None) -> tuple[ColumnSchema, Task]:
    classes = 2 <= distinct <= len(values) / 2
    hint = f", {SET}" if task else " (or --task classification)" if classes else ""
    return ColumnSchema(name, "number", values.null_count, distinct, f"regression{hint}"), "regression"


def _notes(table: pa.Table, columns: Sequence[ColumnSchema], target: ColumnSchema, task: Task) -> list[str]:
    notes = []
    read = [column for column in columns if column.role != "id" and column.distinct is not None]
    read = sorted([target, *read], key=lambda column: -(column.distinct or 0))
    if repeated := count_repeated(table, [column.name for column in read]):
        apart = "" if all(column.role != "id" for column in columns) else " but for their identifier"
        notes.append(
            f"{repeated} of {table.num_rows} rows repeat an earlier row{apart}: a row in both splits makes the test "
            "score too good"
        )
    alike = differ_in_case(pc.unique(table[target.name].drop_null())) if task == "classification" else ""
    if alike:
        notes.append(f"classes of {target.name}, the target, {alike}: write them alike if they are the same")
    return notes


def _are_booleans(texts: list[str]) -> bool:
    return {text.casefold() for text in texts} in BOOLEANS and {*texts} <= {*TRUE, *FALSE}


def _code_reason(distinct: pa.Array, numbers: np.ndarray) -> str:
    """Return why whole numbers are codes, which a number would change, or ""."""
    widths = pc.min_max(pc.utf8_length(distinct)).as_py()
    if widths["min"] == widths["max"] and pc.any(pc.match_substring_regex(distinct, PADDED)).as_py():
        return "codes with leading zeros, kept as text"
    if np.abs(numbers).max() >= EXACT:
        return f"whole numbers of {widths['max']} digits, too long for float64, kept as text"
    return ""


def _refuse_unclear(path: Path, names: Sequence[str]) -> None:
    """Raise DataError when there are columns of dates whose values fit both orders of day and month."""
    if names:
        quoted = shlex.join(names)
        raise DataError(
            f"{path}: every date in {', '.join(names)} may have the day or the month first: add --day-first {quoted} "
            f"or --month-first {quoted}, or leave such columns out with --leave-out {quoted}."
        )


def _classify_index(values: pa.ChunkedArray, column: ColumnSchema) -> ColumnSchema:
    """Return an unnamed first column as the identifier, or left out when its values repeat or are missing."""
    if column.distinct == len(values):
        return replace(column, role="id", note="has no name: the index")
    return replace(column, role="left out", note="has no name: an index that repeats")


def _are_dates(distinct: pa.Array) -> bool:
    return tell_date(distinct) is not None


def _refuse_lost_classes(path: Path, target: str, values: pa.ChunkedArray, reading: Reading) -> None:
    """Raise DataError when a mark that is a gap in other columns is a class of a target that is text."""
    lost = values.filter(pc.and_(values.is_valid(), reading.table[target].is_null()))
    if len(lost) and not all_match(pc.unique(reading.table[target].drop_null()), PLAIN):
        raise DataError(
            f"{path}: {lost[0]} is a class of {target}, the target, and marks a gap in a column of numbers: leave the "
            "gaps empty, or give the class another name."
        )
