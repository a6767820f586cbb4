"""A row written as text means the same in CSV, JSON, JSON lines, `predict` and the training, or is refused by all."""

import csv
import gzip
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from serving.server import Server

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import Role
from artifact_flow.core.model.predictions import Predictions
from artifact_flow.core.table.columns import to_column
from artifact_flow.core.table.ending import OPEN_QUOTE
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.typed_rows import read_columns
from artifact_flow.predict.files import Predictor, Report, note_ignored, open_pair, open_rows, predict_batches
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.rows import Rows

PACKED = gzip.compress(b"{}", mtime=0)
ROLES: dict[str, Role] = {
    "plain": "number",
    "euro": "number",
    "swiss": "number",
    "dollar": "number",
    "flag": "boolean",
    "iso": "date",
    "day": "day-first date",
    "month": "month-first date",
    "word": "category",
}
STYLES = {"euro": "1.234,5", "swiss": "1'234.5", "dollar": "1,234.5"}
GOOD = {
    "plain": "1.5",
    "euro": "1,5",
    "swiss": "1.5",
    "dollar": "1.5",
    "flag": "yes",
    "iso": "2024-01-28",
    "day": "28.1.2024",
    "month": "1/28/2024",
    "word": "red",
}
# column → the texts of a cell; what each means, training says
TEXTS = {
    "plain": "5|+5|-5| 5 |5.|.5|-.5|5e3|1E+05|1e-400|-0|007|1_0|1__0|_1|0x10|0b1|1,5|1.234,5|1 000|5 5|--5|5f|1d5|"
    "5%|$5|true|\u0663|\u22125|\uff15|inf|-Infinity|+inf|1e400|nan|NaN|NA|?| ? |null|None|n/a||   |"
    "1e|e5|.|+|12345678901234567890",
    "euro": "1.234,5|1234,5|1234.5|1.5|1,5|1.234.567,89|12.34,5|5|+5|-5|\u22125|(5)|45%|5 %|3k|3M|2bn|$1.000|"
    "\u20ac 5|EUR 5|"
    "R$5|CHF5|5\u20ac|5,|,5|1e5|inf|nan|?||_5|1_0|5,5,5|0x10|1.2345",
    "swiss": "1'234.5|1\u2019234.5|1234.5|1'23|12'345'678|1,234|",
    "dollar": "$1,234.50|-$3|($3)|12,34,567|1,23|1,234,5|US$5|?",
    "flag": "true|True|TRUE|tRUE|yes|Yes|YES|yEs|t|T|y|Y|1|no|NO|f|n|N|0|on|off|ON|1.0|0.0|2|-1|enabled|"
    "?|NA|| yes |tr|ja",
    "iso": "2024-01-28| 2024-01-28 |2024-01-28T10:00:00+02:00|2024-01-28T10:00:00Z|2024-01-28 10:00:05.75Z|"
    "2024-01-28T10:00+0530|"
    "2024-01|20240128|2024/1/28|1700000000|1706400000000|2024|28.1.2024|2024-02-30|2024-13-01|2024-01-28T25:00|"
    "2024-01-28T10:00:60|soon|today|?|NA||2024-1-28|2024-W04|0.5|1600-02-29",
    "day": "28.1.2024|28/1/2024 9:05|1/28/2024|1/2/2024|28.1.24|2024-01-28|?",
    "month": "1/28/2024|28/1/2024|1/2/2024|01-02-2024|2024-01-28T00:00:00-05:00|",
    "word": "red| red |\u00a0red|Red|blue|NA| NA |?||null|5|5.0|true|a,b|a;b|a\"b|M\u00fcller|\u200bred|'red'|na",
}
CASES = [(name, text) for name, texts in TEXTS.items() for text in texts.split("|")]


@cache
def make_contract(preprocess: str, *names: str) -> Contract:
    """Return the contract of a model of the named columns of such a table, or of all."""
    table = {
        "target": "y",
        "task": "regression",
        "columns": {**ROLES, "key": "id", "remark": "left out"},
        "missing": ["", "NA", "?"],
        "numbers": STYLES,
    }
    data = {"source": "t.csv", "test_size": 0.5, "seed": 1, "stratify": False, "preprocess": preprocess, "table": table}
    features = []
    for name in names or ROLES:
        role = ROLES[name]
        kind = role if role in ("number", "boolean", "category") else "date"
        feature: dict[str, Any] = {"name": name, "type": kind, "missing": 0.0, "shares": [1.0]}
        features.append(feature | ({"categories": ["a,b", "red"]} if kind == "category" else {}))
    return Contract.model_validate(
        {
            "version": 2,
            "target": {"name": "y", "task": "regression", "classes": []},
            "id": "key",
            "rows": {"train": 2, "test": 1},
            "params": {"data": data},
            "sha256": {},
            "libraries": {},
            "features": features,
        }
    )


WHOLE = make_contract("auto")


@cache
def rows_of(preprocess: str, *names: str) -> Rows:
    """Return what the service reads the rows of such a model with."""
    return Rows(make_contract(preprocess, *names), max_rows=9)


def as_csv(row: dict[str, Any], separator: str = ",") -> bytes:
    """Return a row as CSV with a header."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(row)
    writer.writerow(row.values())
    return out.getvalue().encode()


def names_of(contract: Contract) -> list[str]:
    """Return the columns that a model uses."""
    return [feature.name for feature in contract.features]


def by_training(body: bytes, contract: Contract, folder: Path) -> np.ndarray | None:
    """Return the matrix that training encodes from a file, None when it refuses the file."""
    (folder / "t.csv").write_bytes(body)
    table = contract.table
    assert table
    try:
        columns = read_columns(folder / "t.csv", Form.of(table), {name: ROLES[name] for name in names_of(contract)})
    except DataError:
        return None
    return encode_rows(contract.features, {name: to_column(columns[name]) for name in names_of(contract)})[0]


def by_predict(body: bytes, contract: Contract) -> np.ndarray | None:
    """Return the matrix that `predict` encodes from a file, None when it refuses the file."""
    try:
        return predict(body, contract)
    except DataError:
        return None


def predict(body: bytes, contract: Contract) -> np.ndarray:
    """Return the matrix that `predict` encodes from a file; raise DataError when it refuses the file."""
    found: list[np.ndarray] = []

    def keep(X: np.ndarray) -> Predictions:
        found.append(X)
        return Predictions(np.zeros(len(X)), None)

    source = open_rows("t", io.BytesIO(body), contract)
    note_ignored(source, contract, Report())
    list(predict_batches(source, Predictor(contract, keep, np.float64), Report()))
    return np.concatenate(found)


def by_service(rows: Rows, kind: str, body: bytes) -> np.ndarray | None:
    """Return the matrix that the service encodes from a body, None when it refuses the body."""
    try:
        if kind == "one":
            return rows.encode([rows.parse_one(body)])
        if kind == "columns":
            return rows.read_columns({name: [value] for name, value in json.loads(body).items()})[1]
        return {"json": rows.read_many, "lines": rows.read_lines, "csv": rows.read_csv}[kind](body)[1]
    except Problem:
        return None


def readings(row: dict[str, Any], rows: Rows) -> dict[str, np.ndarray | None]:
    """Return way → matrix of every way to hand over a row of texts."""
    one = json.dumps(row, ensure_ascii=False).encode()
    table = as_csv(row)
    return {
        "predict CSV": by_predict(table, rows.contract),
        "predict JSON lines": by_predict(one + b"\n", rows.contract),
        "CSV": by_service(rows, "csv", table),
        "CSV, semicolons": by_service(rows, "csv", as_csv(row, ";")),
        "CSV, BOM": by_service(rows, "csv", b"\xef\xbb\xbf" + table),
        "JSON": by_service(rows, "one", one),
        "JSON array": by_service(rows, "json", b"[" + one + b"]"),
        "JSON lines": by_service(rows, "lines", one + b"\n"),
        "columns": by_service(rows, "columns", one),
    }


def equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Return whether two readings are the same numbers, or both refusals."""
    return one is other if one is None or other is None else np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("name", TEXTS)
def test_a_cell_means_the_same_everywhere_or_is_refused_everywhere(name: str, tmp_path: Path) -> None:
    """Each text of the table: nine ways of handing it over give the numbers of training, or a refusal as it does."""
    beside = "swiss" if name == "plain" else "plain"
    rows, different, read = rows_of("auto", name, beside), [], 0
    for text in TEXTS[name].split("|"):
        row = {name: text, beside: GOOD[beside]}
        expected = by_training(as_csv(row), rows.contract, tmp_path)
        read += expected is not None
        found = readings(row, rows)
        different += [(text, way, one, expected) for way, one in found.items() if not equal(one, expected)]
    assert not different
    assert read > 1


def test_the_table_is_long() -> None:
    """It has at least 120 cells, of all kinds of columns."""
    assert len(CASES) >= 120
    assert set(TEXTS) == set(ROLES)


def test_a_missing_value_is_refused_by_a_model_without_imputer_whatever_marks_it() -> None:
    """Except for a text, of which a missing one is a category of its own."""
    for name in ROLES:
        rows = rows_of("none", name, "swiss" if name == "plain" else "plain")
        for text in ("", "NA", " ? "):
            found = readings({**{one: GOOD[one] for one in rows.names}, name: text}, rows)
            accepted = {way: matrix is not None for way, matrix in found.items()}
            assert set(accepted.values()) == {name == "word"}, (name, text, accepted)


NATIVE = [
    ("plain", 5),
    ("plain", 0.1),
    ("plain", None),
    ("plain", [1]),
    ("plain", {"a": 1}),
    ("euro", 1234.5),
    ("flag", True),
    ("flag", 0),
    ("flag", 1.0),
    ("flag", 0.5),
    ("flag", 2),
    ("iso", 20240128),
    ("iso", 1706400000),
    ("iso", 1.5),
    ("iso", True),
    ("word", 5),
    ("word", 5.0),
    ("word", True),
    ("word", 0.00001),
    ("word", 1e20),
    ("word", None),
    ("word", ["red"]),
]


@pytest.mark.parametrize(("name", "value"), NATIVE)
def test_a_value_of_json_means_the_same_in_the_service_and_in_predict(name: str, value: Any) -> None:
    """Numbers, booleans and null, with the texts that they are equal to among the categories."""
    texts = ["5", "true", "0.00001", "1e+20", "red"]
    features = [
        feature.model_copy(update={"categories": texts}) if feature.name == "word" else feature
        for feature in WHOLE.features
    ]
    rows = Rows(WHOLE.model_copy(update={"features": features}), max_rows=9)
    body = json.dumps({**GOOD, name: value}).encode()
    expected = by_predict(body + b"\n", rows.contract)
    for kind, sent in (("one", body), ("json", b"[" + body + b"]"), ("lines", body), ("columns", body)):
        assert equal(by_service(rows, kind, sent), expected)


ROW = json.dumps(GOOD).encode()
HEADER, VALUES = as_csv(GOOD).splitlines()
BODIES: list[tuple[str, str, bytes]] = [
    ("a header with a name twice", "csv", HEADER + b",plain\n" + VALUES + b",2\n"),
    ("a key twice", "lines", ROW[:-1] + b', "plain": 2}'),
    ("a key twice, once escaped", "lines", ROW[:-1] + b', "\\u0070lain": 2}'),
    ("no header", "csv", VALUES + b"\n"),
    ("only a header", "csv", HEADER + b"\n"),
    ("another case in a name", "csv", HEADER.replace(b"plain", b"Plain") + b"\n" + VALUES + b"\n"),
    ("a value too many", "csv", HEADER + b"\n" + VALUES + b",1\n"),
    ("a value too few", "csv", HEADER + b"\n" + VALUES.rpartition(b",")[0] + b"\n"),
    ("a number beyond float64", "lines", ROW.replace(b'"1.5"', b"1e309", 1)),
    ("half a character", "lines", ROW.replace(b"red", b"\\ud800")),
    ("two columns swapped with their names", "csv", b"word," + HEADER[:-5] + b"\nred," + VALUES[:-4] + b"\n"),
    ("blanks around names", "csv", HEADER.replace(b",", b" , ") + b"\n" + VALUES + b"\n"),
    ("tabs", "csv", as_csv(GOOD, "\t").replace(b'"', b"")),
    ("a line that names the separator", "csv", b"sep=;\n" + as_csv(GOOD, ";")),
    ("lines that end as on Windows", "csv", as_csv(GOOD).replace(b"\n", b"\r\n")),
    ("empty lines", "csv", HEADER + b"\n\n" + VALUES + b"\n\n"),
    ("UTF-16", "csv", as_csv(GOOD).decode().encode("utf-16")),
    ("the training table's other columns", "csv", b"key,remark,y," + HEADER + b"\n1,x,5," + VALUES + b"\n"),
    ("the training table's other keys", "lines", ROW[:-1] + b', "key": 1, "remark": "x", "y": 5}'),
    ("row names", "csv", HEADER + b"\n7," + VALUES + b"\n8," + VALUES + b"\n"),
    ("an empty value at the end of each row", "csv", HEADER + b"\n" + (VALUES + b",\n") * 2),
    ("a quotation mark within a value", "csv", HEADER + b"\n" + VALUES.replace(b"red", b'r"ed') + b"\n"),
    ("a byte order mark before JSON", "lines", b"\xef\xbb\xbf" + ROW),
    ("NaN", "lines", ROW.replace(b'"1.5"', b"NaN", 1)),
    ("a whole number of thirty digits", "lines", ROW.replace(b'"1.5"', b"1" * 30, 1)),
]


@pytest.mark.parametrize(("kind", "body"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_a_file_means_the_same_in_the_service_and_in_predict(kind: str, body: bytes) -> None:
    """Its header, its separator, its encoding and its rows."""
    assert equal(by_service(rows_of("auto"), kind, body), by_predict(body, WHOLE))


OPEN: list[tuple[str, int, bytes]] = [
    ("in the last row", 1, HEADER + b"\n" + VALUES.replace(b"red", b'"red') + b"\n"),
    ("above other rows", 1, b'plain,word\n1,"red\n2,blue\n3,red\n'),
    ("as the last byte", 2, b'plain,word\n1,red\n2,"'),
    ("after two that are one", 1, b'plain,word\n1,"red""\n'),
    ("with separators after it", 1, b'plain,word\n1,"red,5,6\n'),
    ("in a row with too many values", 1, b'plain,word\n1,2,"red\n'),
    ("in the header", 0, b'plain,"word\n1,red\n'),
]


@pytest.mark.parametrize(("row", "body"), [case[1:] for case in OPEN], ids=[case[0] for case in OPEN])
def test_a_quotation_mark_that_is_never_closed_is_refused_everywhere(row: int, body: bytes, tmp_path: Path) -> None:
    """It would take every row below into one value; a file's header is its row 1, a body's rows count below it."""
    contract = make_contract("auto", "plain", "word") if body.startswith(b"plain") else WHOLE
    (tmp_path / "t.csv").write_bytes(body)
    with pytest.raises(Problem) as problem:
        Rows(contract, max_rows=9).read_csv(body)
    assert problem.value.sentence == f"{f'row {row}' if row else 'the header'}: {OPEN_QUOTE}"
    with pytest.raises(DataError, match=f"^t, row {row + 1}: {OPEN_QUOTE}$"):
        predict(body, contract)
    with pytest.raises(DataError, match=rf"/t\.csv, row {row + 1}: {OPEN_QUOTE}$"):
        read_columns(tmp_path / "t.csv", Form(), {name: ROLES[name] for name in names_of(contract)})


REQUESTS: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("predict?wieghts=8bit", b"{}", {}, 422, "'wieghts' is not a parameter of this endpoint (did you mean weights?): "),
    ("predict?weights=float&weights=float", b"{}", {}, 422, "the parameter weights is given 2 times: give it once."),
    (
        "predict",
        b"{}",
        {"Content_Type": "text/plain"},
        415,
        "the content type 'text/plain' is not supported: send a JS",
    ),
    ("predict", b"{}", {"Content_Type": "application/json; charset=utf-16"}, 415, "the charset 'utf-16' is not supp"),
    ("predict", b"{}", {"Content_Encoding": "br"}, 415, "the content encoding 'br' is not supported: send the body "),
    (
        "predict",
        gzip.compress(b"{}", mtime=0),
        {},
        415,
        "the body is compressed by gzip: unpack it, and send what it holds.",
    ),
    ("predict", b'{"size": 1, "size": 2}', {}, 422, "'size' is given twice: send each column once."),
    ("predict", b'{"since": "1700000000"}', {}, 422, 'since is "1700000000": send a date such as 2026-11-21.'),
    ("predict", b'{"open": "on"}', {}, 422, 'open is "on": send true or false.'),
    ("predict/batch", b"size\n1_0\n", {"Content_Type": "text/csv"}, 422, 'row 1: size is "1_0": send a number.'),
    ("predict/batch", b"size,size\n1,2\n", {"Content_Type": "text/csv"}, 422, "the header has several columns named "),
    ("predict/batch", b"PK\x03\x04", {"Content_Type": "text/csv"}, 422, "the body is a zip archive, which is not read"),
    ("predict/batch", b"size\n\xfc\n", {"Content_Type": "text/csv"}, 422, "line 2 of the body is not UTF-8 (byte 5)"),
]


@pytest.mark.parametrize(("path", "body", "headers", "status", "sentence"), REQUESTS)
def test_a_request_is_taken_at_its_word_or_refused(  # noqa: PLR0913, PLR0917 - one case
    served: Server, path: str, body: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    """Its query, its type, its charset, its encoding and its names; the sentence says what to do."""
    answer = served.ask("POST", f"/models/own/{path}", body, **headers)
    assert (answer.status, answer.detail[: len(sentence)]) == (status, sentence)


def test_the_service_predicts_what_predict_predicts(served: Server, models: dict[str, Path]) -> None:
    """A row of texts with a time zone, blanks, another word for true and other columns, in every form of a body."""
    row = {"key": "k", "size": " +1.5e0 ", "open": "Y", "since": "2022-03-01T23:30-01:00", "colour": " red "}
    model = open_pair(models["own"])
    source = open_rows("t", io.BytesIO(as_csv(row)), model.contract)
    expected = pa.concat_tables(predict_batches(source, model, Report())).to_pylist()[0]
    one = json.dumps(row).encode()
    path = "/models/own/predict"
    answers = [
        served.post(path, one).document,
        served.post(f"{path}/batch", b"[" + one + b"]").document["predictions"][0],
        served.post(f"{path}/batch", one, "application/jsonl").document["predictions"][0],
        served.post(f"{path}/batch", as_csv(row), "text/csv; charset=UTF-8").document["predictions"][0],
        served.post(f"{path}/batch", as_csv(row, ";"), "text/csv").document["predictions"][0],
    ]
    assert {answer["class_name"] for answer in answers} == {expected["prediction"]}
    assert [answer["confidence"] for answer in answers] == pytest.approx([expected["probability"]] * 5, abs=1e-6)


@pytest.mark.parametrize(("mark", "text"), [("-999", "-999"), ("0", "0"), ("-999", "-999.0"), ("5", "5e0"), ("1", "2")])
def test_a_number_that_marks_a_missing_value_is_one_everywhere(mark: str, text: str, tmp_path: Path) -> None:
    """Of a column of numbers only; a number that is written otherwise is a value."""
    contract = make_contract("auto", "plain", "swiss")
    data = contract.model_dump(mode="json", exclude_none=True)
    data["params"]["data"]["table"]["missing"] = ["", mark]
    rows = Rows(Contract.model_validate(data), max_rows=9)
    row = {"plain": text, "swiss": "1.5"}
    expected = by_training(as_csv(row), rows.contract, tmp_path)
    assert expected is not None
    assert np.isnan(expected[0, 0]) == (mark == text)
    assert {way: equal(matrix, expected) for way, matrix in readings(row, rows).items()} == dict.fromkeys(
        readings(row, rows), True
    )


PLAIN = [
    "5,6", "+5,6", ".5,6", "5.,6", "007,6", "-0,6", "1e3,6", "1e400,6", "1e39,6", "12345678901234567890123,6", "5,",
    ",6", "5, 6", "5,NaN", "5,null", "5,true", "5,[6]", "5,6]", '"5,7",6', '"5,7",', '"5",6', '"""5""",6', "5,0x10",
    '"5\n",6', "0.1,0.30000000000000004", "5,6,7", "5",
]  # fmt: skip


@pytest.mark.parametrize("line", PLAIN)
@pytest.mark.parametrize("header", ["plain,other", "other,plain", "key,plain,other"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", ""])
def test_cells_that_are_parsed_together_mean_what_they_mean_alone(line: str, header: str, end: str) -> None:
    """A CSV of numbers only, and one with a text column beside them, which is read value by value."""
    features = [{"name": name, "type": "number", "missing": 0.0, "shares": [1.0]} for name in ("plain", "other")]
    word = {"name": "word", "type": "text", "missing": 0.0, "shares": [1.0]}
    data = make_contract("none", "plain").model_dump(mode="json", exclude_none=True)
    data["params"]["data"]["table"]["columns"] = {"plain": "number", "other": "number", "key": "id", "word": "text"}
    data["params"]["data"]["table"]["numbers"] = {}
    together, alone = (
        Rows(Contract.model_validate(data | {"features": found}), max_rows=9) for found in (features, [*features, word])
    )
    key = "k," if header.startswith("key") else ""
    lines = [header, f"{key}1,2", key + line]
    one = by_service(together, "csv", (end or "\n").join(lines).encode() + end.encode())
    lines = [f"{lines[0]},word", *(f"{row},x" for row in lines[1:])]
    other = by_service(alone, "csv", (end or "\n").join(lines).encode() + end.encode())
    assert equal(one, None if other is None else other[:, :2].astype(float))


def test_numbers_in_the_style_of_the_training_are_read_as_such() -> None:
    """1.234 is a thousand and more where a dot parts groups of digits."""
    data = make_contract("none", "euro").model_dump(mode="json", exclude_none=True)
    rows = Rows(Contract.model_validate(data), max_rows=9)
    assert by_service(rows, "csv", b"euro\n1.234\n") == [[1234.0]]
