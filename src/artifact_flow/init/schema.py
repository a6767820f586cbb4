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

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Role, Task
from artifact_flow.core.table.columns import FALSE, TRUE, missing_columns
from artifact_flow.core.table.source import Form, read_names
from artifact_flow.core.table.typed_rows import read_texts
from artifact_flow.init.identifiers import identifier_reason
from artifact_flow.init.orders import UNCLEAR, tell_date

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"
COMMA_NUMBER = r"^[+-]?\d{1,3}([., ]?\d{3})*,\d+$"
WHOLE, PADDED = r"^[+-]?\d+$", r"^0\d\d+$"
BOOLEANS = [{yes, no} for yes, no in zip(TRUE, FALSE, strict=True)]
SET = "set by you"
MOSTLY = 0.9  # share of values that are numbers, from which a few texts among them are an error
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
    """The roles and the task that the user sets, which take precedence over the inferred ones."""

    categories: Collection[str] = ()
    left_out: Collection[str] = ()
    day_first: Collection[str] = ()
    month_first: Collection[str] = ()
    id: str | None = None
    task: Task | None = None


@dataclass(frozen=True)
class Schema:
    """A table's number of rows, its target and task, its columns without the target, and what else to tell."""

    rows: int
    target: ColumnSchema
    task: Task
    columns: list[ColumnSchema]
    notes: Sequence[str] = ()


def understand(path: Path, form: Form, target: str, overrides: Overrides) -> Schema:
    """Return the schema of the table in `path`.

    Raises DataError naming a column that does not exist, a target that cannot be predicted, or the first row with a
    text in a column that is otherwise numbers.
    """
    names = read_names(path, form)
    named = (overrides.categories, overrides.left_out, overrides.day_first, overrides.month_first)
    missing_columns([target, *(name for one in named for name in one), *filter(None, [overrides.id])], names, path)
    table = read_texts(path, form, [name for name in names if name not in overrides.left_out or name == target])
    columns = []
    for name in names:
        if name == target:
            continue
        if name in overrides.left_out:
            columns.append(ColumnSchema(name, "left out", None, None, SET))
            continue
        columns.append(classify_column(name, table[name], overrides))
        if columns[-1].note != SET and columns[-1].role not in ("number", "boolean"):
            _refuse_mixed(path, name, table[name], form, f"; or, if the column is text, add --category {name}")
    _refuse_unclear(path, [column.name for column in columns if column.note == UNCLEAR])
    ids = [column for column in columns if column.role == "id"]
    columns = [
        replace(column, role="left out", note=f"{column.note}, and there is an identifier already")
        if column in ids[1:]
        else column
        for column in columns
    ]
    if not any(column.role not in ("id", "left out") for column in columns):
        raise DataError(f"{path}: no column is left to predict {target} from.")
    if overrides.task != "classification":
        _refuse_mixed(path, target, table[target], form, "; or, if it is a class, add --task classification")
    found, task = classify_target(path, target, table[target], overrides.task)
    return Schema(table.num_rows, found, task, columns, _notes(table, columns, found, task))


def classify_column(  # noqa: PLR0911, PLR0912 - a rule, a return
    name: str, values: pa.ChunkedArray, overrides: Overrides
) -> ColumnSchema:
    """Return the role of a column of texts, in which a missing value is null."""
    present = values.drop_null()
    said = {*overrides.categories, *overrides.day_first, *overrides.month_first, overrides.id}
    numbers = None if name in said else _to_numbers(present)
    if numbers is not None and not _are_whole(numbers) and (values.null_count or np.ptp(numbers)):
        return ColumnSchema(name, "number", values.null_count, _count_distinct(numbers))
    distinct = pc.unique(present)
    counts = values.null_count, len(distinct)
    if name == overrides.id or name in overrides.categories:
        return ColumnSchema(name, "id" if name == overrides.id else "category", *counts, SET)
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
    numbers, reason = _to_numbers(distinct), ""
    if numbers is not None:
        whole = _are_whole(numbers) and _all_match(distinct, WHOLE)
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
    if _all_match(distinct, COMMA_NUMBER):
        return ColumnSchema(name, "left out", *counts, "numbers with a decimal comma: write 3.14")
    if unique:
        return ColumnSchema(name, "left out" if overrides.id else "id", *counts, reason or "as many values as rows")
    if len(distinct) > MANY or len(distinct) > max(FEW_CLASSES, len(present) / 2):
        return ColumnSchema(name, "left out", *counts, f"{reason or 'free text'}: too many values for a category")
    return ColumnSchema(name, "category", *counts, reason or differ_in_case(distinct))


def classify_target(path: Path, name: str, values: pa.ChunkedArray, task: Task | None) -> tuple[ColumnSchema, Task]:
    """Return the target as a column, noting why its task is what it is, and the task.

    Texts and few whole numbers are classes; other numbers are a regression. The note names the flag for the other task
    where that is possible.
    """
    present = values.drop_null()
    measures = _to_numbers(present)
    if measures is not None and not _are_whole(measures) and task != "classification":
        known = _count_distinct(measures)
        classes = 2 <= known <= len(values) / 2
        hint = f", {SET}" if task else " (or --task classification)" if classes else ""
        return ColumnSchema(name, "number", values.null_count, known, f"regression{hint}"), "regression"
    distinct = pc.unique(present)
    counts = values.null_count, len(distinct)
    numbers = _to_numbers(distinct) is not None
    whole = numbers and _all_match(distinct, r"^[+-]?\d+(\.0*)?$")
    because = f"because it has {len(distinct)} distinct whole numbers" if whole else "because its values are text"
    classes = 2 <= len(distinct) <= len(values) / 2
    found: Task = "regression" if numbers and not (whole and len(distinct) <= FEW_CLASSES) else "classification"
    if (task or found) == "regression":
        if not numbers:
            first = next(text for text in distinct.to_pylist() if not re.match(NUMBER, text))
            raise DataError(f"{path}: {name}, the target, is {first!r} in some row, but a regression needs numbers.")
        hint = "" if task else " (or --task classification)" if classes else ""
        return ColumnSchema(name, "number", *counts, f"regression{', ' + SET if task else hint}"), "regression"
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


def differ_in_case(distinct: pa.Array) -> str:
    """Return a sentence about two of the texts that differ in nothing but case, or ""."""
    seen: dict[str, str] = {}
    for text in distinct.to_pylist() if len(distinct) <= MANY else ():
        other = seen.setdefault(text.casefold(), text)
        if other != text:
            return f"{other} and {text} differ in case only"
    return ""


def count_repeated(table: pa.Table, names: Sequence[str]) -> int:
    """Return the number of rows that equal an earlier row in the named columns."""
    rows = np.zeros(table.num_rows, np.uint64)
    for place, name in enumerate(names, start=1):
        numbers = _to_numbers(table[name])
        if numbers is None:
            codes = table[name].combine_chunks().dictionary_encode().indices.fill_null(-1)
            numbers = codes.to_numpy(zero_copy_only=False).astype(np.float64)
        rows = (rows ^ numbers.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        rows ^= rows >> np.uint64(29)
        if place & (place - 1) == 0 and _count_distinct(rows) == len(rows):
            return 0
    return len(rows) - _count_distinct(rows)


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


def _to_numbers(texts: pa.Array) -> np.ndarray | None:
    """Return texts as float64, or None when some are no numbers."""
    try:
        if not len(texts):
            return None
        return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return None


def _are_whole(numbers: np.ndarray) -> bool:
    return bool((numbers == np.trunc(numbers)).all())


def _count_distinct(values: np.ndarray) -> int:
    """Return the number of distinct values of at least one; sorting takes a tenth of the time of `numpy.unique`."""
    ordered = np.sort(values)
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


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


def _all_match(distinct: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(distinct, pattern)).as_py())


def _refuse_mixed(path: Path, name: str, values: pa.ChunkedArray, form: Form, other: str) -> None:
    """Raise DataError when nearly all values are numbers; `other` names the other roles the column may have."""
    if _to_numbers(values) is not None:
        return
    numbers = pc.match_substring_regex(values, NUMBER)
    share = (pc.mean(numbers).as_py() or 0) if len(values) else 0
    if not MOSTLY <= share < 1:
        return
    place = pc.index(numbers, pa.scalar(False)).as_py()
    text = values[place].as_py()
    raise DataError(
        f"{path}, row {place + 1 + form.header}: {name} is {text!r}, but {share:.1%} of its values are numbers: fix "
        f"it; or, if it stands for a missing value, add --missing {shlex.quote(text)}{other}; or leave "
        f"the column out with --leave-out {shlex.quote(name)}."
    )
