"""A date means the same moment in a column, in a row of `predict` and in a row of the service."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.dates import RULES, parse_date
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.columns import find_misfits, type_columns
from artifact_flow.core.table.form import Form
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.rows import Rows

DAY = "2024-01-28"


def read(value: Any, role: Any) -> datetime | None:
    """Return the moment that a column of one value holds, or None when it does not fit."""
    table = pa.table({"d": pa.array([value])})
    if find_misfits(table, {"d": role}, Form()):
        with pytest.raises(DataError, match=r"row 2: d is .*, which is not a"):
            type_columns(table, {"d": role}, Form(), "t.csv", 2)
        return None
    found: datetime = type_columns(table, {"d": role}, Form(), "t.csv", 2)["d"][0].as_py().replace(tzinfo=UTC)
    return found


@pytest.mark.parametrize(
    ("text", "role", "moment"),
    [
        (DAY, "date", DAY),
        (f" {DAY}T10:00 ", "date", f"{DAY}T10:00"),
        (f"{DAY} 10:00:05.75Z", "date", f"{DAY}T10:00:05"),
        (f"{DAY}T10:00:00+02:00", "date", f"{DAY}T08:00"),
        (f"{DAY} 23:30-0100", "date", "2024-01-29T00:30"),
        (f"{DAY}T10:00:00.5+05", "date", f"{DAY}T05:00"),
        ("2024-03", "date", "2024-03-01"),
        ("20240128", "date", DAY),
        ("2024/1/28 9:05", "date", f"{DAY}T09:05"),
        ("28.1.2024", "day-first date", DAY),
        ("28-01-2024", "day-first date", DAY),
        ("28/1/2024 9:05", "day-first date", f"{DAY}T09:05"),
        ("1/28/2024", "month-first date", DAY),
        ("01/28/2024 10:00:05", "month-first date", f"{DAY}T10:00:05"),
        ("1/2/2024", "day-first date", "2024-02-01"),
        ("1/2/2024", "month-first date", "2024-01-02"),
        (DAY, "day-first date", DAY),
        ("28/1/2024", "date", None),
        ("1/28/2024", "day-first date", None),
        ("28/1/2024", "month-first date", None),
        ("28.1.24", "day-first date", None),
        ("2024-02-30", "date", None),
        ("30.2.2024", "day-first date", None),
        ("2024-13", "date", None),
        ("20241301", "date", None),
        ("1706400000", "date", None),
        ("2024", "date", None),
        ("soon", "date", None),
    ],
)
def test_a_text_is_the_same_date_everywhere(text: str, role: str, moment: str | None) -> None:
    """Offsets, months, dates without marks, and the order of day and month that the role names; never a guess."""
    expected = None if moment is None else datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert read(text, role) == expected
    if expected is None:
        with pytest.raises(ValueError):  # noqa: PT011 - what `re` and `datetime` say differs
            parse_date(text, role)
    else:
        assert parse_date(text, role) == expected


def test_a_column_may_mix_ways_to_write_a_date() -> None:
    """With and without an offset, with gaps; whole numbers such as 20240128, as Parquet has them, are dates too."""
    texts = [DAY, None, f"{DAY}T10:00:00+02:00", "2024-01"]
    column = type_columns(pa.table({"d": texts}), {"d": "date"}, Form(), "t.csv", 2)["d"]
    assert [str(value) for value in column.to_pylist()] == [
        "2024-01-28 00:00:00",
        "None",
        "2024-01-28 08:00:00",
        "2024-01-01 00:00:00",
    ]
    assert read(20240128, "date") == datetime(2024, 1, 28, tzinfo=UTC)
    assert set(RULES) == {"date", "day-first date", "month-first date"}


def test_the_service_reads_a_date_as_training_did() -> None:
    """In JSON and CSV, offsets count, a number of seconds is no date, and the role gives the order of day and month."""
    document = {"name": "d", "type": "date", "missing": 0.5, "min": 19000.0, "max": 20000.0, "shares": [1.0]}
    table = {"target": "y", "task": "regression", "columns": {"d": "day-first date"}}
    contract = Contract.model_validate(
        {
            "version": 2,
            "target": {"name": "y", "task": "regression", "classes": []},
            "id": None,
            "rows": {"train": 2, "test": 1},
            "params": {"data": {"preprocess": "auto", "table": table}},
            "sha256": {},
            "libraries": {},
            "features": [document],
        }
    )
    rows = Rows(contract, max_rows=9)
    days = datetime.fromisoformat(DAY).replace(tzinfo=UTC).timestamp() / 86_400
    _, X = rows.read_many(b'[{"d": "28/1/2024"}, {"d": "2024-01-28T02:00:00+02:00"}, {"d": 20240128}, {"d": null}]')
    assert X[:3, 0].tolist() == [days] * 3
    assert np.isnan(X[3, 0])
    _, X = rows.read_csv(b"d\n28.1.2024\n")
    assert X.tolist() == [[days]]
    for body in (b'[{"d": "1706400000"}]', b'[{"d": 1706400000}]', b'[{"d": true}]', b'[{"d": "1/28/2024"}]'):
        with pytest.raises(Problem, match=r"row 1: d is .*: send a date such as 2026-11-21\."):
            rows.read_many(body)
