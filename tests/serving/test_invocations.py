"""MLflow's /invocations: the predictions of a batch for each of its forms."""

from pathlib import Path
from typing import Any

import pytest
from serving.server import IRIS_ROW, Server

ROWS = [IRIS_ROW, {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}]
VALUES = [list(row.values()) for row in ROWS]
COLUMNS = {name: [row[name] for row in ROWS] for name in IRIS_ROW}
OWN = {"size": 1.5, "open": True, "since": "2022-01-01", "colour": None}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"index": [0, 1], "columns": list(IRIS_ROW), "data": VALUES}},
        {"dataframe_split": {"columns": list(IRIS_ROW)[::-1], "data": [row[::-1] for row in VALUES]}},
        {"dataframe_records": ROWS, "params": {}},
        {"instances": ROWS, "signature_name": "serving_default"},
        {"instances": VALUES},
        {"inputs": COLUMNS},
        {"inputs": VALUES, "instances": None},
    ],
)
def test_every_form_gives_the_predictions_of_a_batch(served: Server, body: dict[str, Any]) -> None:
    """A table, records, rows with and without names, columns."""
    expected = served.post("/models/iris/predict/batch", ROWS)
    answer = served.post("/models/iris/invocations", body)
    assert (answer.status, answer.body) == (200, expected.body)


def test_csv_is_taken_as_by_a_batch(served: Server) -> None:
    """MLflow's servers take CSV at the same address."""
    table = ",".join(IRIS_ROW) + "\n" + "\n".join(",".join(map(str, row)) for row in VALUES)
    expected = served.post("/models/iris/predict/batch", ROWS)
    assert served.post("/models/iris/invocations", table.encode(), "text/csv").body == expected.body


REFUSED: list[tuple[Any, str]] = [
    ([], "the body is not a JSON object: send an object with one of dataframe_split, dataframe_records, instances,"),
    ({}, "the body has none of its forms: send an object with one of dataframe_split"),
    ({"inputs": [], "instances": []}, "the body has instances and inputs: send an object with one of"),
    ({"dataframe_split": []}, "dataframe_split is not a JSON object: send an object with columns and data."),
    ({"dataframe_split": {"columns": ["a"]}}, "data is not a list: send"),
    (
        {"dataframe_split": {"columns": ["a", "a"], "data": []}},
        "the columns of dataframe_split are not different names",
    ),
    ({"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}, "row 1 of data is not a list of 2 values: send one"),
    ({"dataframe_split": {"columns": list(IRIS_ROW), "data": []}}, "the body contains no rows: send at least one."),
    ({"dataframe_records": {}}, "dataframe_records is not a list: send"),
    ({"dataframe_records": [{**IRIS_ROW, "petal_width": "x"}]}, 'row 1: petal_width is "x": send a number.'),
    ({"instances": [1, 2]}, "row 1: the value is not a JSON object: send an object with sepal_length"),
    ({"instances": [[1, 2]]}, "row 1 has 2 values: send the 4 columns in their order."),
    ({"instances": [VALUES[0], 5]}, "row 2 is not a list: send the 4 columns in their order."),
    ({"inputs": 5}, "inputs is not a JSON object: send an object of columns, or rows."),
    ({"inputs": {**COLUMNS, "petal_width": 5}}, "petal_width is not a list: send"),
    ({"inputs": {**COLUMNS, "petal_width": [5]}}, "'petal_width' has 1 values, another column 2: send as many."),
    ({"inputs": {**COLUMNS, "petal": [1, 2]}}, "'petal' is not a column of this model (did you mean petal_width?)"),
    (b'{"inputs": {"a": [1], "a": [2]}}', "'a' is given twice in inputs: give each name once."),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED)
def test_bad_input_gets_one_clear_sentence(served: Server, body: Any, sentence: str) -> None:
    """What is wrong, where, and what is allowed."""
    answer = served.post("/models/iris/invocations", body)
    assert (answer.status, answer.detail[: len(sentence)]) == (422, sentence)


def test_the_root_has_the_address_when_there_is_one_model(served: Server, models: dict[str, Path]) -> None:
    """With several, it says where theirs are; `/ping` is answered either way, without a key."""
    several = served.post("/invocations", {"instances": ROWS})
    names = " or ".join(f"/models/{name}/invocations" for name in ("digits", "iris", "own"))
    assert (several.status, several.detail) == (404, f"this service has 3 models: post to {names}.")
    with Server(models["own"], ARTIFACT_FLOW_API_KEY="k") as server:
        assert server.get("/ping").status == 200
        body = {"dataframe_records": [OWN, {}]}
        assert server.post("/invocations", body).status == 401
        answer = server.post("/invocations", body, X_API_Key="k")
        assert answer.body == server.post("/predict/batch", [OWN, {}], X_API_Key="k").body
        assert "/invocations" in server.get("/openapi.json").document["paths"]
        server.stop()
        assert [line["endpoint"] for line in server.predictions()] == ["/invocations"] * 2 + ["/predict/batch"]
