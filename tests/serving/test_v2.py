"""The Open Inference Protocol, version 2: the predictions of the other endpoints, as tensors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.server import IRIS_ROW, Answer, Server

ROWS = [IRIS_ROW, {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}]
OUTPUTS = ["class_index", "class_name", "confidence", "probabilities"]
OWN = {"size": ["FP64", 1.5], "open": ["BOOL", True], "since": ["BYTES", "2022-01-01"], "colour": ["BYTES", "red"]}


def tensor(name: str, data: list[Any], datatype: str = "FP64", shape: list[int] | None = None) -> dict[str, Any]:
    """Return an input; its shape is that of a column unless it is given."""
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data}


def columns(rows: list[dict[str, Any]] = ROWS) -> list[dict[str, Any]]:
    """Return rows of iris as one input for each column."""
    return [tensor(name, [row[name] for row in rows]) for name in IRIS_ROW]


def matrix(rows: list[dict[str, Any]] = ROWS, **other: Any) -> dict[str, Any]:
    """Return rows of iris as a matrix, with what is `other` than usual."""
    values = [list(row.values()) for row in rows]
    return tensor("x", [value for row in values for value in row], shape=[len(values), 4]) | other


def infer(server: Server, inputs: Any, model: str = "iris", query: str = "", **more: Any) -> Answer:
    """Return the answer to a request for inference."""
    return server.post(f"/v2/models/{model}/infer{query}", {"inputs": inputs, **more})


def outputs(answer: Answer) -> dict[str, Any]:
    """Return name → data of an answer's outputs."""
    assert answer.status == 200, answer
    return {output["name"]: output["data"] for output in answer.document["outputs"]}


def test_health_and_metadata_are_as_the_protocol_says(served: Server) -> None:
    """Live and ready; the service's name; each model's columns and outputs with datatypes and shapes."""
    assert served.get("/v2/health/live").document == {"live": True}
    assert served.get("/v2/health/ready").document == {"ready": True}
    service = served.get("/v2").document
    assert service == {"name": "artifact-flow", "version": service["version"], "extensions": []}
    assert served.get("/v2/models/iris/ready").document == {"name": "iris", "ready": True}
    model = served.get("/v2/models/own").document
    assert (model["name"], model["platform"]) == ("own", "onnx_onnxv1")
    assert [(item["name"], item["datatype"], item["shape"]) for item in model["inputs"]] == [
        (name, datatype, [-1]) for name, (datatype, _) in OWN.items()
    ]
    assert [item["name"] for item in model["outputs"]] == OUTPUTS
    assert model["outputs"][-1]["shape"] == [-1, 3]


def test_every_form_of_the_inputs_gives_the_predictions_of_a_batch(served: Server) -> None:
    """Columns in any order and of either shape; a matrix, flat or nested; and any datatype that the values have."""
    expected = served.post("/models/iris/predict/batch", ROWS).document["predictions"]
    nested = [list(row.values()) for row in ROWS]
    forms: dict[str, list[dict[str, Any]]] = {
        "columns": columns(),
        "other order": columns()[::-1],
        "[rows, 1]": [each | {"shape": [2, 1]} for each in columns()],
        "[rows, 1], nested": [each | {"shape": [2, 1], "data": [[v] for v in each["data"]]} for each in columns()],
        "float32": [each | {"datatype": "FP32"} for each in columns()],
        "texts": [each | {"datatype": "BYTES", "data": list(map(str, each["data"]))} for each in columns()],
        "matrix": [matrix()],
        "matrix, nested": [matrix(data=nested)],
        "ignored": [*columns(), tensor("target", ["a", "b"], "BYTES")],
        "parameters": [each | {"parameters": {"content_type": "np"}} for each in columns()],
    }
    for form, inputs in forms.items():
        found = outputs(infer(served, inputs))
        assert list(found) == OUTPUTS, form
        for name in ("class_index", "class_name", "confidence"):
            assert found[name] == [row[name] for row in expected], form
        assert found["probabilities"] == [share for row in expected for share in row["probabilities"].values()]


def test_a_mixed_table_keeps_names_types_and_gaps(served: Server) -> None:
    """Text, dates, booleans and numbers; a missing value is null, or its column is left out."""
    whole = [tensor(name, [value, value], datatype) for name, (datatype, value) in OWN.items()]
    gaps = [{**each, "data": [each["data"][0], None]} for each in whole]
    rows = [{name: value for name, (_, value) in OWN.items()}, {}]
    expected = served.post("/models/own/predict/batch", rows).document["predictions"]
    assert outputs(infer(served, gaps, "own"))["confidence"] == [row["confidence"] for row in expected]
    without = outputs(infer(served, [each for each in whole if each["name"] != "colour"], "own"))
    rows = [{name: value for name, (_, value) in OWN.items() if name != "colour"}] * 2
    expected = served.post("/models/own/predict/batch", rows).document["predictions"]
    assert without["confidence"] == [row["confidence"] for row in expected]


def test_a_regressor_answers_with_one_value_a_row(models: dict[str, Path]) -> None:
    """The output is named like the field of a prediction."""
    with Server(models["price"]) as server:
        row = {name: value for name, (_, value) in OWN.items()}
        inputs = [tensor(name, [value], datatype) for name, (datatype, value) in OWN.items()]
        answer = infer(server, inputs, "own")
        value = server.post("/predict", row).document["value"]
        expected = {"name": "value", "datatype": "FP32", "shape": [1], "data": [pytest.approx(value, abs=1e-5)]}
        assert answer.document["outputs"] == [expected]


def test_id_outputs_and_weights_are_taken_over(served: Server) -> None:
    """The id comes back; only the outputs that were asked for do, in that order; null is nothing."""
    wanted = [{"name": "class_name", "parameters": {"binary_data": True}}, {"name": "confidence"}]
    answer = infer(served, [matrix()], query="?weights=8bit", id="a-\u00e9-1", outputs=wanted, parameters={"x": 1})
    expected = served.post("/models/iris/predict/batch?weights=8bit", ROWS).document["predictions"]
    assert list(answer.document) == ["model_name", "id", "outputs"]
    assert (answer.document["model_name"], answer.document["id"]) == ("iris", "a-\u00e9-1")
    assert [(output["name"], output["shape"]) for output in answer.document["outputs"]] == [
        ("class_name", [2]),
        ("confidence", [2]),
    ]
    assert outputs(answer)["confidence"] == [row["confidence"] for row in expected]
    empty = infer(served, [matrix(parameters=None)], id=None, outputs=None, parameters=None)
    assert "id" not in empty.document
    assert list(outputs(empty)) == OUTPUTS
    half = served.post("/v2/models/iris/infer", json.dumps({"id": "\ud800", "inputs": [matrix()]}).encode())
    assert half.document["error"].startswith("invalid JSON: unexpected end of hex escape")


def test_a_request_is_logged_counted_and_measured_like_any_other(models: dict[str, Path]) -> None:
    """One line with the rows as columns; the rows are in the drift window and the metrics."""
    with Server(models["iris"], models["digits"]) as server:
        assert infer(server, columns()).status == 200
        assert infer(server, []).status == 400
        assert server.get("/drift").document["rows"] == len(ROWS)
        assert (
            'artifact_flow_predictions_total{class="setosa",model="iris"} 1.0' in server.get("/metrics").body.decode()
        )
        server.stop()
        line, refused = server.predictions()
    assert (line["endpoint"], line["rows"], line["status"]) == ("/v2/models/iris/infer", 2, 200)
    assert line["input"]["petal_width"] == [row["petal_width"] for row in ROWS]
    assert line["prediction"]["class_name"] == ["setosa", "virginica"]
    assert (refused["status"], refused["level"]) == (400, "WARNING")


REFUSED: list[tuple[Any, str]] = [
    (b"", "invalid JSON: EOF while parsing a value at line 1 column 0: send an object with inputs"),
    ([], "the body is not a JSON object: send an object with inputs"),
    ({}, "the request has no list of inputs: send an object with inputs"),
    ({"inputs": {}}, "the request has no list of inputs"),
    (b'{"inputs": [], "inputs": []}', "'inputs' is given twice in the body: give each name once."),
    (
        b'{"inputs": [{"name": "x", "name": "y", "shape": [1], "datatype": "FP64", "data": [1]}]}',
        "'name' is given twice in input 1: give each name once.",
    ),
    ({"inputs": [5]}, "input 1 is not a JSON object: send an object with name, shape, datatype and data."),
    ({"inputs": [{"name": 5}]}, "input 1 has the name 5: send a text."),
    ({"inputs": [{"name": "x"}]}, 'the input "x" has no datatype: send a text.'),
    ({"inputs": [matrix(datatype="FP8")]}, 'the input "x" has the datatype "FP8": choose from BOOL, BYTES,'),
    ({"inputs": [matrix(shape=[])]}, 'the input "x" has the shape []: send [rows], or [rows, columns].'),
    ({"inputs": [matrix(shape=[2, -4])]}, 'the input "x" has the shape [2, -4]: send'),
    ({"inputs": [matrix(shape=[2, 2, 2])]}, 'the input "x" has the shape [2, 2, 2]: send'),
    ({"inputs": [matrix(shape=[2.0, 4])]}, 'the input "x" has the shape [2.0, 4]: send'),
    ({"inputs": [matrix(data=None)]}, 'the input "x" has no data: send a list.'),
    ({"inputs": [matrix(shape=[3, 4])]}, 'the input "x" has 8 values, its shape [3, 4] 12: send as many.'),
    ({"inputs": [matrix(data=[[1, 2, 3, 4], [1, 2, 3]])]}, 'the input "x" has 2 values, its shape [2, 4] 8: send as'),
    ({"inputs": [matrix(shape=[4, 2])]}, '"x" has 2 columns, the model 4: send an object with inputs'),
    ({"inputs": [matrix(datatype="INT64")]}, 'the input "x" has the datatype INT64 and the value 5.1: send values'),
    ({"inputs": [matrix(data=[True] * 8)]}, 'the input "x" has the datatype FP64 and the value true: send values'),
    ({"inputs": [matrix(data=[[1]] * 8)]}, 'the input "x" has the datatype FP64 and the value [1]: send values'),
    ({"inputs": [matrix(parameters=5)]}, 'the input "x" has the parameters 5: send an object.'),
    ({"inputs": [matrix(data=[None] * 8)]}, "row 1: sepal_length is null: send a number."),
    ({"inputs": [matrix(data=[1e39] * 8)]}, "row 1: sepal_length is 1e+39: send a number."),
    ({"inputs": [matrix(), matrix()]}, 'the input "x" has the shape [2, 4]: send [rows] or [rows, 1].'),
    ({"inputs": [*columns(), columns()[0]]}, 'the input "sepal_length" is given twice: send each column once.'),
    ({"inputs": columns()[1:]}, "the columns lack sepal_length: send a number in each row."),
    ({"inputs": [*columns(), tensor("petal", [1, 2])]}, "'petal' is not a column of this model (did you mean petal_wi"),
    ({"inputs": [*columns()[1:], *columns(ROWS[:1])[:1]]}, "'sepal_length' has 1 values, another column 2: send as"),
    ({"inputs": columns([])}, "the body contains no rows: send at least one."),
    ({"inputs": columns(), "id": 5}, "the request has the id 5: send a text."),
    (
        {"inputs": columns(), "outputs": [{"name": "score"}]},
        '"score" is not an output of this model: choose from class',
    ),
    ({"inputs": columns(), "outputs": [5]}, "an item of outputs is not a JSON object: send an object with a name."),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED)
def test_bad_input_gets_400_and_one_sentence(served: Server, body: Any, sentence: str) -> None:
    """As the protocol has it: the status 400, and an object with `error`."""
    answer = served.post("/v2/models/iris/infer", body)
    assert answer.status == 400, answer
    assert list(answer.document) == ["error"]
    assert answer.document["error"][: len(sentence)] == sentence


def test_other_refusals_keep_their_status_and_have_the_protocol_s_form(models: dict[str, Path]) -> None:
    """An unknown model, too many rows, binary tensors, another content type, a key and a foreign page."""
    few = json.dumps({"max_rows": 2, "max_bytes": 100_000})
    with Server(models["iris"], models["own"], ARTIFACT_FLOW_SERVE=few, ARTIFACT_FLOW_API_KEY="k") as server:
        path, body, key = "/v2/models/iris/infer", {"inputs": columns()}, {"X_API_Key": "k"}
        assert server.get("/v2/health/live").status == server.get("/v2/health/ready").status == 200
        answers = {
            401: [server.post(path, body), server.get("/v2"), server.get("/v2/models/iris/ready")],
            403: [server.post(path, body, Origin="http://evil.example", **key)],
            404: [server.post("/v2/models/absent/infer", body, **key), server.get("/v2/models/absent", "k")],
            405: [server.get(path, "k")],
            413: [
                server.post(path, {"inputs": columns(ROWS * 2)}, **key),
                server.post(path, {"inputs": columns(ROWS * 5000)}, **key),
            ],
            415: [
                server.post(path, body, "text/csv", **key),
                server.post(path, body, Inference_Header_Content_Length="9", **key),
                server.post(path, {"inputs": [matrix(parameters={"binary_data_size": 64})]}, **key),
            ],
        }
        for status, found in answers.items():
            for answer in found:
                assert (answer.status, list(answer.document)) == (status, ["error"]), answer
        assert infer(server, [tensor("x", [1.0], shape=[1, 1])], "own").status == 401
        mixed = server.post("/v2/models/own/infer", {"inputs": [tensor("x", [1.0] * 4, shape=[1, 4])]}, **key)
        assert mixed.document["error"].startswith("open is not a number, and rows of numbers have no names: send")
        assert server.post(path, body, **key).status == 200


def test_the_example_of_the_document_is_answered(served: Server) -> None:
    """Each model's own, with its columns."""
    paths = served.get("/openapi.json").document["paths"]
    for model in ("digits", "iris", "own"):
        content = paths[f"/v2/models/{model}/infer"]["post"]["requestBody"]["content"]["application/json"]
        assert served.post(f"/v2/models/{model}/infer", content["example"]).status == 200


@pytest.mark.slow
def test_a_large_batch_of_nested_tensors_is_answered(served: Server) -> None:
    """More than are parsed without being counted."""
    X = np.arange(64 * 2000).reshape(2000, 64) % 17
    whole = tensor("x", X.tolist(), "INT64", [2000, 64])
    rows = [dict(zip(served.get("/model").document["example"], row, strict=True)) for row in X.tolist()]
    single = [tensor(name, [[row[name]] for row in rows], "INT64", [2000, 1]) for name in rows[0]]
    expected = served.post("/predict/batch", rows).document["predictions"]
    for inputs in ([whole], single):
        assert outputs(infer(served, inputs, "digits"))["class_index"] == [row["class_index"] for row in expected]
