"""What a column is, is read from its values, with a reason; what nobody can tell is one sentence."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Task
from artifact_flow.core.table.form import Form
from artifact_flow.init.leaks import Leak, find_leaks
from artifact_flow.init.schema import ColumnSchema, Overrides, classify_column, classify_target, understand

TABLE = Path("t.csv")
NOTHING = Overrides()
LONG = "whole numbers of 16 digits, too long for float64, kept as text"


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
        (["Yes", "yes", "No", None], "boolean", ""),
        (["Yes", "yES", "No"], "category", "Yes and yES differ in case only"),
        (["Yes", "yes", "No", "maybe"], "category", "Yes and yes differ in case only"),
        (["Yes", "False"], "category", ""),
        (["yes", None], "category", ""),
        (["2024-01-31", "2024-02-01 10:00", "2024-02-01T10:00:00.25Z"], "date", "days since 1970"),
        (["31.01.2024", "1.2.24"], "left out", "a date that is not written as 2026-11-21"),
        (["1/31/2024", "31/1/2024"], "left out", "a date that is not written as 2026-11-21"),
        (["1/2/2024", "3.4.2024", None], "left out", "may have the day or the month first"),
        (
            ["1/31/2024 10:00", "2/1/2024 11:00"],
            "month-first date",
            "days since 1970; 1/31/2024 10:00 has the month first",
        ),
        (["1.2.2024", "28.1.2024"], "day-first date", "days since 1970; 28.1.2024 has the day first"),
        (["2024-01-01T10:00:00+02:00", "2024-06-01 10:00Z"], "date", "days since 1970"),
        (["2024-03", "2024-04", None], "date", "days since 1970"),
        (["20240115", "20240131", "20240115", "20231201"], "date", "days since 1970, 20240115 being a date"),
        (["20240115", "20240131"], "number", ""),
        (["20240115", "20241301", "20231201"], "number", ""),
        (["02134", "10001", "02134"], "category", "codes with leading zeros, kept as text"),
        (numbered(30, "0{}7")[10:] * 3, "category", "codes with leading zeros, kept as text"),
        (["9007199254740993", "9007199254740992"] * 2, "category", LONG),
        (numbered(30, "40071992547409{}")[10:] * 2, "number", ""),
        (numbered(40, "90071992547409930{}")[10:], "id", LONG.replace("16", "19")),
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
        ([*numbered(300, "x{}")] * 3, "left out", "short texts: too many values for a category"),
        (numbered(21, "a text of words, number {}"), "text", "free text of 6 words, by the median; or --leave-out"),
        (numbered(300, "the {} of May") * 3, "left out", "short texts: too many values for a category"),
        (["all of these words again", "and the other words too"] * 30, "category", ""),
        ([*numbered(30, "x{}"), *numbered(10, "x{}")], "left out", "short texts: too many values for a category"),
    ],
)
def test_a_column_is_what_its_values_say(values: list[str | None], role: str, note: str) -> None:
    """Numbers, booleans, dates, categories and texts go in; identifiers, constants and names stay out, with why."""
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
    assert classify(numbered(30), "c", said).role == "left out"  # there is an identifier already


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


SHUFFLED = [str(number * number * 7 + 11) for number in np.random.default_rng(0).permutation(40)]


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
    """A copy, one in other units, a sum of two, a sum of three; a strong correlation is none."""
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 50))
    assert list(find_leaks(a + b, {"a": a, "b": b, "c": c}, [])) == [Leak(("a", "b"), "reproduce")]
    assert list(find_leaks(a + b + c, {"a": a, "b": b, "c": c, "d": d}, [])) == [Leak(("a", "b", "c"), "reproduce")]
    assert list(find_leaks(a, {"a": a, "b": b}, [])) == [Leak(("a",), "reproduces")]
    units = {"fahrenheit": np.round(32 + 18 * a, 1), "b": b, "gap": np.where(b > 0, a, np.nan)}
    assert list(find_leaks(10 * a, units, [])) == [Leak(("fahrenheit",), "reproduces, in other units,")]
    assert list(find_leaks(a + 0.1 * b, {"a": a}, [])) == []


def test_a_column_whose_values_belong_to_one_class_each_is_a_leak() -> None:
    """One value for a class or some values; a missing value counts as one; many values are no leak."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 100)
    columns = {
        "same": 1.0 - y,
        "some": np.where(y == 1, rng.integers(0, 2, 100), 2),
        "given": np.where(y == 1, rng.normal(size=100), np.nan),
        "many": y * 100.0 + np.arange(100) // 2,
        "nearly": np.where(np.arange(100) == 3, 1 - y, y).astype(float),
    }
    assert [leak.names for leak in find_leaks(y, columns, ["n", "p"])] == [("same",), ("some",), ("given",)]


@pytest.mark.parametrize(
    ("name", "values", "role", "note"),
    [
        ("year", numbered(1970 + 50)[1970:], "number", ""),
        ("season", numbered(1970 + 50)[1970:], "number", ""),
        ("model_year", numbered(30, "{}7"), "number", ""),
        ("number", SHUFFLED, "number", ""),
        ("lucky_index", SHUFFLED, "number", ""),
        ("total_number", SHUFFLED, "number", ""),
        ("paid", SHUFFLED, "number", ""),
        ("EmployeeNumber", SHUFFLED, "id", "different whole numbers, named as number"),
        ("Major_code", SHUFFLED, "id", "different whole numbers, named as code"),
        ("userid", SHUFFLED, "id", "different whole numbers, named as userid"),
        ("number", numbered(30, "{}7"), "id", "different whole numbers, named as number"),
        ("rank", numbered(30), "id", "counts the rows"),
    ],
)
def test_different_whole_numbers_are_an_identifier_or_a_measure(
    name: str, values: list[str], role: str, note: str
) -> None:
    """Name and values decide: years and quantities go in, and what names the rows does not, with the reason."""
    column = classify(values, name)
    assert (column.role, column.note) == (role, note)


def test_the_reason_for_the_task_names_the_flag_for_the_other_where_that_is_possible() -> None:
    """Whole numbers may be a regression, texts may not; numbers with a value a row cannot be classes."""

    def note(values: Sequence[str], task: Task | None = None) -> str:
        return classify_target(TABLE, "y", pa.chunked_array([values]), task)[0].note

    assert note(numbered(16) * 3) == ("classification, because it has 16 distinct whole numbers (or --task regression)")
    assert note(["a", "b"] * 3) == "classification, because its values are text"
    assert note(numbered(30)) == "regression"
    assert note(numbered(30) * 2) == "regression (or --task classification)"
    assert note(numbered(16) * 3, "regression") == "regression, set by you"
    assert note(numbered(30) * 2, "classification") == "classification, set by you"


def test_repeated_rows_and_classes_that_differ_in_case_are_noted(tmp_path: Path) -> None:
    """Rows are compared without their identifier."""
    path = table_of(tmp_path, id=range(40), x=[*range(38), 3, 4], z=[1.5] * 39 + [2], y=["p", "q", "p", "Q"] * 10)
    assert understand(path, Form(), "y", Overrides()).notes == [
        "classes of y, the target, q and Q differ in case only: write them alike if they are the same"
    ]
    path = table_of(tmp_path, id=range(40), x=[*range(38), 2, 3], z=[1.5] * 39 + [2], y=["p", "q"] * 20)
    assert understand(path, Form(), "y", Overrides()).notes == [
        "1 of 40 rows repeat an earlier row but for their identifier: a row in both splits makes the test "
        "score too good"
    ]


def test_dates_that_fit_both_orders_are_asked_about_all_at_once(tmp_path: Path) -> None:
    """The sentence names the flags; with one of them the column is read as the user says."""
    path = table_of(
        tmp_path, **{"sold on": ["1/2/2024", "3/4/2024"] * 20, "built": ["1.2.1999", "2.2.1999"] * 20, "y": Y}
    )
    with pytest.raises(DataError) as caught:
        understand(path, Form(), "y", Overrides())
    assert str(caught.value).partition(": ")[2] == (
        "every date in sold on, built may have the day or the month first: add --day-first 'sold on' built or "
        "--month-first 'sold on' built, or leave such columns out with --leave-out 'sold on' built."
    )
    columns = understand(path, Form(), "y", Overrides(day_first=["built"], month_first=["sold on"])).columns
    assert [column.role for column in columns] == ["month-first date", "day-first date"]
