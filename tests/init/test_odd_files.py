"""A file as people have it is read as it is meant, with a note, or refused in one sentence that names the cure."""

import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from init.odd import adopt, check_score, predict, refuse

from artifact_flow.cli import main
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import PARAMS, load_params

ROWS = 60
SIZE = [round(30 + 7.3 * (i * 37 % 60), 1) for i in range(ROWS)]
KIND = ["flat", "house", "barn"] * (ROWS // 3)
PRICE = [1000 * i + 250 * (i * 31 % 7) for i in SIZE]


def lines(*columns: object, sep: str = ",") -> str:
    """Return rows of text."""
    return "".join(sep.join(map(str, row)) + "\n" for row in zip(*columns, strict=True))  # type: ignore[call-overload]


def test_a_plain_table_scores_as_scikit_learn_does(tmp_path: Path) -> None:
    """Nothing is odd."""
    adopted = adopt(tmp_path, "size,kind,price\n" + lines(SIZE, KIND, PRICE), "--target", "price")
    assert adopted.roles == {"size": "number", "kind": "category"}
    assert adopted.task == "regression"
    check_score(adopted, {"size": SIZE, "kind": KIND}, PRICE)


def test_an_unknown_target_is_one_sentence(tmp_path: Path) -> None:
    """The columns are named."""
    sentence = refuse(tmp_path, "size,kind,price\n" + lines(SIZE, KIND, PRICE), "--target", "cost")
    assert sentence == "t.csv has no column cost; it has: size, kind, price."


def spelled(values: Sequence[float], form: str) -> list[str]:
    """Return numbers as text, quoted."""
    return [f'"{form.format(value)}"' for value in values]


def german(values: Sequence[float]) -> list[str]:
    """Return numbers such as 1.234,50."""
    return [f"{value:,.2f}".translate(str.maketrans(",.", ".,")) for value in values]


def gapped(values: Sequence[Any], *marks: str) -> tuple[list[Any], list[Any]]:
    """Return values with a mark in every fourth place, and what they mean."""
    texts = [marks[i // 4 % len(marks)] if i % 4 == 1 else value for i, value in enumerate(values)]
    return texts, [None if i % 4 == 1 else value for i, value in enumerate(values)]


@pytest.mark.parametrize("marks", [("NULL",), ("N/A", "n/a", "?"), (".",), ("-", "#N/A"), ("None", "nan")])
def test_the_usual_marks_are_gaps_in_a_column_of_numbers(tmp_path: Path, marks: tuple[str, ...]) -> None:
    """A quarter of the column is marks; they are written to data.table.missing, and a note says so."""
    texts, size = gapped(SIZE, *marks)
    adopted = adopt(tmp_path, "size,kind,price\n" + lines(texts, KIND, PRICE), "--target", "price")
    assert adopted.roles == {"size": "number", "kind": "category"}
    assert adopted.params.data.table
    assert {*marks} <= {*adopted.params.data.table.missing} | {"nan"}
    for mark in {*marks} - {"nan"}:
        assert f"note: {mark} is taken for a missing value, because the other values of size are" in adopted.printed
    check_score(adopted, {"size": size, "kind": KIND}, PRICE)


def test_marks_are_gaps_among_dates_too(tmp_path: Path) -> None:
    """A date is no category."""
    days, known = gapped([f"2024-02-{1 + i % 28:02}" for i in range(ROWS)], "NULL")
    adopted = adopt(tmp_path, "day,size,price\n" + lines(days, SIZE, PRICE), "--target", "price")
    assert adopted.roles == {"day": "date", "size": "number"}
    check_score(adopted, {"day": [day and 19754 + int(day[-2:]) - 1 + 0 for day in known], "size": SIZE}, PRICE)


def test_a_number_that_may_mark_a_gap_is_kept_and_named(tmp_path: Path) -> None:
    """-999 is a number until the user says otherwise."""
    texts, size = gapped(SIZE, "-999")
    table = "size,kind,price\n" + lines(texts, KIND, PRICE)
    adopted = adopt(tmp_path, table, "--target", "price")
    assert "note: -999 in size is used as a number; if it stands for a missing value, add --missing -999" in (
        adopted.printed
    )
    check_score(adopted, {"size": [float(text) for text in texts], "kind": KIND}, PRICE)
    adopted = adopt(tmp_path, table, "--target", "price", "--missing", "-999")
    check_score(adopted, {"size": size, "kind": KIND}, PRICE)


@pytest.mark.parametrize(
    ("mark", "arguments", "sentence"),
    [
        (
            "unk",
            ["--target", "price"],
            "t.csv, row 3: size is 'unk', but 75.0% of its values are numbers: fix it; or, if it stands for a missing "
            "value, add --missing unk; or, if the column is text, add --category size; or leave the column out with "
            "--leave-out size.",
        ),
        (
            "sold",
            ["--target", "size"],
            "t.csv, row 3: size is 'sold', but 75.0% of its values are numbers: fix it; or, if it stands for a missing "
            "value, add --missing sold; or, if it is a class, add --task classification; or leave the column out with "
            "--leave-out size.",
        ),
    ],
)
def test_numbers_with_other_texts_are_no_category(
    tmp_path: Path, mark: str, arguments: list[str], sentence: str
) -> None:
    """Neither as a feature nor as the target."""
    texts, _ = gapped(SIZE, mark)
    assert refuse(tmp_path, "size,kind,price\n" + lines(texts, KIND, PRICE), *arguments) == sentence


def test_all_columns_of_mixed_values_are_told_at_once(tmp_path: Path) -> None:
    """One run is enough to know them."""
    one, two = (gapped(values, mark)[0] for values, mark in ((SIZE, "unk"), (PRICE, "tbd")))
    sentence = refuse(tmp_path, "size,other,price\n" + lines(one, two, PRICE), "--target", "price")
    assert sentence.endswith("--leave-out size; the same holds for other ('tbd' in row 3).")


def test_a_mark_that_is_a_class_is_not_lost(tmp_path: Path) -> None:
    """The file is refused: its target would lose a class."""
    texts, _ = gapped(SIZE, "-")
    table = "size,price,kind\n" + lines(texts, PRICE, ["-", "a", "b"] * 20)
    assert refuse(tmp_path, table, "--target", "kind") == (
        "t.csv: - is a class of kind, the target, and marks a gap in a column of numbers: leave the gaps empty, or "
        "give the class another name."
    )


WHOLE = [1000 + 37 * (i * 7 % 50) for i in range(ROWS)]
SHARES = [round(0.5 + (i * 13 % 50), 1) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("texts", "values", "style", "note"),
    [
        (spelled(WHOLE, "${:,}"), WHOLE, "1,234.5", "size: $1,000 is read as 1000"),
        (spelled(WHOLE, "{:,} €"), WHOLE, "1,234.5", "--decimal , reads it as 1"),
        (spelled(SHARES, "{}%"), SHARES, "1234.5", "size: 0.5% is read as 0.5"),
        ([f"{value}M" for value in SHARES], [value * 1e6 for value in SHARES], "1234.5", "0.5M is read as 500000"),
        (spelled(german(PRICE), "{}"), PRICE, "1.234,5", "is read as"),
        (spelled([str(value).replace(".", ",") for value in SHARES], "{}"), SHARES, "1234,5", "0,5 is read as 0.5"),
        ([f"{value:,}".replace(",", " ") for value in WHOLE], WHOLE, "1 234.5", "1 000 is read as 1000"),
        ([f"{value:,}".replace(",", "'") for value in WHOLE], WHOLE, "1'234.5", "1'000 is read as 1000"),
    ],
)
@pytest.mark.slow
def test_numbers_in_any_style_are_numbers(
    tmp_path: Path, texts: list[str], values: list[float], style: str, note: str
) -> None:
    """As a feature and as the target; the style is written down, and the reading is stated."""
    adopted = adopt(tmp_path, "size,kind,price\n" + lines(texts, KIND, PRICE), "--target", "price")
    assert adopted.params.data.table
    assert adopted.params.data.table.numbers == {"size": style}
    assert note in adopted.printed
    check_score(adopted, {"size": values, "kind": KIND}, PRICE)
    adopted = adopt(tmp_path, "price,kind,size\n" + lines(PRICE, KIND, texts), "--target", "size")
    assert adopted.task == "regression"
    check_score(adopted, {"price": PRICE, "kind": KIND}, values)


def test_few_prices_are_no_classes(tmp_path: Path) -> None:
    """Nine prices are a regression, because they are written as prices."""
    prices = [1000 + 500 * (i % 9) for i in range(ROWS)]
    table = "size,price\n" + lines(SIZE, spelled(prices, "${:,}"))
    adopted = adopt(tmp_path, table, "--target", "price")
    assert adopted.task == "regression"
    check_score(adopted, {"size": SIZE}, prices)
    assert adopt(tmp_path, table, "--target", "price", "--task", "classification").task == "classification"


def test_what_could_be_either_is_decided_by_the_file_or_the_flag(tmp_path: Path) -> None:
    """1,234 is a thousand and more, unless the other columns or the user say that the comma is the decimal mark."""
    one = [round(1.001 + i * 0.013, 3) for i in range(ROWS)]
    texts = [f"{value:.3f}".replace(".", ",") for value in one]
    adopted = adopt(tmp_path, "size,kind,price\n" + lines(spelled(texts, "{}"), KIND, PRICE), "--target", "price")
    assert "note: size: 1,001 is read as 1001; --decimal , reads it as 1.001" in adopted.printed
    check_score(adopted, {"size": [round(value * 1000) for value in one], "kind": KIND}, PRICE)
    table = "size,kind,price\n" + lines(spelled(texts, "{}"), KIND, PRICE)
    adopted = adopt(tmp_path, table, "--target", "price", "--decimal", ",")
    check_score(adopted, {"size": one, "kind": KIND}, PRICE)
    adopted = adopt(tmp_path, "size;kind;price\n" + lines(texts, KIND, german(PRICE), sep=";"), "--target", "price")
    check_score(adopted, {"size": one, "kind": KIND}, PRICE)


def test_thousands_with_points_are_seen_beside_decimal_commas(tmp_path: Path) -> None:
    """1.234 is a number in every programming language, and 1234 in a file with decimal commas."""
    texts = [f"{value:,}".replace(",", ".") for value in WHOLE]
    adopted = adopt(tmp_path, "size;kind;price\n" + lines(texts, KIND, german(PRICE), sep=";"), "--target", "price")
    assert "note: size: 1.000 is read as 1000; --decimal . reads it as 1\n" in adopted.printed
    check_score(adopted, {"size": WHOLE, "kind": KIND}, PRICE)


def test_numbers_in_two_ways_are_one_sentence(tmp_path: Path) -> None:
    """Nobody can tell whether 45% is 45 or 0.45 among numbers without a sign."""
    texts = ["45%", "0.5", *SHARES[2:]]
    assert refuse(tmp_path, "size,kind,price\n" + lines(texts, KIND, PRICE), "--target", "price") == (
        "t.csv, row 3: size is '0.5', but '45%' elsewhere, so its numbers are written in two ways: write them alike, "
        "or add --category size if it is text, or --leave-out size."
    )


NUMBERS = list(range(ROWS))


@pytest.mark.parametrize(
    ("header", "index"),
    [(",size,kind,price", NUMBERS), (" ,size,kind,price", [f"r{i}" for i in NUMBERS]), ("size,kind,price", NUMBERS)],
)
@pytest.mark.slow
def test_an_unnamed_first_column_is_the_index(tmp_path: Path, header: str, index: list[object]) -> None:
    """As pandas writes it, and as R does, whose header is one shorter than its rows."""
    adopted = adopt(tmp_path, f"{header}\n" + lines(index, SIZE, KIND, PRICE), "--target", "price")
    assert adopted.roles == {"column_1": "id", "size": "number", "kind": "category"}
    assert "note: columns without a name are called by their place: column_1" in adopted.printed
    assert "has no name: the index" in adopted.printed
    check_score(adopted, {"size": SIZE, "kind": KIND}, PRICE)


def test_an_index_that_repeats_or_stands_beside_an_identifier_is_left_out(tmp_path: Path) -> None:
    """Two frames in one file; a key of the user's own."""
    repeated = [i % 30 for i in range(ROWS)]
    adopted = adopt(tmp_path, ",size,kind,price\n" + lines(repeated, SIZE, KIND, PRICE), "--target", "price")
    assert adopted.roles == {"column_1": "left out", "size": "number", "kind": "category"}
    keys = [f"k{i}" for i in NUMBERS]
    adopted = adopt(tmp_path, ",key,size,price\n" + lines(NUMBERS, keys, SIZE, PRICE), "--target", "price")
    assert adopted.roles == {"column_1": "left out", "key": "id", "size": "number"}
    check_score(adopted, {"size": SIZE}, PRICE)


@pytest.mark.parametrize(("header", "end"), [("size;kind;price;;", ";;"), ("size;kind;price", ";")])
def test_empty_trailing_columns_are_left_out(tmp_path: Path, header: str, end: str) -> None:
    """Spreadsheets write them; a note says so."""
    rows = lines(SIZE, KIND, PRICE, sep=";").replace("\n", f"{end}\n")
    adopted = adopt(tmp_path, f"{header}\n{rows}", "--target", "price")
    assert {role for name, role in adopted.roles.items() if name.startswith("column_")} == {"left out"}
    assert "note: columns without a name are called by their place: column_4" in adopted.printed
    check_score(adopted, {"size": SIZE, "kind": KIND}, PRICE)


def test_names_that_the_project_uses_itself_are_free_to_use(tmp_path: Path) -> None:
    """A column id that repeats, a column split and one called target, which is not the target."""
    ids, splits = [i % 7 * 1.5 for i in range(ROWS)], ["a", "b", "b"] * 20
    table = "id,split,target,price\n" + lines(ids, splits, SIZE, PRICE)
    adopted = adopt(tmp_path, table, "--target", "price")
    assert adopted.roles == {"id": "number", "split": "category", "target": "number"}
    check_score(adopted, {"id": ids, "split": splits, "target": SIZE}, PRICE)


def test_a_name_that_occurs_twice_gets_a_number(tmp_path: Path) -> None:
    """Both columns are used, and a note says which is called what."""
    half = [value / 2 + i % 3 for i, value in enumerate(SIZE)]
    adopted = adopt(tmp_path, "size,size,price\n" + lines(SIZE, half, PRICE), "--target", "price")
    assert "note: size is the name of several columns: another is called size_2" in adopted.printed
    check_score(adopted, {"size": SIZE, "size_2": half}, PRICE)


@pytest.mark.parametrize("columns", [(SIZE, KIND, PRICE), (KIND, WHOLE, PRICE), ([1] * 60, [1, 2, 3] * 20, PRICE)])
def test_a_file_without_a_header_is_seen_to_have_none(tmp_path: Path, columns: tuple[list[object], ...]) -> None:
    """The flag is named; with it, every row is one."""
    table = lines(*columns)
    start = ", ".join(str(column[0]) for column in columns)
    assert refuse(tmp_path, table, "--target", "price") == (
        f"t.csv has no header: its first line, {start} …, is a row: add --no-header, which calls the columns column_1 "
        "to column_3, and name the target so."
    )
    adopted = adopt(tmp_path, table, "--target", "column_3", "--no-header")
    assert adopted.table.columns.num_rows == ROWS


def test_years_and_places_are_names(tmp_path: Path) -> None:
    """A header of ascending whole numbers is one."""
    adopted = adopt(tmp_path, "0,1,2020\n" + lines(SIZE, KIND, PRICE), "--target", "2020")
    check_score(adopted, {"0": SIZE, "1": KIND}, PRICE)


def test_rows_without_a_header_are_those_of_the_training_file_or_only_features(tmp_path: Path) -> None:
    """A row that lacks one of the columns left out is not read as if it were shifted."""
    same = ["x"] * ROWS
    adopted = adopt(tmp_path, lines(same, SIZE, KIND, PRICE), "--target", "column_4", "--no-header")
    assert adopted.roles == {"column_1": "left out", "column_2": "number", "column_3": "category"}
    whole = predict(tmp_path, lines(same, SIZE, KIND, PRICE))
    assert predict(tmp_path, lines(SIZE, KIND)) == whole
    with pytest.raises(DataError) as caught:
        predict(tmp_path, lines(SIZE, KIND, PRICE))
    assert str(caught.value) == (
        "rows.csv has no header and 3 columns: give it all 4 columns of the training file, in their order, or only the "
        "2 that the model uses."
    )


def test_predictions_read_numbers_as_training_did(tmp_path: Path) -> None:
    """The style is the model's: the same file gives the same rows, and another style is an error."""
    table = "size;kind;price\n" + lines(spelled(german(PRICE), "{} €"), KIND, SIZE, sep=";")
    adopt(tmp_path, table, "--target", "price")
    found = predict(tmp_path, table)
    numbers = [{"size": size, "kind": kind} for size, kind in zip(PRICE, KIND, strict=True)]
    assert predict(tmp_path, "\n".join(map(json.dumps, numbers)), "rows.jsonl") == found
    with pytest.raises(DataError, match=r"row 2: size is '1234.50', which is not a number written as 1.234,5"):
        predict(tmp_path, "size;kind\n1234.50;flat\n")


CITY = ["Köln", "Málaga", "Århus"] * (ROWS // 3)
RUSSIAN = ["Москва", "Казань", "Тверь"] * (ROWS // 3)


@pytest.mark.parametrize(
    ("encoding", "city", "found"),
    [
        ("utf-8", CITY, None),
        ("utf-8-sig", CITY, None),
        ("cp1252", CITY, "cp1252"),
        ("cp1252", ["5 € Straße", "a", "b"] * 20, "cp1252"),
        ("latin-1", ["Köln\x81", "Málaga", "Århus"] * 20, "latin-1"),
        ("cp1251", RUSSIAN, "cp1251"),
        ("utf-16", CITY, "utf-16"),
        ("utf-16-le", CITY, "utf-16-le"),
        ("utf-16-be", CITY, "utf-16-be"),
    ],
)
@pytest.mark.slow
def test_the_encoding_is_found_and_stated(tmp_path: Path, encoding: str, city: list[str], found: str | None) -> None:
    """It is written down unless it is UTF-8, and used again to predict."""
    table = ("size,city,price\n" + lines(SIZE, city, PRICE)).encode(encoding)
    adopted = adopt(tmp_path, table, "--target", "price")
    assert adopted.params.data.table
    assert adopted.params.data.table.encoding == found
    assert (f"note: not UTF-8: read as {found}, such as {city[0]}; --encoding names another" in adopted.printed) == (
        found is not None
    )
    check_score(adopted, {"size": SIZE, "city": [name.strip() for name in city]}, PRICE)
    assert predict(tmp_path, table) == predict(tmp_path, table, "t.csv")


def test_the_encoding_can_be_given(tmp_path: Path) -> None:
    """A name that is none, or that the bytes are not written in, is one sentence."""
    table = ("size,city,price\n" + lines(SIZE, CITY, PRICE)).encode("cp1252")
    assert adopt(tmp_path, table, "--target", "price", "--encoding", "cp1250").params.data.table.encoding == "cp1250"  # type: ignore[union-attr]
    assert refuse(tmp_path, table, "--target", "price", "--encoding", "utf-8") == (
        "t.csv is not written in utf-8: name its encoding, or save it as UTF-8."
    )
    assert refuse(tmp_path, table, "--target", "price", "--encoding", "klingon") == (
        "t.csv: klingon is no encoding; allowed: a name such as cp1252 or utf-16."
    )


@pytest.mark.parametrize(
    ("table", "separator", "comment"),
    [
        ("size|kind|price\n" + lines(SIZE, KIND, PRICE, sep="|"), "|", None),
        ("size\tkind\tprice\n" + lines(SIZE, KIND, PRICE, sep="\t"), "\t", None),
        ("sep=;\nsize;kind;price\n" + lines(SIZE, KIND, PRICE, sep=";"), ";", None),
        ("sep=|\r\nsize|kind|price\r\n" + lines(SIZE, KIND, PRICE, sep="|"), "|", None),
        ("size  kind  price\n" + lines(SIZE, KIND, PRICE, sep="   "), " ", None),
        ("  size kind price\n" + lines(SIZE, KIND, PRICE, sep="\t "), " ", None),
        ("# made in 2024, by hand\n#\n\nsize,kind,price\n" + lines(SIZE, KIND, PRICE), ",", "#"),
        ("\ufeff# made\nsize;kind;price\n" + lines(SIZE, KIND, PRICE, sep=";"), ";", "#"),
    ],
)
def test_separators_and_lines_above_the_header_are_found(
    tmp_path: Path, table: str, separator: str, comment: str | None
) -> None:
    """By comma, semicolon, tab, bar or blanks; without comments and the line that names the separator."""
    adopted = adopt(tmp_path, table, "--target", "price")
    assert adopted.params.data.table
    assert (adopted.params.data.table.separator, adopted.params.data.table.comment) == (separator, comment)
    check_score(adopted, {"size": SIZE, "kind": KIND}, PRICE)
    assert predict(tmp_path, table) == predict(tmp_path, table, "t.csv")


def test_r_s_table_is_read(tmp_path: Path) -> None:
    """Blanks, quotes, row names and a header one shorter."""
    names = [f'"row {i}"' for i in NUMBERS]
    quoted = [f'"{kind} x"' for kind in KIND]
    adopted = adopt(
        tmp_path, '"size" "kind" "price"\n' + lines(names, SIZE, quoted, PRICE, sep=" "), "--target", "price"
    )
    assert adopted.roles == {"column_1": "id", "size": "number", "kind": "category"}
    assert adopted.table.columns["id"][3].as_py() == "row 3"
    check_score(adopted, {"size": SIZE, "kind": [f"{kind} x" for kind in KIND]}, PRICE)


def test_a_header_that_begins_with_a_mark_is_a_header(tmp_path: Path) -> None:
    """As the header has as many values as a row."""
    adopted = adopt(tmp_path, "#size,kind,price\n" + lines(SIZE, KIND, PRICE), "--target", "price")
    check_score(adopted, {"#size": SIZE, "kind": KIND}, PRICE)


def packed(name: str, mode: str) -> bytes:
    """Return an archive with one table."""
    made = io.BytesIO()
    if mode == "zip":
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr(name, "a,b\n1,2\n")
    else:
        with tarfile.open(fileobj=made, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo(name))
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(
            packed("t.csv", "zip"), "a zip archive, which is not read: unpack it, and name the file in it.", id="zip"
        ),
        pytest.param(
            packed("[Content_Types].xml", "zip"),
            "an Excel workbook, which is not read: save its sheet as CSV.",
            id="xlsx",
        ),
        pytest.param(
            packed("t.csv", "tgz"),
            "a tar archive, which is not read: unpack it, and name the file in it.",
            id="tar",  # the content holds the time
        ),
        (
            '[{"a": 1}, {"a": 2}]',
            "a JSON array, which is not read: write each row as an object on a line of its own: jq -c '.[]' t.csv > "
            "rows.jsonl.",
        ),
        ("<!DOCTYPE html>\n<html></html>", "a web page, which is not read: download the file itself."),
        (b"ARROW1\0\0", "an Arrow (Feather) file, which is not read: write it as Parquet or CSV."),
    ],
    ids=["zip", "xlsx", "tgz", "json", "html", "arrow"],  # not their bytes, which hold the time
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    """With what to do."""
    assert refuse(tmp_path, content, "--target", "b") == f"t.csv is {sentence}"


def test_json_lines_are_a_table(tmp_path: Path) -> None:
    """Keys are columns."""
    rows = [{"size": size, "kind": kind, "price": price} for size, kind, price in zip(SIZE, KIND, PRICE, strict=True)]
    adopted = adopt(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "--target", "price", name="t.jsonl")
    check_score(adopted, {"size": SIZE, "kind": KIND}, PRICE)


def test_messages_of_the_stage_name_the_file_as_the_user_does(tmp_path: Path) -> None:
    """The path is relative also where the table is read a second time."""
    table = "size,kind,price\n" + lines(SIZE, KIND, [*PRICE[:-1], "inf"])
    assert refuse(tmp_path, table, "--target", "price").startswith("t.csv, row 61: price is inf: fix it")


def test_a_class_that_usually_marks_a_gap_is_named(tmp_path: Path) -> None:
    """It stays a class until the user says otherwise."""
    kinds = ["?", "a", "b"] * (ROWS // 3)
    table = "size,price,kind\n" + lines(SIZE, PRICE, kinds)
    adopted = adopt(tmp_path, table, "--target", "kind")
    assert "note: ? is a class of kind, the target; if it stands for an unknown class, add --missing '?' " in (
        adopted.printed
    )
    check_score(adopted, {"size": SIZE, "price": PRICE}, kinds)
    adopted = adopt(tmp_path, table, "--target", "kind", "--missing", "?", "--drop-missing-target")
    assert adopted.table.columns.num_rows == ROWS * 2 // 3


@pytest.mark.parametrize(
    ("given", "kept"),
    [("size: {unit: m²}, gone: {unit: kg}, price: {unit: EUR}", ["size", "price"]), ("gone: {unit: kg}", None)],
)
def test_words_about_the_columns_of_a_former_table_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, kept: list[str] | None
) -> None:
    """`init` keeps the units of columns that the new table has, so that `export` goes on."""
    adopt(tmp_path, "size,kind,price\n" + lines(SIZE, KIND, PRICE), "--target", "price")
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text(PARAMS.read_text().replace("export:\n", f"export:\n  columns: {{{given}}}\n"))
    main(["init", "--data", "t.csv", "--target", "price", "--force"])
    export = load_params().export
    assert export
    assert (list(export.columns) if export.columns else None) == kept
