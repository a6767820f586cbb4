"""Rows: read and check the rows that a client sends, as `predict` reads those of a file, and encode them.

Each value is read by `cells`, in JSON and in CSV alike, and encoded as `encoding` encodes it: to the same numbers, or
with the same refusal. Every refusal is a Problem that names the row and the column.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from pydantic_core import from_json

from artifact_flow.core.base.cells import Value, cell_reader
from artifact_flow.core.base.contract import Contract, Feature
from artifact_flow.core.base.encoding import SECONDS_A_DAY, UNSEEN, have_text
from artifact_flow.core.base.errors import closest
from artifact_flow.core.table.form import Form
from artifact_flow.serving.delimited import GZIP, PACKED, read_delimited
from artifact_flow.serving.problems import Problem

FLOAT32_MAX = 3.4e38  # a model takes float32
EXPECTED = {"number": "a number", "boolean": "true or false", "date": "a date such as 2026-11-21"}
EXPECTED |= dict.fromkeys(("category", "text"), "text")
STORED = ("id", "target", "split")  # what data.parquet has beside the features
NUMERIC = frozenset((int, float))
NUMERALS = re.compile(r"[0-9+\-.eE]*")  # of these, float() reads what the pattern of a number allows
LONG = 100  # digits of a whole number that only float() reads, as infinity if need be
MARK = b"\xef\xbb\xbf"

Row = Mapping[str, Any]
Parsed = tuple[list[Row], np.ndarray]  # rows as their values were read, and their matrix from `Rows.encode`


class Rows:
    """Reads, checks and encodes the rows of one model."""

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Take from a contract how each column is read and encoded."""
        self.contract, self.max_rows = contract, max_rows
        self.features = {feature.name: feature for feature in contract.features}
        self.names = list(self.features)
        self.optional = {name for name, feature in self.features.items() if contract.may_miss(feature)}
        self.plain = not self.optional and all(feature.type == "number" for feature in contract.features)
        self.texts = have_text(contract.features)
        table = contract.table
        self.form = Form.of(table) if table else Form()
        self.columns = list({**table.columns, table.target: "target"}) if table else self.names
        self.ignored = {contract.id, contract.target.name, *STORED, *self.columns} - set(self.names)
        self._readers = {name: self._reader(feature) for name, feature in self.features.items()}
        self._codes = [(name, _coder(feature)) for name, feature in self.features.items()]
        self._quotes = 2 * len(self.names)  # in a row of numbers, when no column is given twice

    def parse_one(self, body: bytes) -> Row:
        """Return the row in a JSON object; raise Problem naming the first invalid column."""
        if self.plain and (row := self._parse_plain(body)):
            return row
        return self._read(_load(body, self._wanted))

    def read_many(self, body: bytes) -> Parsed:
        """Return the rows of a JSON array and their matrix; raise Problem naming the first invalid row."""
        if self.plain and (parsed := self._parse_plain_rows(body)):
            return parsed
        rows = _load(body, self._wanted)
        if type(rows) is not list:
            raise Problem(422, f"the body is not a JSON array: send an array, each item {self._wanted()}.")
        self._count(len(rows))
        read = [self._read(row, f"row {number}: ") for number, row in enumerate(rows, 1)]
        return read, self.encode(read)

    def read_lines(self, body: bytes) -> Parsed:
        """Return the rows of JSON lines and their matrix; raise Problem naming the first invalid row."""
        lines = [line for line in body.removeprefix(MARK).split(b"\n") if line.strip()]
        self._count(len(lines))
        rows = []
        for number, line in enumerate(lines, 1):
            where = f"row {number}: "
            rows.append(self._read(_load(line, self._wanted, where), where))
        return rows, self.encode(rows)

    def read_csv(self, body: bytes, charset: str | None = None) -> Parsed:
        """Return the rows of a CSV and their matrix; raise Problem naming the first invalid row."""
        table = read_delimited(body, self.form, charset, self.names, self.columns)
        self._count(len(table.rows))
        given = dict(zip(table.names, zip(*table.rows, strict=True), strict=True))
        given.pop("", None)  # row names
        for name in given:
            if name not in self.features and name not in self.ignored:
                raise self._unknown(name, "")
        columns, faults = {}, []
        for name in self.names:
            if name in given:
                columns[name], fault = self._read_column(name, given[name])
                faults += [fault] if fault else []
            elif name not in self.optional:
                raise Problem(422, f"the header lacks {name}: send {self._expected(name)} in each row.")
        if faults:
            number, sentence = min(faults, key=lambda fault: fault[0])
            raise Problem(422, f"row {number}: {sentence}")
        rows: list[Row] = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        rows = rows or [{} for _ in table.rows]
        return rows, self.encode(rows)

    def encode(self, rows: Sequence[Row]) -> np.ndarray:
        """Return the matrix [rows, features], equal to that of `encoding.encode_rows` for the same values."""
        if self.plain:  # a row that was read has every column, in the contract's order
            return np.array([list(row.values()) for row in rows], np.float64)
        values = [[code(row.get(name)) for name, code in self._codes] for row in rows]
        return np.array(values, object if self.texts else np.float64)

    def example(self) -> dict[str, Any]:
        """Return a row of each column's middle value in training."""
        return {name: feature.middle for name, feature in self.features.items()}

    def _reader(self, feature: Feature) -> Callable[[Any], Value]:
        return cell_reader(self.contract.role_of(feature), self.form.missing, self.form.numbers.get(feature.name))

    def _parse_plain(self, body: bytes) -> Row | None:
        """Return the row of a JSON object with every column once, in order, each a number for float32, else None."""
        try:
            row = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(row) is not dict or list(row) != self.names or body.count(b'"') != self._quotes:
            return None
        values = row.values()
        try:  # the sum is as large as its largest part, and refuses what is no number but a boolean
            fits = sum(map(abs, values)) <= FLOAT32_MAX and bool not in map(type, values)
        except TypeError:
            return None
        return row if fits else None

    def _parse_plain_rows(self, body: bytes) -> Parsed | None:
        """Return the rows of a JSON array, each as `_parse_plain` says, and their matrix, else None."""
        try:
            rows = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(rows) is not list or not 1 <= len(rows) <= self.max_rows:
            return None
        if body.count(b'"') != self._quotes * len(rows):
            return None
        if any(type(row) is not dict or list(row) != self.names for row in rows):
            return None
        values = [value for row in rows for value in row.values()]
        if not set(map(type, values)) <= NUMERIC:
            return None
        X = np.array(values, np.float64).reshape(len(rows), -1)  # orjson reads integers of up to 64 bits
        return (rows, X) if np.abs(X).max() <= FLOAT32_MAX else None

    def _read(self, row: Any, where: str = "") -> Row:
        """Return the values of an object in the contract's order; raise Problem naming the first invalid column."""
        if type(row) is not dict:
            if isinstance(row, _Repeated):
                raise Problem(422, f"{where}{row.name[:100]!r} is given twice: send each column once.")
            what = "value" if where else "body"
            raise Problem(422, f"{where}the {what} is not a JSON object: send {self._wanted()}.")
        values: dict[str, Value] = {}
        for name in self.names:
            if name in row:
                values[name] = self._read_value(name, row[name], where)
            elif name not in self.optional:
                self._refuse_unknown(row, where)
                raise Problem(422, f"{where}{name} is missing: send {self._expected(name)}.")
        if len(values) < len(row):
            self._refuse_unknown(row, where)
        return values

    def _read_value(self, name: str, value: Any, where: str) -> Value:
        try:
            read = self._readers[name](value)
        except ValueError as error:
            raise Problem(422, where + self._misfit(name, value)) from error
        if read is None and not self._may_miss(name):
            raise Problem(422, where + self._misfit(name, value))
        if type(read) is float and abs(read) > FLOAT32_MAX:
            raise Problem(422, where + self._misfit(name, value))
        return read

    def _read_column(self, name: str, texts: Sequence[str]) -> tuple[Sequence[Value], tuple[int, str] | None]:
        """Return a CSV column's values, and the number and fault of its first invalid row, if there is one."""
        plain = self.features[name].type == "number" and name not in self.form.numbers
        if plain and NUMERALS.fullmatch("".join(texts)):
            try:
                values = [float(text) for text in texts]
            except ValueError:
                pass
            else:
                if max(values) <= FLOAT32_MAX and min(values) >= -FLOAT32_MAX:
                    return values, None
        read: list[Value] = []
        for number, text in enumerate(texts, 1):
            try:
                read.append(self._read_value(name, text, ""))
            except Problem as problem:
                return read, (number, problem.sentence)
        return read, None

    def _may_miss(self, name: str) -> bool:
        """Return whether a column may have a missing value: one more category, or an empty text."""
        return name in self.optional or self.features[name].type in ("category", "text")

    def _misfit(self, name: str, value: Any) -> str:
        if value == "":
            return f"{name} is missing: send {self._expected(name)}."
        found = json.dumps(value, ensure_ascii=False, default=str)[:60]
        return f"{name} is {found}: send {self._expected(name)}."

    def _expected(self, name: str) -> str:
        style = self.form.numbers.get(name)
        return f"a number, in a text written as {style}" if style else EXPECTED[self.features[name].type]

    def _refuse_unknown(self, row: Iterable[str], where: str) -> None:
        """Raise Problem naming the first column that neither the model nor its training table has."""
        for name in row:
            if name not in self.features and name not in self.ignored:
                raise self._unknown(name, where)

    def _unknown(self, name: str, where: str) -> Problem:
        guess = closest(name[:100], self.features)
        return Problem(422, f"{where}{name[:100]!r} is not a column of this model{guess}: send {self._wanted()}.")

    def _count(self, rows: int) -> None:
        if rows < 1:
            raise Problem(422, "the body contains no rows: send at least one.")
        if rows > self.max_rows:
            raise Problem(413, f"the body has {rows} rows, more than {self.max_rows}: send them in several requests.")

    def _wanted(self) -> str:
        names = self.names
        return f"an object with {', '.join(names[:8])}{f' … {names[-1]}' if len(names) > 8 else ''}"


class _Repeated(dict[str, Any]):
    """A JSON object in which a name is given twice."""

    name = ""


def _load(body: bytes, wanted: Callable[[], str], where: str = "") -> Any:
    """Return what a JSON text holds; an object that gives a name twice, wherever it is, is a _Repeated.

    Raises Problem when it is not JSON. A text with as many quotation marks as its names and texts need has no name
    twice, so that most texts are parsed once.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    rows = value if type(value) is list else [value]
    if value is not None and body.count(b'"') == sum(map(_count_quotes, rows)):
        return value
    body = body.removeprefix(MARK)
    if body.startswith(GZIP):
        raise Problem(415, PACKED)
    try:
        from_json(body)  # its messages have the line and the column
    except ValueError as error:
        message = str(error)
        hint = " in UTF-8" if b"\0" in body or "unicode" in message else ""
        raise Problem(422, f"{where}invalid JSON: {message}: send {wanted()}{hint}.") from error
    return json.loads(body, object_pairs_hook=_join, parse_int=_parse_whole)


def _count_quotes(row: Any) -> int:
    return 2 * (len(row) + list(map(type, row.values())).count(str)) if type(row) is dict else 0


def _parse_whole(text: str) -> float:
    return int(text) if len(text) < LONG else float(text)


def _join(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) == len(pairs):
        return row
    repeated = _Repeated(row)
    names = [name for name, _ in pairs]
    repeated.name = next(name for place, name in enumerate(names) if name in names[:place])
    return repeated


def _coder(feature: Feature) -> Callable[[Any], Any]:
    offset = feature.offset or 0.0
    if feature.type == "text":
        return lambda value: value or ""
    if feature.type == "category":
        categories = feature.categories or []
        codes: dict[Any, float] = {value: float(code) for code, value in enumerate(categories)}
        codes[None] = float(len(categories))
        return lambda value: codes.get(value, float(UNSEEN))
    if feature.type == "date":
        return lambda value: np.nan if value is None else value.timestamp() // 1 / SECONDS_A_DAY - offset
    return lambda value: np.nan if value is None else float(value) - offset
