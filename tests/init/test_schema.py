"""What a column is, is read from its values, with a reason; what nobody can tell is one sentence."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.form import Form
from artifact_flow.init.schema import ColumnSchema, Overrides, classify_column, classify_target, find_leaks, understand

TABLE = Path("t.csv")
NOTHING = Overrides()


def classify(values: Sequence[str | None], name: str = "a", overrides: Overrides = NOTHING) -> ColumnSchema:
    """Return what a column of texts is."""
    return classify_column(name, pa.chunked_array([pa.array(values, pa.string())]), overrides)


def numbered(count: int, form: str = "{}") -> list[str]:
    """Return that many different texts."""
    return [form.format(number) for number in range(count)]


@pytest.mark.parametrize(
    ("values", "role", "note"),
    [
        (["1", "2.5", "-3e4", ".5", "inf", "nan", None], "number", ""),
        (["0", "1", "0"], "number", ""),
        (["Yes", "No", None], "boolean", ""),
        (["TRUE", "FALSE"], "boolean", ""),
        (["t", "f"], "boolean", ""),
        (["Yes", "yes", "No", "maybe"], "category", ""),
        (["Yes", "False"], "category", ""),
        (["yes", None], "category", ""),
        (["2024-01-31", "2024-02-01 10:00", "2024-02-01T10:00:00.25Z"], "date", "days since 1970"),
        (["31.01.2024", "1.2.24"], "left out", "a date that is not written as 2026-11-21"),
        (["1/31/2024 10:00", "2/1/2024 11:00"], "left out", "a date that is not written as 2026-11-21"),
        (["3,14", "1.234,5", "-2,0"], "left out", "numbers with a decimal comma: write 3.14"),
        (["red", "blue", "red"], "category", ""),
        (["?", "a"], "category", ""),
        ([None, None], "left out", "empty"),
        (["7", "7"], "left out", "constant: 7"),
        (["7", None], "number", ""),
        (numbered(21), "id", "counts the rows"),
        (numbered(20), "number", ""),
        (numbered(21, "{}.5"), "number", ""),
        (numbered(21, "{}7"), "number", ""),
        (numbered(21, "x{}"), "id", "as many values as rows"),
        (numbered(20, "x{}"), "category", ""),
        ([*numbered(300, "x{}")] * 3, "left out", "free text: too many values for a category"),
        ([*numbered(30, "x{}"), *numbered(10, "x{}")], "left out", "free text: too many values for a category"),
    ],
)
def test_a_column_is_what_its_values_say(values: list[str | None], role: str, note: str) -> None:
    """Numbers, booleans, dates and categories go in; identifiers, constants and free text stay out, with a reason."""
    column = classify(values)
    assert (column.role, column.note) == (role, note)
    assert (column.missing, column.distinct) == (values.count(None), len({*values} - {None}))


@pytest.mark.parametrize("name", ["id", "ID", "user_id", "userId", "Row Number", "key", ""])
def test_whole_numbers_under_an_identifier_s_name_are_one(name: str) -> None:
    """Different whole numbers need not be consecutive where the name says what they are."""
    assert classify(numbered(30, "{}7"), name).role == "id"
    assert classify(["1", "1", *numbered(30)], name).role == "number"


def test_the_user_s_word_wins() -> None:
    """A column is what the user says, whatever it looks like."""
    said = Overrides(categories=["a"], id="b")
    assert classify(numbered(30), "a", said) == ColumnSchema("a", "category", 0, 30, "set by you")
    assert classify(["1", "1"], "b", said) == ColumnSchema("b", "id", 0, 1, "set by you")
    assert classify(numbered(30), "c", said).role == "number"  # there is an identifier already


@pytest.mark.parametrize(
    ("values", "task", "found"),
    [
        (["a", "b"] * 3, None, "classification"),
        (numbered(20) * 2, None, "classification"),
        (numbered(21) * 2, None, "regression"),
        (["1.5", "2"] * 3, None, "regression"),
        (["1.0", "2.0"] * 3, None, "classification"),
        (numbered(9) * 3, "regression", "regression"),
        (numbered(21) * 2, "classification", "classification"),
    ],
)
def test_the_task_is_that_of_the_target(values: list[str], task: str | None, found: str) -> None:
    """Texts and few whole numbers are classes, other numbers a regression; the user may say otherwise."""
    column, inferred = classify_target(TABLE, "y", pa.chunked_array([values]), task)  # type: ignore[arg-type]
    assert inferred == found
    assert column.role == ("number" if found == "regression" else "category")


@pytest.mark.parametrize(
    ("values", "task", "sentence"),
    [
        (
            ["a", "a", None],
            None,
            "t.csv: y, the target, holds only the class a: a classifier needs at least two classes.",
        ),
        ([None, None], None, "t.csv: y, the target, holds no value: a classifier needs"),
        (
            numbered(9, "x{}"),
            None,
            "t.csv: y, the target, holds 9 distinct values in 9 rows, fewer than two rows per class",
        ),
        (
            ["1.5", "2.5", "x"],
            "regression",
            "t.csv: y, the target, is 'x' in some row, but a regression needs numbers.",
        ),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused(
    values: list[str | None], task: str | None, sentence: str
) -> None:
    """One class only, none at all, more classes than rows allow, texts for a regression."""
    with pytest.raises(DataError) as caught:
        classify_target(TABLE, "y", pa.chunked_array([pa.array(values, pa.string())]), task)  # type: ignore[arg-type]
    assert str(caught.value).startswith(sentence)


def table_of(folder: Path, **columns: Sequence[object]) -> Path:
    """Write columns as a CSV and return its path."""
    path = folder / "t.csv"
    rows = zip(*columns.values(), strict=True)
    path.write_text(",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


X, Y = list(range(0, 80, 2)), ["p", "q"] * 20


@pytest.mark.parametrize(
    ("columns", "target", "overrides", "sentence"),
    [
        ({"x": X, "y": Y}, "Y", Overrides(), r"t\.csv has no column Y; it has: x, y\."),
        (
            {"size": X, "y": Y},
            "y",
            Overrides(categories=["sise"]),
            r"has no column sise \(did you mean size\?\); it has",
        ),
        ({"x": X, "y": Y}, "y", Overrides(left_out=["z"]), r"has no column z; it has"),
        ({"x": X, "y": Y}, "y", Overrides(left_out=["x"]), r"t\.csv: no column is left to predict y from\."),
        (
            {"x": [*X[:38], "unk", "(none)"], "y": Y},
            "y",
            Overrides(),
            r"t\.csv, row 40: x is 'unk', but 95\.0% of its values are numbers: fix it; or, if it stands for a "
            r"missing value, add --missing unk '\(none\)'; or, if the column is text, add --category x; or "
            r"leave the column out with --leave-out x\.",
        ),
        (
            {"a b": [*[1, 2, 3] * 13, "un known"], "y": Y},
            "y",
            Overrides(),
            r"row 41: a b is 'un known', but 97\.5% .*--missing 'un known'; .* --leave-out 'a b'\.",
        ),
        (
            {"x": X, "y": [*(n / 7 for n in range(39)), "high"]},
            "y",
            Overrides(),
            r"row 41: y is 'high', but 97\.5% of its .*; or, if it is a class, add --task classification",
        ),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(
    tmp_path: Path, columns: dict[str, Sequence[object]], target: str, overrides: Overrides, sentence: str
) -> None:
    """An unknown column, with a guess; nothing to predict from; numbers with a text among them, the first one named."""
    with pytest.raises(DataError, match=sentence) as caught:
        understand(table_of(tmp_path, **columns), Form(), target, overrides)
    assert "\n" not in str(caught.value)


def test_mixed_values_are_fine_when_the_user_says_what_they_are(tmp_path: Path) -> None:
    """As a missing value, as text, as the identifier, or left out."""
    path = table_of(tmp_path, x=[*X[:39], "unk"], y=Y, z=X)
    roles = {
        (overrides, missing): understand(path, Form(missing=missing), "y", said).columns[0].role
        for overrides, missing, said in [
            ("missing", ("", "unk"), Overrides()),
            ("category", ("",), Overrides(categories=["x"])),
            ("id", ("",), Overrides(id="x")),
            ("left out", ("",), Overrides(left_out=["x"])),
        ]
    }
    assert list(roles.values()) == ["number", "category", "id", "left out"]


def test_a_second_identifier_is_left_out(tmp_path: Path) -> None:
    """One column names the rows."""
    path = table_of(tmp_path, id=range(40), code=numbered(40, "k{}"), x=[1, 2] * 20, y=Y)
    roles = {column.name: (column.role, column.note) for column in understand(path, Form(), "y", Overrides()).columns}
    assert roles["id"] == ("id", "counts the rows")
    assert roles["code"] == ("left out", "as many values as rows, and there is an identifier already")


def test_a_column_that_is_left_out_may_hold_anything(tmp_path: Path) -> None:
    """Lists in a Parquet file are no text; left out, nobody looks at them."""
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": X, "lists": [[1]] * 40, "y": Y}), path)
    with pytest.raises(DataError, match=r"row 1: lists is \[1\], which is not text: .* such as left out\.$"):
        understand(path, Form(), "y", Overrides())
    columns = understand(path, Form(), "y", Overrides(left_out=["lists"])).columns
    assert columns[1] == ColumnSchema("lists", "left out", None, None, "set by you")


def test_leaks_are_columns_and_sums_that_give_the_target() -> None:
    """A copy, a sum of two, a sum of three; for classes, values that pair off with them."""
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 50))
    assert list(find_leaks(a + b, {"a": a, "b": b, "c": c}, [])) == [("a", "b")]
    assert list(find_leaks(a + b + c, {"a": a, "b": b, "c": c, "d": d}, [])) == [("a", "b", "c")]
    assert list(find_leaks(a, {"a": a, "b": b}, [])) == [("a",)]
    assert list(find_leaks(a + 0.001, {"a": a, "b": b}, [])) == []
    y = (a > 0).astype(int)
    assert list(
        find_leaks(y, {"same": 1.0 - y, "nearly": np.where(np.arange(50) == 3, 2.0, y), "a": a}, ["n", "p"])
    ) == [("same",)]
