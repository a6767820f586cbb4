"""One's own file becomes a table as params.yaml says, or one sentence says where the two disagree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from unit.own import as_csv, draw_rows, own_params

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import DataParams
from artifact_flow.core.table.datasets import load_own

Rows = list[dict[str, Any]]


def params_of(folder: Path, rows: Rows, **table: Any) -> DataParams:
    """Write rows as a CSV, and return the `data` block that describes it, with changes in `table`."""
    source = folder / "own.csv"
    source.write_text(as_csv(rows), encoding="utf-8")
    params = own_params(source)
    assert params.table is not None
    return params.model_copy(update={"table": params.table.model_copy(update=table)})


def test_columns_have_the_types_of_their_roles(tmp_path: Path) -> None:
    """Ids, features and target, in the file's order; what is left out is not there."""
    table = load_own(params_of(tmp_path, draw_rows()))
    assert {field.name: field.type for field in table.columns.schema} == {
        "id": pa.string(),
        "size": pa.float64(),
        "open": pa.bool_(),
        "since": pa.timestamp("s"),
        "colour": pa.string(),
        "target": pa.int64(),
    }
    assert table.roles.features == {"size": "number", "open": "boolean", "since": "date", "colour": "category"}
    assert table.roles.classes == ["high", "low", "middle"]
    assert table.columns["id"].to_pylist()[:2] == ["k0", "k1"]
    assert (table.roles.id, table.roles.target, table.roles.task) == ("key", "class", "classification")


def test_without_an_identifier_rows_are_numbered(tmp_path: Path) -> None:
    """From 0, also where rows without a target are left out."""
    rows = draw_rows(30)
    rows[3]["class"] = None
    columns = {"size": "number"} | dict.fromkeys(("key", "open", "since", "colour", "remark", "price"), "left out")
    table = load_own(params_of(tmp_path, rows, columns=columns, drop_missing_target=True))
    assert table.columns["id"].to_pylist() == list(range(29))
    assert table.roles.id is None


@pytest.mark.parametrize(
    ("values", "classes"), [(["10", "9", "10", "9"], ["9", "10"]), (["b", "a", "b", "a"], ["a", "b"])]
)
def test_classes_stand_in_their_order(tmp_path: Path, values: list[str], classes: list[str]) -> None:
    """Whole numbers by value, texts by letter."""
    rows = [row | {"class": value} for row, value in zip(draw_rows(4), values, strict=True)]
    table = load_own(params_of(tmp_path, rows))
    assert table.roles.classes == classes
    assert table.y.tolist() == [classes.index(value) for value in values]


def with_target(*values: str | None) -> Callable[[Rows], Rows]:
    """Return what gives rows these targets, in turn."""
    return lambda rows: [row | {"class": values[i % len(values)]} for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("change", "table", "sentence"),
    [
        (
            with_target("a", "b", None),
            {},
            "10 of 30 rows have no value in class, the target: fill them, or leave these",
        ),
        (with_target("a"), {}, "class, the target, holds only the class a: a classifier needs rows of two classes"),
        (with_target(None), {"drop_missing_target": True}, "class, the target, holds no value at all: a classifier"),
        (
            with_target(*map(str, range(30))),
            {},
            "class, the target, holds 30 classes in 30 rows, fewer than two rows per",
        ),
        (lambda rows: rows, {"target": "klass"}, "has no column klass (did you mean class?); it has: key, size, open"),
        (lambda rows: [row | {"new": 1} for row in rows], {}, "has the column new, which params.yaml does not list"),
        (
            lambda rows: [{name: row[name] for name in row if name != "colour"} for row in rows],
            {},
            "has no column colour; it has: key, size, open",
        ),
        (
            lambda rows: [
                {name.replace("size", "split"): row[name] for name in row} | {"split (feature)": 1} for row in rows
            ],
            {
                "columns": {"split": "number", "split (feature)": "number"}
                | dict.fromkeys(("key", "open", "since", "colour", "remark", "price"), "left out")
            },
            "the column name split (feature) is reserved: rename the column, or leave it out.",
        ),
    ],
)
def test_a_file_that_is_not_as_described_is_one_sentence(
    tmp_path: Path, change: Callable[[Rows], Rows], table: dict[str, Any], sentence: str
) -> None:
    """What is wrong in which file, and what to do."""
    params = params_of(tmp_path, change(draw_rows(30)), **table)
    with pytest.raises(DataError) as caught:
        load_own(params)
    assert "\n" not in str(caught.value)
    assert str(caught.value).removeprefix(params.source).removeprefix(":").strip().startswith(sentence)


def test_a_file_without_a_description_is_one_sentence(tmp_path: Path) -> None:
    """It names the command that writes one."""
    params = params_of(tmp_path, draw_rows(30)).model_copy(update={"table": None})
    with pytest.raises(DataError, match=r"data.table does not say what its columns are: `artifact-flow init --data "):
        load_own(params)
