"""Schema: what the columns of one's own table are, read from their values. It decides; params.yaml keeps it.

Thresholds are few and said aloud: every decision carries its reason, and every one can be overruled.
"""

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Role, Task
from artifact_flow.core.table.columns import FALSE, TRUE, missing_columns
from artifact_flow.core.table.source import Form, read_names
from artifact_flow.core.table.typed_rows import read_texts

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"
DATE = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?$"
COMMA_NUMBER = r"^[+-]?\d{1,3}([., ]?\d{3})*,\d+$"
OTHER_DATE = r"^\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?$|^\d{4}/\d{1,2}/\d{1,2}( .*)?$"
IDENTIFIER = re.compile(r"(^|[^a-z])(id|key|index|row|no|nr|number|uuid)$|[a-z]I[dD]$|^$", re.IGNORECASE)
BOOLEANS = [{yes, no} for yes, no in zip(TRUE, FALSE, strict=True)]
SAID = "as you said"
MOSTLY = 0.9  # of the values: a column of numbers with some text in it, which somebody must look at
MANY = 255  # different texts, or half as many as there are rows: free text, no category
FEW_CLASSES = 20  # whole numbers up to which a target is a class
PROOF_ROWS, PROOF_COLUMNS = 1000, 60  # looked at for a sum that gives the target


@dataclass(frozen=True)
class Column:
    """A column as it was understood."""

    name: str
    role: Role
    missing: int | None  # None where nobody looked
    distinct: int | None
    note: str = ""


@dataclass(frozen=True)
class Overrides:
    """What the user says against the schema's own opinion."""

    categories: Collection[str] = ()
    left_out: Collection[str] = ()
    id: str | None = None
    task: Task | None = None


@dataclass(frozen=True)
class Schema:
    """What a table is: its rows, its target and task, its columns without the target."""

    rows: int
    target: Column
    task: Task
    columns: list[Column]


def understand(path: Path, form: Form, target: str, overrides: Overrides) -> Schema:
    """Return the schema of the table in `path`.

    Raises DataError naming a column that is not there, a target that cannot be predicted, or the first row of a column
    whose values are numbers but for some.
    """
    names = read_names(path, form)
    missing_columns([target, *overrides.categories, *overrides.left_out, *filter(None, [overrides.id])], names, path)
    table = read_texts(path, form, [name for name in names if name not in overrides.left_out or name == target])
    columns = []
    for name in names:
        if name == target:
            continue
        if name in overrides.left_out:
            columns.append(Column(name, "left out", None, None, SAID))
            continue
        columns.append(classify_column(name, table[name], overrides))
        if columns[-1].note != SAID:
            _refuse_mixed(path, name, table[name], form, f"; or that the column is text, --category {name}")
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
        _refuse_mixed(path, target, table[target], form, "; or that it is a class, --task classification")
    return Schema(table.num_rows, *classify_target(path, target, table[target], overrides.task), columns)


def classify_column(  # noqa: PLR0911 - a rule, a return
    name: str, values: pa.ChunkedArray, overrides: Overrides
) -> Column:
    """Return what a column of texts (null where missing) is."""
    present = values.drop_null()
    distinct = pc.unique(present)
    counts = values.null_count, len(distinct)
    if name == overrides.id or name in overrides.categories:
        return Column(name, "id" if name == overrides.id else "category", *counts, SAID)
    if not len(distinct):
        return Column(name, "left out", *counts, "empty")
    if len(distinct) == 1 and not values.null_count:
        return Column(name, "left out", *counts, f"constant: {distinct[0]}")
    unique = len(distinct) == len(values) and len(values) > FEW_CLASSES
    if len(distinct) == 2 and set(distinct.to_pylist()) in BOOLEANS:
        return Column(name, "boolean", *counts)
    if _all_match(distinct, NUMBER):
        if unique and not overrides.id and _counts_rows(name, present):
            return Column(name, "id", *counts, "counts the rows")
        return Column(name, "number", *counts)
    if _all_match(distinct, DATE):
        return Column(name, "date", *counts, "days since 1970")
    if _all_match(distinct, OTHER_DATE):
        return Column(name, "left out", *counts, "a date that is not written as 2026-11-21")
    if _all_match(distinct, COMMA_NUMBER):
        return Column(name, "left out", *counts, "numbers with a decimal comma: write 3.14")
    if unique:
        return Column(name, "left out" if overrides.id else "id", *counts, "as many values as rows")
    if len(distinct) > MANY or len(distinct) > max(FEW_CLASSES, len(present) / 2):
        return Column(name, "left out", *counts, "free text: too many values for a category")
    return Column(name, "category", *counts)


def classify_target(path: Path, name: str, values: pa.ChunkedArray, task: Task | None) -> tuple[Column, Task]:
    """Return the target as a column, and the task: classification of texts and few whole numbers, else regression."""
    distinct = pc.unique(values.drop_null())
    column = Column(name, "category", values.null_count, len(distinct))
    numbers = _all_match(distinct, NUMBER)
    whole = numbers and _all_match(distinct, r"^[+-]?\d+(\.0*)?$")
    found: Task = "regression" if numbers and not (whole and len(distinct) <= FEW_CLASSES) else "classification"
    if (task or found) == "regression":
        if not numbers:
            first = next(text for text in distinct.to_pylist() if not re.match(NUMBER, text))
            raise DataError(f"{path}: {name}, the target, is {first!r} in some row, which is no number to regress on.")
        return Column(name, "number", values.null_count, len(distinct)), "regression"
    if len(distinct) < 2:
        found_classes = f"only the class {distinct[0]}" if len(distinct) else "no value at all"
        raise DataError(f"{path}: {name}, the target, holds {found_classes}: a classifier needs two classes or more.")
    if len(distinct) * 2 > len(values):
        raise DataError(
            f"{path}: {name}, the target, holds {len(distinct)} different texts in {len(values)} rows, fewer than two "
            "rows a class: choose another target."
        )
    return column, "classification"


def find_leaks(y: np.ndarray, columns: Mapping[str, np.ndarray], classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the names of each column, or sum of two or three, that gives the target in every row looked at.

    `columns` are the encoded features by name, float64 [rows]; `y` is the target, class indices where there are
    classes. A column gives a class when its values and the classes pair off one to one.
    """
    rows = np.linspace(0, len(y) - 1, min(len(y), PROOF_ROWS)).astype(int)
    y, columns = y[rows], {name: column[rows] for name, column in columns.items()}
    if classes:
        for name, column in columns.items():
            pairs = np.unique(np.column_stack([np.nan_to_num(column, nan=-1e300), y]), axis=0)
            if len(pairs) == len(np.unique(pairs[:, 0])) == len(np.unique(y)) > 1:
                yield (name,)
        return
    kept = dict(list(columns.items())[:PROOF_COLUMNS])
    for size in (1, 2, 3):
        for names in combinations(kept, size):
            first = sum(kept[name][0] for name in names)
            if abs(first - y[0]) <= 1e-6 * max(1.0, abs(y[0])) and np.allclose(sum(kept[name] for name in names), y):
                yield names


def _all_match(distinct: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(distinct, pattern)).as_py())


def _counts_rows(name: str, values: pa.ChunkedArray) -> bool:
    """Tell whether unique numbers count the rows one by one, or are whole and named as an identifier."""
    if not _all_match(values, r"^\d+$"):
        return False
    numbers = np.sort(values.cast(pa.float64()).to_numpy())
    return bool(numbers[-1] - numbers[0] == len(numbers) - 1 or IDENTIFIER.search(name))


def _refuse_mixed(path: Path, name: str, values: pa.ChunkedArray, form: Form, other: str) -> None:
    """Raise DataError when nearly all values are numbers; `other` says what else the user may mean."""
    numbers = pc.match_substring_regex(values, NUMBER)
    share = (pc.mean(numbers).as_py() or 0) if len(values) else 0
    if not MOSTLY <= share < 1:
        return
    place = pc.index(numbers, pa.scalar(False)).as_py()
    text = values[place].as_py()
    raise DataError(
        f"{path}, row {place + 1 + form.header}: {name} is {text!r}, but {share:.1%} of its values are numbers: mend "
        f"it; or say that it stands for a missing value, --missing {shlex.quote(text)}{other}; or --leave-out "
        f"{shlex.quote(name)}."
    )
