"""Rows: parse and check the rows that a client sends, by types generated from the contract, and encode them.

The types are pydantic's, so that a body is parsed and checked in one pass and `/docs` shows the same types. A row is
encoded as `encoding` encodes it: to the same numbers, or with the same refusal.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, NotRequired

import numpy as np
import orjson
from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema
from typing_extensions import TypedDict

from artifact_flow.core.base.contract import Contract, Feature
from artifact_flow.core.base.dates import parse_date
from artifact_flow.core.base.encoding import SECONDS_A_DAY, UNSEEN, have_text
from artifact_flow.core.base.errors import closest
from artifact_flow.core.base.params import MISSING
from artifact_flow.serving.problems import Problem

FLOAT32_MAX = 3.4e38  # a model takes float32
DESCRIBED_COLUMNS = 256  # up to which each column has its own entry in the OpenAPI document
EXPECTED = {
    "number": "a number",
    "boolean": "true or false",
    "date": "a date such as 2026-11-21",
    "category": "text",
    "text": "text",
}

Number = Annotated[float, Field(strict=True, ge=-FLOAT32_MAX, le=FLOAT32_MAX, allow_inf_nan=False)]
Row = Mapping[str, Any]
Parsed = tuple[list[Row], np.ndarray]  # rows as the client sent them, and their matrix from `Rows.encode`
WideRow = dict[str, Number]  # a row of very many numbers: a type with 4096 fields would take 20 MB


class Rows:
    """Parses, checks and encodes the rows of one model."""

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Generate the row type from a contract."""
        self.contract, self.max_rows = contract, max_rows
        self.features = {feature.name: feature for feature in contract.features}
        self.optional = {name for name, feature in self.features.items() if contract.may_miss(feature)}
        self.plain = not self.optional and all(feature.type == "number" for feature in contract.features)
        self.names = list(self.features)
        self.texts = have_text(contract.features)
        self.wide = self.plain and len(self.features) > DESCRIBED_COLUMNS
        row: Any = WideRow if self.wide else self._typed()
        limits = Field(min_length=1, max_length=max_rows, fail_fast=True)
        self.one: TypeAdapter[Any] = TypeAdapter(row)
        self.many: TypeAdapter[Any] = TypeAdapter(Annotated[list[row], limits])
        self._codes = [(name, _coder(feature)) for name, feature in self.features.items()]

    def parse_one(self, body: bytes) -> Row:
        """Return the row in a JSON object; raise Problem naming the first invalid column."""
        try:
            row: Row = self.one.validator.validate_json(body)
        except ValidationError as error:
            raise self._problem(error) from error
        return self._complete(row) if self.wide else row

    def read_many(self, body: bytes) -> Parsed:
        """Return the rows of a JSON array and their matrix; raise Problem naming the first invalid row."""
        if self.plain and (parsed := self._parse_valid(body)):
            return parsed
        try:
            rows: list[Row] = self.many.validator.validate_json(body)
        except ValidationError as error:
            raise self._problem(error) from error
        if self.wide:
            rows = [self._complete(row, f"row {number}: ") for number, row in enumerate(rows, 1)]
        return rows, self.encode(rows)

    def read_lines(self, body: bytes) -> Parsed:
        """Return the rows of JSON lines and their matrix; raise Problem naming the first invalid row."""
        lines = [line for line in body.split(b"\n") if line.strip()]
        self._count(len(lines))
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                row = self.one.validator.validate_json(line)
                rows.append(self._complete(row, f"row {number}: ") if self.wide else row)
            except ValidationError as error:
                raise self._problem(error, f"row {number}: ") from error
        return rows, self.encode(rows)

    def read_csv(self, body: bytes) -> Parsed:
        """Return the rows of a CSV (header, commas, UTF-8) and their matrix; raise Problem naming the invalid row."""
        try:
            reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
            lines = [line for line in reader if line]
        except (UnicodeDecodeError, csv.Error) as error:
            raise Problem(422, f"the body is not CSV in UTF-8 ({error}): send a header and rows of values.") from error
        self._count(len(lines) - 1)
        header, rows = [name.strip() for name in lines[0]], []
        for number, line in enumerate(lines[1:], 1):
            if len(line) != len(header):
                raise Problem(422, f"row {number} has {len(line)} values, the header has {len(header)}: fix that row.")
            values = {name: value for name, value in zip(header, line, strict=True) if value.strip() not in MISSING}
            try:
                row = self.one.validate_strings(values)
                rows.append(self._complete(row, f"row {number}: ") if self.wide else row)
            except ValidationError as error:
                raise self._problem(error, f"row {number}: ") from error
        return rows, self.encode(rows)

    def encode(self, rows: Sequence[Row]) -> np.ndarray:
        """Return the matrix [rows, features] that `encoding.encode_rows` returns for the same values."""
        if self.plain:  # a parsed row has every column, in the contract's order
            return np.array([list(row.values()) for row in rows], np.float64)
        values = [[code(row.get(name)) for name, code in self._codes] for row in rows]
        return np.array(values, object if self.texts else np.float64)

    def example(self) -> dict[str, Any]:
        """Return a row of each column's middle value in training."""
        return {name: feature.middle for name, feature in self.features.items()}

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of a row; with very many columns, it gives the first and last names only."""
        if len(self.features) <= DESCRIBED_COLUMNS:
            return {**self.one.json_schema(), "title": "Row", "example": self.example()}
        first, last = self.contract.features[0].name, self.contract.features[-1].name
        return {
            "title": "Row",
            "type": "object",
            "additionalProperties": {"type": "number"},
            "minProperties": len(self.features),
            "description": f"{len(self.features)} columns, {first} to {last}, each a number; GET /model lists them.",
        }

    def _typed(self) -> Any:
        row: Any = TypedDict("Row", {name: self._field(feature) for name, feature in self.features.items()})  # type: ignore[misc]
        row.__pydantic_config__ = ConfigDict(extra="forbid", coerce_numbers_to_str=True, str_strip_whitespace=True)  # type: ignore[attr-defined]
        return row

    def _field(self, feature: Feature) -> Any:
        optional = feature.name in self.optional
        about = Field(description=_describe(feature, optional), examples=[feature.middle])
        kind: Any = str
        if feature.type == "number":
            kind = Number
        elif feature.type == "boolean":
            kind = bool
        elif feature.type == "date":
            schema = WithJsonSchema({"type": "string", "format": "date"})
            kind = Annotated[datetime, PlainValidator(partial(_read_date, role=self.contract.role_of(feature))), schema]
        return NotRequired[Annotated[kind | None, about]] if optional else Annotated[kind, about]

    def _parse_valid(self, body: bytes) -> Parsed | None:
        """Return the rows if all are valid, else None. This takes half the time of a check that names the fault."""
        try:
            rows = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(rows) is not list or not 1 <= len(rows) <= self.max_rows:
            return None
        if any(type(row) is not dict or list(row) != self.names for row in rows):
            return None
        values = [value for row in rows for value in row.values()]
        if not set(map(type, values)) <= {int, float}:
            return None
        X = np.array(values, np.float64).reshape(len(rows), -1)  # orjson reads integers of up to 64 bits
        return (rows, X) if np.abs(X).max() <= FLOAT32_MAX else None

    def _complete(self, row: Row, where: str = "") -> Row:
        """Return a wide row in the contract's order; raise Problem when a column is missing or unknown."""
        missing = next((name for name in self.features if name not in row), None)
        if missing is not None:
            raise Problem(422, f"{where}{missing} is missing: send {EXPECTED['number']}.")
        if len(row) > len(self.features):
            raise self._unknown(next(name for name in row if name not in self.features), where)
        return {name: row[name] for name in self.features}

    def _unknown(self, name: str, where: str) -> Problem:
        guess = closest(name[:100], self.features)
        return Problem(422, f"{where}{name[:100]!r} is not a column of this model{guess}: send {self._wanted()}.")

    def _count(self, rows: int) -> None:
        if rows < 1:
            raise Problem(422, "the body contains no rows: send at least one.")
        if rows > self.max_rows:
            raise Problem(413, f"the body has {rows} rows, more than {self.max_rows}: send them in several requests.")

    def _problem(self, error: ValidationError, where: str = "") -> Problem:
        first = error.errors(include_url=False, include_context=False)[0]
        loc, kind = list(first["loc"]), first["type"]
        if loc and isinstance(loc[0], int):
            where = f"row {int(loc.pop(0)) + 1}: "
        name = str(loc[0]) if loc else ""
        if name and (kind == "extra_forbidden" or name not in self.features):
            return self._unknown(name, where)
        if kind in ("too_long", "too_short"):
            sentence = f"the body contains too few or too many rows: send 1 to {self.max_rows}."
        elif kind == "json_invalid":
            sentence = f"{first['msg'][0].lower()}{first['msg'][1:]}: send {self._wanted()}."
        elif not name:
            array = kind == "list_type"
            sentence = f"{'the value' if where else 'the body'} is not a JSON {'array' if array else 'object'}: "
            sentence += f"send {'an array, each item ' if array else ''}{self._wanted()}."
        elif kind == "missing":
            sentence = f"{name} is missing: send {EXPECTED[self.features[name].type]}."
        else:
            found = json.dumps(first["input"], ensure_ascii=False, default=str)[:60]
            sentence = f"{name} is {found}: send {EXPECTED[self.features[name].type]}."
        return Problem(413 if kind == "too_long" else 422, where + sentence)

    def _wanted(self) -> str:
        names = list(self.features)
        return f"an object with {', '.join(names[:8])}{f' … {names[-1]}' if len(names) > 8 else ''}"


def _coder(feature: Feature) -> Callable[[Any], Any]:
    offset = feature.offset or 0.0
    if feature.type == "text":
        return lambda value: value or ""
    if feature.type == "category":
        categories = feature.categories or []
        codes: dict[Any, float] = {value: float(code) for code, value in enumerate(categories)}
        codes[None] = codes[""] = float(len(categories))
        return lambda value: codes.get(value, float(UNSEEN))
    if feature.type == "date":
        return lambda value: _days(value) - offset
    return lambda value: np.nan if value is None else float(value) - offset


def _days(value: datetime | None) -> float:
    if value is None:
        return float("nan")
    return float(value.timestamp() // 1 / SECONDS_A_DAY)


def _read_date(value: Any, role: str) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # 20240115
    if not isinstance(value, str):
        raise ValueError("a date is text")
    return parse_date(value, role)


def _describe(feature: Feature, optional: bool) -> str:
    words = EXPECTED[feature.type]
    if feature.type in ("number", "boolean", "date") and feature.min is not None and feature.max is not None:
        low, high = (_shown(bound, feature) for bound in (feature.min, feature.max))
        words += f", in training {low} to {high}" if feature.type != "boolean" else ""
    if feature.type == "text" and feature.min is not None:
        words += f", in training of {feature.min:g} to {feature.max:g} characters"
    if feature.type == "category":
        known = feature.categories or []
        words += f", in training one of {', '.join(known[:20])}{' …' if len(known) > 20 else ''}"
    return f"{words}; may be left out" if optional else words


def _shown(value: float, feature: Feature) -> str:
    if feature.type == "date":
        return datetime.fromtimestamp(value * SECONDS_A_DAY, UTC).date().isoformat()
    return f"{value:g}"
