"""Invocations: the four forms of rows that an MLflow scoring server takes, read as rows.

https://mlflow.org/docs/latest/ml/deployment/: dataframe_split, dataframe_records, instances and inputs.
"""

from collections.abc import Callable
from typing import Any

from artifact_flow.serving.objects import load, take_object
from artifact_flow.serving.plain import Parsed
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.rows import Rows


def read_invocation(rows: Rows, body: bytes) -> Parsed:
    """Return the rows of a body in one of the forms and their matrix; raise Problem naming what is invalid."""
    document = take_object(load(body, _wanted), "the body", _wanted)
    given = [form for form in FORMS if document.get(form) is not None]
    if len(given) != 1:
        raise Problem(422, f"the body has {' and '.join(given) or 'none of its forms'}: send {_wanted()}.")
    return FORMS[given[0]](rows, document[given[0]])


def _read_split(rows: Rows, value: Any) -> Parsed:
    split = take_object(value, "dataframe_split", lambda: "an object with columns and data")
    names, data = _take_list(split.get("columns"), "columns"), _take_list(split.get("data"), "data")
    if any(type(name) is not str for name in names) or len(set(names)) < len(names):
        raise Problem(422, "the columns of dataframe_split are not different names: send each column's name once.")
    for number, row in enumerate(data, 1):
        if type(row) is not list or len(row) != len(names):
            raise Problem(422, f"row {number} of data is not a list of {len(names)} values: send one for each column.")
    return rows.read_columns(dict(zip(names, zip(*data, strict=True), strict=True)) if data else {})


def _read_records(rows: Rows, value: Any) -> Parsed:
    return rows.read_objects(_take_list(value, "dataframe_records"))


def _read_instances(rows: Rows, value: Any) -> Parsed:
    found = _take_list(value, "the rows")
    return rows.read_matrix(found) if found and type(found[0]) is list else rows.read_objects(found)


def _read_inputs(rows: Rows, value: Any) -> Parsed:
    if type(value) is list:
        return _read_instances(rows, value)
    columns = take_object(value, "inputs", lambda: "an object of columns, or rows")
    return rows.read_columns({name: _take_list(values, name[:100]) for name, values in columns.items()})


FORMS: dict[str, Callable[[Rows, Any], Parsed]] = {
    "dataframe_split": _read_split,
    "dataframe_records": _read_records,
    "instances": _read_instances,
    "inputs": _read_inputs,
}


def _take_list(value: Any, what: str) -> list[Any]:
    if type(value) is not list:
        raise Problem(422, f"{what} is not a list: send {_wanted()}.")
    return value


def _wanted() -> str:
    return f"an object with one of {', '.join(FORMS)}"
