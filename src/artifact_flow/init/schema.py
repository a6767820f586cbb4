"""Schema: the role of each column of a user's table, inferred from its values; `init` writes it to params.yaml.

The thresholds are the constants below. Every decision carries its reason, and the user can override every one.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Role, Task
from artifact_flow.core.table.columns import FALSE, TRUE, missing_columns
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.source import read_header
from artifact_flow.core.table.typed_rows import read_texts
from artifact_flow.init.mixed import find_mixed, refuse_mixed
from artifact_flow.init.reading import Hints, Reading, note_unknown_class, read_as_meant

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"
DATE = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?$"
COMMA_NUMBER = r"^[+-]?\d{1,3}([., ]?\d{3})*,\d+$"
OTHER_DATE = r"^\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?$|^\d{4}/\d{1,2}/\d{1,2}( .*)?$"
IDENTIFIER = re.compile(r"(^|[^a-z])(id|key|index|row|no|nr|number|uuid)$|[a-z]I[dD]$|^$", re.IGNORECASE)
BOOLEANS = [{yes, no} for yes, no in zip(TRUE, FALSE, strict=True)]
SET = "set by you"
MANY = 255  # distinct texts above which a column is free text, as it is above half the number of rows
FEW_CLASSES = 20  # a target with at most so many distinct whole numbers is a class
LEAK_ROWS, LEAK_COLUMNS = 1000, 60  # searched for sums that leak the target


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
    left_out: Collection[str] = ()
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
    notes: list[str] = field(default_factory=list)


def understand(path: Path, form: Form, target: str, overrides: Overrides) -> Schema:
    """Return the schema of the table in `path`.

    Raises DataError naming a column that does not exist, a target that cannot be predicted, or the first row with a
    text in a column that is otherwise numbers.
    """
    header = read_header(path, form)
    names = header.names
    missing_columns([target, *overrides.categories, *overrides.left_out, *filter(None, [overrides.id])], names, path)
    table = read_texts(path, form, [name for name in names if name not in overrides.left_out or name == target])
    said = {*overrides.categories, overrides.id or "", target if overrides.task == "classification" else ""}
    reading = read_as_meant(path, table, form, Hints(said, overrides.decimal, _are_dates))
    original, table, form, task = table, reading.table, reading.form, overrides.task
    columns, mixed = [], []
    if task != "classification":
        mixed += find_mixed(target, table[target], True, "; or, if it is a class, add --task classification")
        task = "regression" if target in form.numbers else task
    for name in names:
        if name == target:
            continue
        if name in overrides.left_out:
            columns.append(ColumnSchema(name, "left out", None, None, SET))
            continue
        column = classify_column(name, table[name], overrides)
        if name == header.index and column.note not in (SET, "empty"):
            columns.append(_classify_index(table[name], column))
            continue
        columns.append(column)
        if columns[-1].note != SET:
            text = columns[-1].role == "category"
            mixed += find_mixed(name, table[name], text, f"; or, if the column is text, add --category {name}")
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
    found = classify_target(path, target, table[target], task)
    unknown = note_unknown_class(target, pc.unique(table[target].drop_null())) if found[1] == "classification" else []
    return Schema(table.num_rows, *found, columns, form, [*header.notes, *reading.notes, *unknown])


def classify_column(  # noqa: PLR0911 - a rule, a return
    name: str, values: pa.ChunkedArray, overrides: Overrides
) -> ColumnSchema:
    """Return the role of a column of texts, in which a missing value is null."""
    present = values.drop_null()
    distinct = pc.unique(present)
    counts = values.null_count, len(distinct)
    if name == overrides.id or name in overrides.categories:
        return ColumnSchema(name, "id" if name == overrides.id else "category", *counts, SET)
    if not len(distinct):
        return ColumnSchema(name, "left out", *counts, "empty")
    if len(distinct) == 1 and not values.null_count:
        return ColumnSchema(name, "left out", *counts, f"constant: {distinct[0]}")
    unique = len(distinct) == len(values) and len(values) > FEW_CLASSES
    if len(distinct) == 2 and set(distinct.to_pylist()) in BOOLEANS:
        return ColumnSchema(name, "boolean", *counts)
    if _all_match(distinct, NUMBER):
        if unique and not overrides.id and _counts_rows(name, present):
            return ColumnSchema(name, "id", *counts, "counts the rows")
        return ColumnSchema(name, "number", *counts)
    if _all_match(distinct, DATE):
        return ColumnSchema(name, "date", *counts, "days since 1970")
    if _all_match(distinct, OTHER_DATE):
        return ColumnSchema(name, "left out", *counts, "a date that is not written as 2026-11-21")
    if _all_match(distinct, COMMA_NUMBER):
        return ColumnSchema(name, "left out", *counts, "numbers with a decimal comma: write 3.14")
    if unique:
        return ColumnSchema(name, "left out" if overrides.id else "id", *counts, "as many values as rows")
    if len(distinct) > MANY or len(distinct) > max(FEW_CLASSES, len(present) / 2):
        return ColumnSchema(name, "left out", *counts, "free text: too many values for a category")
    return ColumnSchema(name, "category", *counts)


def classify_target(path: Path, name: str, values: pa.ChunkedArray, task: Task | None) -> tuple[ColumnSchema, Task]:
    """Return the target as a column, and the task: classification for texts and few whole numbers, else regression."""
    distinct = pc.unique(values.drop_null())
    column = ColumnSchema(name, "category", values.null_count, len(distinct))
    numbers = _all_match(distinct, NUMBER)
    whole = numbers and _all_match(distinct, r"^[+-]?\d+(\.0*)?$")
    found: Task = "regression" if numbers and not (whole and len(distinct) <= FEW_CLASSES) else "classification"
    if (task or found) == "regression":
        if not numbers:
            first = next(text for text in distinct.to_pylist() if not re.match(NUMBER, text))
            raise DataError(f"{path}: {name}, the target, is {first!r} in some row, but a regression needs numbers.")
        return ColumnSchema(name, "number", values.null_count, len(distinct)), "regression"
    if len(distinct) < 2:
        found_classes = f"only the class {distinct[0]}" if len(distinct) else "no value"
        raise DataError(f"{path}: {name}, the target, holds {found_classes}: a classifier needs at least two classes.")
    if len(distinct) * 2 > len(values):
        raise DataError(
            f"{path}: {name}, the target, holds {len(distinct)} distinct values in {len(values)} rows, fewer than two "
            "rows per class: choose another target."
        )
    return column, "classification"


def find_leaks(y: np.ndarray, columns: Mapping[str, np.ndarray], classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the names of each column, or sum of two or three, that equals the target in every row searched.

    `columns` are the encoded features by name, float64 [rows]; `y` is the target, class indices if there are
    `classes`. A column leaks a class target when its values and the classes correspond one to one.
    """
    rows = np.linspace(0, len(y) - 1, min(len(y), LEAK_ROWS)).astype(int)
    y, columns = y[rows], {name: column[rows] for name, column in columns.items()}
    if classes:
        for name, column in columns.items():
            pairs = np.unique(np.column_stack([np.nan_to_num(column, nan=-1e300), y]), axis=0)
            if len(pairs) == len(np.unique(pairs[:, 0])) == len(np.unique(y)) > 1:
                yield (name,)
        return
    kept = dict(list(columns.items())[:LEAK_COLUMNS])
    for size in (1, 2, 3):
        for names in combinations(kept, size):
            first = sum(kept[name][0] for name in names)
            if abs(first - y[0]) <= 1e-6 * max(1.0, abs(y[0])) and np.allclose(sum(kept[name] for name in names), y):
                yield names


def _all_match(distinct: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(distinct, pattern)).as_py())


def _counts_rows(name: str, values: pa.ChunkedArray) -> bool:
    """Return whether unique values number the rows consecutively, or are whole numbers in a column named as an id."""
    if not _all_match(values, r"^\d+$"):
        return False
    numbers = np.sort(values.cast(pa.float64()).to_numpy())
    return bool(numbers[-1] - numbers[0] == len(numbers) - 1 or IDENTIFIER.search(name))


def _classify_index(values: pa.ChunkedArray, column: ColumnSchema) -> ColumnSchema:
    """Return an unnamed first column as the identifier, or left out when its values repeat or are missing."""
    if column.distinct == len(values):
        return replace(column, role="id", note="has no name: the index")
    return replace(column, role="left out", note="has no name: an index that repeats")


def _are_dates(distinct: pa.Array) -> bool:
    return classify_column("", pa.chunked_array([distinct]), Overrides()).role == "date"


def _refuse_lost_classes(path: Path, target: str, values: pa.ChunkedArray, reading: Reading) -> None:
    """Raise DataError when a mark that is a gap in other columns is a class of a target that is text."""
    lost = values.filter(pc.and_(values.is_valid(), reading.table[target].is_null()))
    if len(lost) and not _all_match(pc.unique(reading.table[target].drop_null()), NUMBER):
        raise DataError(
            f"{path}: {lost[0]} is a class of {target}, the target, and marks a gap in a column of numbers: leave the "
            "gaps empty, or give the class another name."
        )
