"""A raw table becomes typed columns, or one sentence that names the file, the row and the column at fault."""

import gzip
import io
import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifact_flow.core.base.encoding import Text
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Role
from artifact_flow.core.table.columns import missing_columns, to_column, type_columns
from artifact_flow.core.table.dialect import find_separator
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.source import open_table, read_names, read_start
from artifact_flow.core.table.typed_rows import read_columns, read_texts, stream_columns

Roles = Mapping[str, Role]
PLAIN = Form()


def written(folder: Path, content: str | bytes | pa.Table, name: str = "t") -> Path:
    """Write a table's text, bytes or Arrow columns (as Parquet) to a file and return its path."""
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def streamed(content: str | bytes, roles: Roles, form: Form = PLAIN) -> dict[str, list[Any]]:
    """Return the columns of a table that comes through a pipe."""
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    batches = stream_columns(open_table(Path("t"), stream, form, list(roles)), roles)
    return dict(pa.concat_tables(batches).to_pydict())


def read_all(path: Path, roles: Roles) -> None:
    """Read the names of a file's columns, then some of them, as texts and as their roles."""
    read_names(path, PLAIN)
    read_columns(path, PLAIN, roles)
    read_texts(path, PLAIN, list(roles))


def refused(folder: Path, content: str | bytes | pa.Table, roles: Roles, form: Form = PLAIN) -> str:
    """Return the sentence, without the file's name, with which a table is refused."""
    path = written(folder, content)
    with pytest.raises(DataError) as caught:
        read_columns(path, form, roles)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence.removeprefix(str(path)).removeprefix(", ").removeprefix(": ").removeprefix(" ")


TEXTS = "size;open;since;colour\n1.5;Yes;2024-02-01;red\n;no;;\n-2e3;NA;2024-02-02 12:30:00; dark blue \n"
ROLES: Roles = {"size": "number", "open": "boolean", "since": "date", "colour": "category"}
VALUES = {
    "size": [1.5, None, -2000.0],
    "open": [True, False, None],
    "since": [datetime(2024, 2, 1), None, datetime(2024, 2, 2, 12, 30)],
    "colour": ["red", None, "dark blue"],
}


def separator_of(path: Path) -> str:
    """Return the separator that is found in a file's first rows."""
    text = read_start(path, Form())
    assert text is not None
    return find_separator(text)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("wrap", [bytes, gzip.compress, b"\xef\xbb\xbf".__add__], ids=["plain", "gzip", "mark"])
def test_a_text_table_is_read_however_it_is_written(tmp_path: Path, mark: str, end: str, wrap: Any) -> None:
    """Separator, line ends, gzip and byte order mark change nothing; the separator is found."""
    content = wrap(TEXTS.replace(";", mark).replace("\n", end).encode())
    path = written(tmp_path, content)
    form = Form(separator=separator_of(path))
    assert form.separator == mark
    assert read_names(path, form) == list(ROLES)
    assert read_columns(path, form, ROLES).to_pydict() == VALUES
    assert streamed(content, ROLES) == VALUES


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ('"a\nb";c\n1;2\n', ";"),
        ("length, m;width, m;height\n1;2;3\n", ";"),
        ("name;remark\nx;one, two, three\ny;none\n", ";"),
        ('"a;b","c"\n1,2\n', ","),
        ("alone\n1\n2\n", ","),
        ('"never closed\n' + "1,2\n" * 40_000, ","),
    ],
)
def test_the_separator_is_the_one_that_parts_evenly(tmp_path: Path, text: str, mark: str) -> None:
    """What stands in quotes, or only in some rows, is no separator."""
    assert separator_of(written(tmp_path, text)) == mark


def test_a_parquet_file_has_no_separator_to_find(tmp_path: Path) -> None:
    """Its bytes are not looked at as text."""
    assert read_start(written(tmp_path, pa.table({"a": ["x\ry"] * 9})), Form()) is None


def test_without_a_header_the_columns_are_numbered(tmp_path: Path) -> None:
    """The first row is a row."""
    path, form = written(tmp_path, "1,x\n2,y\n"), Form(header=False)
    assert read_names(path, form) == ["column_1", "column_2"]
    assert read_columns(path, form, {"column_2": "category"}).to_pydict() == {"column_2": ["x", "y"]}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (",a\n1,2\n", ["column_1", "a"]),
        ("a,,\n1,2,3\n", ["a", "column_2", "column_3"]),
        ("a,b\n1,2,\n", ["a", "b", "column_3"]),
        ("a,b,,\n1,2\n", ["a", "b"]),
        ("a,b\n1,2,3\n4,5,6\n", ["column_1", "a", "b"]),
        ("a,b\n1,2,3\n", ["a", "b"]),
        ("a,a,a_2,a\n1,2,3,4\n", ["a", "a_3", "a_2", "a_4"]),
        ("column_1,\n1,2\n", ["column_1", "column_2"]),
        (",column_1\n1,2\n", ["column_2", "column_1"]),
    ],
)
def test_each_column_has_a_name_of_its_own(tmp_path: Path, text: str, names: list[str]) -> None:
    """One without a name is called by its place; a name that occurs again gets a number; R leaves out the first."""
    assert read_names(written(tmp_path, text), PLAIN) == names


def test_quoted_text_may_hold_anything(tmp_path: Path) -> None:
    """Separators, quotes and line breaks within quotes are text."""
    path = written(tmp_path, 'name,n\n"Smith, ""Jo""\nJr.",1\n')
    assert read_columns(path, PLAIN, {"name": "category"}).to_pydict() == {"name": ['Smith, "Jo"\nJr.']}


@pytest.mark.parametrize(
    ("role", "texts", "values"),
    [
        ("number", [" 3", "3 ", "", " ", "     ", "NA", " NA ", "nan", ".5", "1e3"], [3, 3, *[None] * 6, 0.5, 1000]),
        (
            "boolean",
            [" Yes", "no ", "T", "FALSE", "1", "0", "n", ""],
            [True, False, True, False, True, False, False, None],
        ),
        (
            "date",
            [" 2024-01-01", "2024-01-01T00:00:00.5Z", "2024-01-01 00:00", " "],
            [*[datetime(2024, 1, 1)] * 3, None],
        ),
        ("category", [" a", "a ", "NA", "?", "   ", "nan"], ["a", "a", None, "?", None, "nan"]),
    ],
)
def test_blanks_and_missing_values_are_the_same_in_every_format(
    tmp_path: Path, role: Role, texts: list[str], values: list[Any]
) -> None:
    """A text means the same in CSV, in Parquet and in JSON lines."""
    as_csv = "row,a\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts))
    as_json = "".join(json.dumps({"a": text}) + "\n" for text in texts)
    assert read_columns(written(tmp_path, as_csv), PLAIN, {"a": role}).to_pydict() == {"a": values}
    assert read_columns(written(tmp_path, pa.table({"a": texts})), PLAIN, {"a": role}).to_pydict() == {"a": values}
    assert streamed(as_csv, {"a": role}) == streamed(as_json, {"a": role}) == {"a": values}


def test_what_stands_for_a_missing_value_can_be_said(tmp_path: Path) -> None:
    """A question mark is a value, or none."""
    path = written(tmp_path, "row,a\n1, ?\n2,b\n")
    assert read_columns(path, Form(missing=("", "?")), {"a": "category"}).to_pydict() == {"a": [None, "b"]}


@pytest.mark.parametrize(
    ("column", "role", "values"),
    [
        (pa.array([1, None], pa.int16()), "number", [1.0, None]),
        (pa.array([2**60 + 1]), "number", [float(2**60)]),
        (pa.array(["1.50", None]).cast(pa.decimal128(9, 2)), "number", [1.5, None]),
        (pa.array([1.0, float("nan")], pa.float32()), "number", [1.0, None]),
        (pa.array([1.0, float("nan")]), "category", ["1", None]),
        (pa.array([True, None]), "number", [1.0, None]),
        (pa.array([1, 0, None]), "boolean", [True, False, None]),
        (pa.array([True, None]), "category", ["true", None]),
        (pa.array(["a", None]).dictionary_encode(), "category", ["a", None]),
        (pa.array(["Yes", "no"], pa.large_string()), "boolean", [True, False]),
        (pa.array(["a "], pa.string_view()), "category", ["a"]),
        (pa.array([0], pa.date32()), "date", [datetime(1970, 1, 1)]),
        (pa.array([1_500_000], pa.timestamp("us", "UTC")), "date", [datetime(1970, 1, 1, 0, 0, 1)]),
        (pa.nulls(2), "date", [None, None]),
        (pa.array([7]), "id", [7]),
        (pa.array(["x"]), "id", ["x"]),
    ],
)
def test_parquet_types_become_the_roles(tmp_path: Path, column: pa.Array, role: Role, values: list[Any]) -> None:
    """Each type of Arrow that can be a role is one."""
    path = written(tmp_path, pa.table({"a": column}))
    assert read_columns(path, PLAIN, {"a": role}).to_pydict() == {"a": values}


@pytest.mark.parametrize(
    ("values", "role", "found"),
    [
        ([1, 2.5, None], "number", [1.0, 2.5, None]),
        (["2.5", None, " 3"], "number", [2.5, None, 3.0]),
        ([True, None], "boolean", [True, None]),
        (["Yes", "no"], "boolean", [True, False]),
        ([1, 0], "boolean", [True, False]),
        ([None, "a"], "category", [None, "a"]),
        ([12, 7], "category", ["12", "7"]),
        ([12, 7], "id", [12, 7]),
        (["x12"], "id", ["x12"]),
        (["2024-01-01", None], "date", [datetime(2024, 1, 1), None]),
    ],
)
def test_json_lines_take_each_type(values: Iterable[Any], role: Role, found: list[Any]) -> None:
    """A value of JSON becomes what its column is; a key that is absent, or null, is missing."""
    lines = "".join(json.dumps({"a": value} if value is not None else {"b": 1}) + "\n" for value in values)
    assert streamed(lines, {"a": role}) == {"a": found}


def test_names_in_json_lines_are_those_of_all_first_rows(tmp_path: Path) -> None:
    """A key that the first row has not is a column too."""
    assert read_names(written(tmp_path, '{"a":null}\n{"b":1,"a":2}\n'), PLAIN) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty: it needs a header and rows."),
        ("\ufeff \r\n\n", "is empty: it needs a header and rows."),
        (gzip.compress(b"", mtime=0), "is empty: it needs a header and rows."),
        ("a,b\n", "has a header and no rows."),
        ("a,b", "has a header and no rows."),
        ("a,b\n\n\n", "has a header and no rows."),
        (pa.table({"a": pa.array([], pa.float64())}), "has no rows."),
        ("\na,b\n1,2\n", "begins with an empty line: remove it, so that the first line is the header."),
        ("a,b\n1,2\n3,4,5\n", "row 3: 3 values instead of 2: fix that row, or quote its separators."),
        ("a,b\n1,2\n3\n", "row 3: 1 values instead of 2"),
        ('a,b\n1,"x\n\ny"\n3\n', "row 3: 1 values instead of 2"),
        (
            b"a,b\n1,2\n3,M\xfcller\n",
            "row 3: not UTF-8 (byte 11): save the file as UTF-8, or name its enc",
        ),
        (
            b"a,b\n" + b"1,x\n" * 300_000 + b"2,\xff\n",
            "row 300002: b is not UTF-8: save the file as UTF-8, or name its enc",
        ),
        ("a,b\n1,2\nx,3\n", "row 3: a is 'x', which is not a number: fix it, or list it as a missing value, or give"),
        ("a,b\n1,2\n3,2\ninf,3\n-inf,4", "row 4: a is inf: fix it, or leave it empty if it is unknown."),
        ('a,b\n"1,2\n' + "3,4\n" * 40_000, "cannot be read as a table: field larger than field limit"),
        (
            gzip.compress(bytes(range(48, 58)) * 9_000, mtime=0)[:-30],
            "is damaged or cut off (Truncated compressed stream)",
        ),
        (pa.table({"a": [1.0, None, float("-inf"), float("inf")]}), "row 3: a is -inf: fix it"),
        (pa.table({"a": ["1", "", "x"]}), "row 3: a is 'x', which is not a number"),
        (pa.table({"a": [[1], [2]]}), "row 1: a is [1], which is not a number"),
        ('{"a":1}\n{"a":"x"}\n', "row 2: a is text, but a number is expected: write it the same way in every row."),
        ('{"a":1}\n{"a":\n', "row 2 cannot be read as a table: JSON parse error: "),
        ('{"a":1}\n{"a":{"b":2}}\n', "row 2: a is an object, but a number is expected"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, content: str | bytes | pa.Table, sentence: str) -> None:
    """The file, the row as a spreadsheet counts it, the column, what was found and what to do."""
    path = written(tmp_path, content)
    roles: Roles = {"a": "number", "b": "category"} if "UTF" in sentence else {"a": "number"}
    with pytest.raises(DataError) as caught:
        read_all(path, roles)
    assert "\n" not in str(caught.value)
    found = str(caught.value).removeprefix(str(path)).removeprefix(",").removeprefix(":").removeprefix(" ")
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("content", "role", "sentence"),
    [
        (
            "a,b\n2024-01-01,2\n2024-13-01,3\n",
            "date",
            "row 3: a is '2024-13-01', which is not an ISO date such as 2026-11-21",
        ),
        ("a,b\nyes,2\nmaybe,3\n", "boolean", "row 3: a is 'maybe', which is neither true nor false"),
        (pa.table({"a": ["yes", "maybe"]}), "boolean", "row 2: a is 'maybe', which is neither true nor false"),
        (pa.table({"a": [1, 2]}), "boolean", "row 2: a is 2, which is neither true nor false"),
        (pa.table({"a": [[1], [2]]}), "category", "row 1: a is [1], which is not text"),
    ],
)
def test_a_value_that_is_not_its_role_is_named(
    tmp_path: Path, content: str | pa.Table, role: Role, sentence: str
) -> None:
    """The first row whose value does not fit its column is told, with the value."""
    assert refused(tmp_path, content, {"a": role}).startswith(sentence)


@pytest.mark.parametrize("length", [4, 100, -200, -1])
def test_a_parquet_file_cut_off_is_told(tmp_path: Path, length: int) -> None:
    """Wherever it ends too early, no row of it is used."""
    path = written(tmp_path, pa.table({"a": np.arange(1000)}))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"t is damaged or cut off \(.*\): copy it again from its origin\.$"):
        read_columns(path, PLAIN, {"a": "number"})


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_is_no_file_is_told(tmp_path: Path, name: str) -> None:
    """A path that leads nowhere, or to a folder."""
    with pytest.raises(DataError, match=r"cannot be read: .*: name a CSV, Parquet or JSON lines file\.$"):
        read_start(tmp_path / name, Form())


@pytest.mark.long
def test_a_row_far_down_a_pipe_is_named() -> None:
    """Rows are counted over all batches."""
    rows = 450_000  # more than the reader takes at once
    with pytest.raises(DataError, match=rf"^t, row {rows + 2}: a is 'x', which is not a number"):
        streamed("a,b\n" + "1234,5678\n" * rows + "x,1\n", {"a": "number"})
    rows = 120_000
    with pytest.raises(DataError, match=rf"^t, row {rows + 1}: a is text, but a number is expected"):
        streamed('{"a":1234}\n' * rows + '{"a":"x"}\n', {"a": "number"})


def test_another_separator_or_order_of_columns_is_found_in_a_pipe() -> None:
    """A model trained on commas takes semicolons, as long as the columns are those it knows."""
    assert streamed("b;a\n1;2\n", {"a": "number", "b": "number"}) == {"a": [2.0], "b": [1.0]}


def test_a_column_becomes_numbers_or_indexed_text() -> None:
    """Dates are days since 1970, booleans 0 and 1, a missing number NaN, a missing text -1."""
    days = to_column(pa.chunked_array([pa.array([datetime(1970, 1, 2, 12), None], pa.timestamp("s"))]))
    flags = to_column(pa.chunked_array([pa.array([True, None])]))
    texts = to_column(pa.chunked_array([["b", None], ["a", "b"]]))
    assert np.array_equal(days, [1.5, np.nan], equal_nan=True)  # type: ignore[arg-type]
    assert np.array_equal(flags, [1, np.nan], equal_nan=True)  # type: ignore[arg-type]
    assert isinstance(texts, Text)
    assert (texts.values, texts.index.tolist()) == (["b", "a"], [0, -1, 1, 0])


@pytest.mark.parametrize("place", [0, 1, 49_999, 77_777, 99_999])
def test_the_first_value_that_does_not_fit_is_named(place: int) -> None:
    """Of any that do not, wherever it is."""
    texts = [str(number) for number in range(100_000)]
    texts[place] = texts[-1] = "x"
    with pytest.raises(DataError, match=rf"^t, row {place + 1}: a is 'x', which is not a number"):
        type_columns(pa.table({"a": texts}), {"a": "number"}, PLAIN, "t", 1)


def test_a_very_wide_table_is_checked_in_linear_time(tmp_path: Path) -> None:
    """100,000 columns, where looking up each name among all took minutes: a name twice."""
    names = [f"c{number}" for number in range(100_000)]
    start = time.monotonic()
    missing_columns(names, names[::-1], "t")
    found = read_names(written(tmp_path, ",".join([*names, "c7"]) + "\n1\n"), PLAIN)
    assert found == [*names, "c7_2"]
    assert time.monotonic() - start < 10
