"""Rows: read and check the rows that a client sends, as `predict` reads those of a file, and encode them.

Each value is read by `cells`, in JSON and in CSV alike, and encoded as `encoding` encodes it: to the same numbers, or
with the same refusal. Every refusal is a Problem that names the row and the column.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from artifact_flow.core.base.cells import Value, cell_reader
from artifact_flow.core.base.contract import Contract, Feature
from artifact_flow.core.base.encoding import SECONDS_A_DAY, UNSEEN, have_text
from artifact_flow.core.base.errors import closest
from artifact_flow.core.table.form import Form
from artifact_flow.serving.delimited import read_delimited
from artifact_flow.serving.objects import MARK, Repeated, load
from artifact_flow.serving.plain import FLOAT32_MAX, Parsed, PlainRows, Row
from artifact_flow.serving.problems import Problem

EXPECTED = {"number": "a number", "boolean": "true or false", "date": "a date such as 2026-11-21"}
EXPECTED |= dict.fromkeys(("category", "text"), "text")
STORED = ("id", "target", "split")  # what data.parquet has beside the features
NUMERALS = re.compile(r"[0-9+\-.eE]*")  # of these, float() reads what the pattern of a number allows


class Rows:
    """Reads, checks and encodes the rows of one model."""

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Take from a contract how each column is read and encoded."""
        self.contract, self.max_rows = contract, max_rows
        self.features = {feature.name: feature for feature in contract.features}
        self.names = list(self.features)
        self.optional = {name for name, feature in self.features.items() if contract.may_miss(feature)}
        numeric = not self.optional and all(feature.type == "number" for feature in contract.features)
        self.plain = PlainRows(self.names, max_rows) if numeric else None
        self.texts = have_text(contract.features)
        table = contract.table
        self.form = Form.of(table) if table else Form()
        self.columns = list({**table.columns, table.target: "target"}) if table else self.names
        self.ignored = {contract.id, contract.target.name, *STORED, *self.columns} - set(self.names)
        self._readers = {name: self._reader(feature) for name, feature in self.features.items()}
        self._codes = [(name, _coder(feature)) for name, feature in self.features.items()]
        self._numerals = not any(mark and NUMERALS.fullmatch(mark) for mark in self.form.missing)  # none marks a gap

    def parse_one(self, body: bytes) -> Row:
        """Return the row in a JSON object; raise Problem naming the first invalid column."""
        if self.plain and (row := self.plain.parse_one(body)):
            return row
        return self._read(load(body, self._wanted))

    def read_many(self, body: bytes) -> Parsed:
        """Return the rows of a JSON array and their matrix; raise Problem naming the first invalid row."""
        if self.plain and (parsed := self.plain.parse_many(body)):
            return parsed
        rows = load(body, self._wanted)
        if type(rows) is not list:
            raise Problem(422, f"the body is not a JSON array: send an array, each item {self._wanted()}.")
        return self.read_objects(rows)

    def read_objects(self, rows: list[Any]) -> Parsed:
        """Return the rows of JSON objects and their matrix; raise Problem naming the first invalid row."""
        self._count(len(rows))
        if self.plain and (parsed := self.plain.take(rows)):
            return parsed
        read = [self._read(row, f"row {number}: ") for number, row in enumerate(rows, 1)]
        return read, self.encode(read)

    def read_columns(self, columns: Mapping[str, Sequence[Any]]) -> Parsed:
        """Return the rows of columns of JSON values and their matrix; raise Problem naming the first invalid one."""
        count = max(map(len, columns.values()), default=0)
        for name, values in columns.items():
            if len(values) < count:
                raise Problem(422, f"{name[:100]!r} has {len(values)} values, another column {count}: send as many.")
        self._count(count)
        self._check_names(columns, "the columns lack")
        names = [name for name in self.names if name in columns]
        given = zip(*(columns[name] for name in names), strict=True)
        rows = [dict(zip(names, row, strict=True)) for row in given] if names else [{} for _ in range(count)]
        return self.read_objects(rows)

    def read_matrix(self, matrix: Sequence[Any]) -> Parsed:
        """Return the rows of lists of JSON values, in the order of the columns, and their matrix.

        Raises Problem naming the first invalid row, or a column that is not of numbers.
        """
        self._count(len(matrix))
        for name, feature in self.features.items():
            if feature.type != "number":
                raise Problem(422, f"{name} is not a number, and rows of numbers have no names: send columns by name.")
        for number, row in enumerate(matrix, 1):
            if type(row) is not list or len(row) != len(self.names):
                found = f"has {len(row)} values" if type(row) is list else "is not a list"
                raise Problem(422, f"row {number} {found}: send the {len(self.names)} columns in their order.")
        return self.read_objects([dict(zip(self.names, row, strict=True)) for row in matrix])

    def read_lines(self, body: bytes) -> Parsed:
        """Return the rows of JSON lines and their matrix; raise Problem naming the first invalid row."""
        lines = [line for line in body.removeprefix(MARK).split(b"\n") if line.strip()]
        self._count(len(lines))
        rows = []
        for number, line in enumerate(lines, 1):
            where = f"row {number}: "
            rows.append(self._read(load(line, self._wanted, where), where))
        return rows, self.encode(rows)

    def read_csv(self, body: bytes, charset: str | None = None) -> Parsed:
        """Return the rows of a CSV and their matrix; raise Problem naming the first invalid row."""
        table = read_delimited(body, self.form, charset, self.names, self.columns)
        self._count(len(table.rows))
        places = {name: place for place, name in enumerate(table.names) if name}  # without row names
        self._check_names(places, "the header lacks")
        written = self._numerals and not self.form.numbers  # as JSON writes numbers
        if self.plain and written and (parsed := self.plain.take_cells(table.rows, places)):
            return parsed
        given = dict(zip(table.names, zip(*table.rows, strict=True), strict=True))
        columns, faults = {}, []
        for name in self.names:
            if name in places:
                columns[name], fault = self._read_column(name, given[name])
                faults += [fault] if fault else []
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

    def _read(self, row: Any, where: str = "") -> Row:
        """Return the values of an object in the contract's order; raise Problem naming the first invalid column."""
        if type(row) is not dict:
            if isinstance(row, Repeated):
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
        if plain and self._numerals and NUMERALS.fullmatch("".join(texts)):
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

    def _check_names(self, given: Collection[str], lack: str) -> None:
        """Raise Problem naming a column that the model does not know, or one that it needs and that is not given."""
        self._refuse_unknown(given, "")
        for name in self.names:
            if name not in given and name not in self.optional:
                raise Problem(422, f"{lack} {name}: send {self._expected(name)} in each row.")

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
