"""The API as clients meet it: real processes, real bytes."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving.server import IRIS_ROW, Server
from unit.own import as_csv, as_lines, draw_rows

from artifact_flow.core.table.tables import read_table

COLUMNS = ("size", "open", "since", "colour")


def raw_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a flow's data.parquet as a client would send them."""
    table = read_table(folder / "data.parquet")
    columns = table.raw
    return [{name: float(values[row]) for name, values in columns.items()} for row in range(len(table.y))]


def predictions(folder: Path) -> list[dict[str, str]]:
    """Return the lines of a flow's predictions.csv."""
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def sent(row: dict[str, Any]) -> dict[str, Any]:
    """Return an own row as the API takes it: without the columns that the model does not know."""
    return {name: row[name] for name in COLUMNS if row[name] is not None}


def test_one_row_is_answered_with_class_confidence_and_all_probabilities(served: Server) -> None:
    """A classifier's response has the index, the name, the confidence and every probability."""
    answer = served.post("/models/iris/predict", IRIS_ROW)
    assert answer.status == 200
    document = answer.document
    assert (document["class_index"], document["class_name"]) == (0, "setosa")
    assert list(document["probabilities"]) == ["setosa", "versicolor", "virginica"]
    assert document["confidence"] == document["probabilities"]["setosa"]
    assert sum(document["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["digits", "iris"])
@pytest.mark.parametrize(("weights", "within"), [("float", 1e-5), ("8bit", 0.1)])
def test_every_prediction_equals_predictions_csv(
    served: Server, models: dict[str, Path], name: str, weights: str, within: float
) -> None:
    """Labels are equal; probabilities agree within the precision of float32 and 8-bit weights."""
    folder = models[name].parent
    answer = served.post(f"/models/{name}/predict/batch?weights={weights}", raw_rows(folder))
    expected, found = predictions(folder), answer.document["predictions"]
    agreed = [a["class_name"] == b["prediction"] for a, b in zip(found, expected, strict=True)]
    assert np.mean(agreed) == 1.0 if weights == "float" else np.mean(agreed) > 0.97
    far = [abs(a["confidence"] - float(b["probability"])) for a, b in zip(found, expected, strict=True)]
    assert max(np.array(far)[agreed]) < within


def test_every_request_format_gives_the_same_predictions(served: Server, models: dict[str, Path]) -> None:
    """Single rows, an array, JSON lines and CSV give the predictions of predictions.csv, missing values included."""
    rows = draw_rows()
    plain = [sent(row) for row in rows]
    found = served.post("/models/own/predict/batch", plain).document["predictions"]
    lines = served.post("/models/own/predict/batch", as_lines(plain).encode(), "application/x-ndjson")
    text = as_csv([{name: row[name] for name in COLUMNS} for row in rows])
    table = served.post("/models/own/predict/batch", text.encode(), "text/csv; charset=utf-8")
    assert lines.document["predictions"] == found
    assert table.document["predictions"] == found
    singles = [served.post("/models/own/predict", row).document for row in plain]
    assert [single["class_name"] for single in singles] == [row["class_name"] for row in found]
    assert [single["confidence"] for single in singles] == pytest.approx([row["confidence"] for row in found], abs=1e-6)
    expected = predictions(models["own"].parent)
    assert [row["class_name"] for row in found] == [row["prediction"] for row in expected]


def test_a_missing_value_may_be_absent_null_or_empty(served: Server) -> None:
    """An absent key, null and an empty text have the same meaning."""
    row = sent(draw_rows()[0]) | {"colour": "red"}
    left_out = {name: value for name, value in row.items() if name != "colour"}
    answers = [served.post("/models/own/predict", each) for each in (left_out, row | {"colour": None})]
    assert answers[0].status == 200
    assert answers[0].body == answers[1].body == served.post("/models/own/predict", row | {"colour": ""}).body
    assert answers[0].body != served.post("/models/own/predict", row).body


def test_a_regressor_returns_its_value(models: dict[str, Path]) -> None:
    """The value equals that of predictions.csv."""
    with Server(models["price"]) as server:
        rows = [sent(row) for row in draw_rows()]
        found = server.post("/predict/batch", rows).document["predictions"]
        expected = [float(line["prediction"]) for line in predictions(models["price"].parent)]
        assert [row["value"] for row in found] == pytest.approx(expected, abs=1e-4)
        assert server.post("/predict", rows[0]).document == {"value": pytest.approx(expected[0], abs=1e-4)}


def picture(values: np.ndarray, mode: str = "L", kind: str = "PNG") -> bytes:
    """Return an array of 0 to 255 as a picture."""
    out = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).convert(mode).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_images_of_digits_are_recognized(served: Server, models: dict[str, Path], kind: str, dark: bool) -> None:
    """For any size, format and background, nearly all images give the rows they were drawn from."""
    table = read_table(models["digits"].parent / "data.parquet")
    X = np.column_stack(list(table.raw.values()))[:60].reshape(-1, 8, 8) / 16 * 255
    right = 0
    for pixels, label in zip(X, table.y, strict=False):
        large = np.pad(np.kron(pixels, np.ones((24, 24))), 40)
        answer = served.post("/predict/image", picture(large if dark else 255 - large, "RGB", kind), f"image/{kind}")
        right += answer.document["class_name"] == str(label)
    assert right >= 54


def test_a_transparent_image_and_a_form_are_accepted(served: Server, models: dict[str, Path]) -> None:
    """In a transparent image the opaque pixels are ink; the first file of a form is the image."""
    X = np.column_stack(list(read_table(models["digits"].parent / "data.parquet").raw.values()))[0].reshape(8, 8)
    ink = np.kron(X / 16 * 255, np.ones((20, 20))).astype(np.uint8)
    layers = np.dstack([np.zeros((160, 160, 3), np.uint8), ink])
    out = io.BytesIO()
    Image.fromarray(layers, "RGBA").save(out, "PNG")
    plain = served.post("/predict/image", picture(ink), "image/png").document
    assert served.post("/predict/image", out.getvalue(), "image/png").document["class_name"] == plain["class_name"]
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + picture(ink) + b"\r\n--b--"
    assert served.post("/predict/image", form, "multipart/form-data; boundary=b").document == plain


def test_every_response_names_request_model_and_commit(served: Server) -> None:
    """Request id (the client's own where it is one), model hash and commit are in the headers of good and bad."""
    good = served.post("/models/iris/predict", IRIS_ROW, X_Request_ID="my-request.1")
    bad = served.post("/models/iris/predict", {}, X_Request_ID="no good\xff")
    assert good.headers["x-request-id"] == "my-request.1"
    assert bad.status == 422
    assert bad.headers["x-request-id"].count("-") == 1
    card = served.get("/models/iris/model").document
    for answer in (good, bad):
        assert answer.headers["x-model-sha256"] == card["sha256"]["float"]
        assert answer.headers["x-commit"] == card["commit"]


def test_the_card_joins_contract_metrics_and_hashes(served: Server, models: dict[str, Path]) -> None:
    """`/model` is the contract with the metrics of the same run and the files' hashes."""
    card = served.get("/model").document
    contract = json.loads(models["digits"].with_name("contract.json").read_text())
    assert card["contract"]["features"] == contract["features"]
    assert card["metrics"] == json.loads(models["digits"].with_name("metrics.json").read_text())
    assert sorted(card["sha256"]) == ["8bit", "float"]
    assert served.get("/models").document == ["digits", "iris", "own"]


REFUSED: list[tuple[str, Any, int, str]] = [
    ("predict", b"", 422, "invalid JSON: EOF while parsing a value at line 1 column 0: send an object with sepal_len"),
    ("predict", b"{", 422, "invalid JSON: EOF while parsing an object at line 1 column 1: send an object with"),
    ("predict", [IRIS_ROW], 422, "the body is not a JSON object: send an object with sepal_length, sepal_width"),
    ("predict", {}, 422, "sepal_length is missing: send a number."),
    ("predict", IRIS_ROW | {"sepal_length": "1_0"}, 422, 'sepal_length is "1_0": send a number.'),
    ("predict", IRIS_ROW | {"sepal_length": True}, 422, "sepal_length is true: send a number."),
    ("predict", IRIS_ROW | {"sepal_length": None}, 422, "sepal_length is null: send a number."),
    (
        "predict",
        json.dumps(IRIS_ROW | {"sepal_length": float("nan")}).encode(),
        422,
        "sepal_length is NaN: send a",
    ),
    ("predict", b'{"sepal_length": 1e309}', 422, "sepal_length is Infinity: send a number."),
    ("predict", b'{"sepal_length": -1e39}', 422, "sepal_length is -1e+39: send a number."),
    (
        "predict",
        IRIS_ROW | {"petal": 1},
        422,
        "'petal' is not a column of this model (did you mean petal_width?): ",
    ),
    ("predict?weights=4bit", IRIS_ROW, 422, "iris has no weights named '4bit': choose float or 8bit."),
    ("predict/batch", [], 422, "the body contains no rows: send at least one."),
    ("predict/batch", [IRIS_ROW, {}], 422, "row 2: sepal_length is missing: send a number."),
    ("predict/batch", [IRIS_ROW, 5], 422, "row 2: the value is not a JSON object: send an object with"),
    ("predict/batch", IRIS_ROW, 422, "the body is not a JSON array: send an array, each item an object with sepal"),
    ("predict/batch", [IRIS_ROW] * 10_001, 413, "the body has 10001 rows, more than 10000: send them in"),
    ("predict/image", b"x", 404, "there is no endpoint /models/iris/predict/image: /docs lists the endpoints."),
]


@pytest.mark.parametrize(("path", "body", "status", "sentence"), REFUSED)
def test_bad_input_gets_one_clear_sentence(served: Server, path: str, body: Any, status: int, sentence: str) -> None:
    """What is wrong, where, what is allowed."""
    answer = served.post(f"/models/iris/{path}", body)
    assert (answer.status, answer.detail[: len(sentence)]) == (status, sentence)


def test_bad_files_get_one_clear_sentence(served: Server) -> None:
    """CSV and lines name the row; a kind that is not taken says which are."""
    path = "/models/own/predict/batch"
    table = served.post(path, b"size,open,since,colour\n1,yes,2022-01-01,red\nx,yes,,\n", "text/csv")
    ragged = served.post(path, b"size,open\n1\n", "text/csv")
    lines = served.post(path, b'{"size": 1}\n{"since": "soon"}\n', "application/jsonl")
    other = served.post(path, b"<a/>", "application/xml")
    assert (table.status, table.detail) == (422, 'row 2: size is "x": send a number.')
    assert (ragged.status, ragged.detail) == (
        422,
        "row 1 has 1 values, the header has 2: fix that row, or quote its separators.",
    )
    assert (lines.status, lines.detail) == (422, 'row 2: since is "soon": send a date such as 2026-11-21.')
    assert (other.status, other.detail.partition(":")[0]) == (
        415,
        "the content type 'application/xml' is not supported",
    )


def hostile() -> list[tuple[str, str, bytes]]:
    """Return 300 bodies that no client means well with: (path, type, body)."""
    draw = random.Random(4)  # noqa: S311 - the same ones each time
    good = json.dumps(IRIS_ROW).encode()
    whole = picture(np.kron(np.eye(8) * 255, np.ones((30, 30))))
    bodies: list[tuple[str, str, bytes]] = []
    for _ in range(60):
        bodies.append(("/models/iris/predict", "application/json", good[: draw.randrange(len(good))]))
        wrong = draw.choice(
            ["NaN", "Infinity", "-Infinity", "1e309", '"x"', "[]", "{}", "null", "true", "1" + "0" * 400]
        )
        spoiled = json.dumps(IRIS_ROW).replace("5.1", wrong).encode()
        bodies.append(("/models/iris/predict", "application/json", spoiled))
        bodies.append(("/models/iris/predict/batch", "application/json", b"[" + spoiled + b"]"))
        noise = draw.randbytes(draw.randrange(1, 400))
        kind = draw.choice(["application/json", "text/csv", "application/x-ndjson"])
        bodies.append(("/models/iris/predict/batch", kind, noise))
        cut = whole[: draw.randrange(len(whole) - 20)]
        bodies.append(("/predict/image", "image/png", draw.choice([cut, noise, b"\x89PNG\r\n\x1a\n" + noise])))
    return bodies


def test_three_hundred_hostile_bodies_are_refused(served: Server) -> None:
    """Each gets a 4xx status with one sentence, and the server keeps responding."""
    for path, kind, body in hostile():
        answer = served.post(path, body, kind)
        assert 400 <= answer.status < 500, (path, body[:80], answer)
        assert answer.detail.endswith("."), answer.detail
        assert "Traceback" not in answer.detail
    assert served.post("/models/iris/predict", IRIS_ROW).status == 200


def test_oversized_and_deeply_nested_bodies_are_refused(served: Server) -> None:
    """Deep nesting, 50 MB, a picture of a billion pixels, one of a single colour, and half a character."""
    deep = served.post("/predict", b'{"a":' * 100_000)
    flood = served.post("/predict", b" " * 10_000_001)
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    bomb = served.post("/predict/image", out.getvalue(), "image/png")
    empty = served.post("/predict/image", picture(np.full((50, 50), 200)), "image/png")
    half = served.post("/models/own/predict", b'{"colour": "\\ud800"}')
    assert (deep.status, flood.status, bomb.status, empty.status, half.status) == (422, 413, 413, 422, 422)
    assert bomb.detail == "the image has 900000000 pixels: send at most 12500000 pixels."
    assert empty.detail == "the image is empty: draw a digit that contrasts with its background."


def test_unknown_paths_and_methods_get_404_and_405(served: Server) -> None:
    """Both have a sentence; 405 lists the allowed methods."""
    nowhere, wrong = served.get("/nowhere"), served.get("/predict")
    assert (nowhere.status, nowhere.detail) == (404, "there is no endpoint /nowhere: /docs lists the endpoints.")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert served.get("/models/absent/model").status == 404


def test_the_api_documentation_describes_the_model_and_loads_nothing_external(served: Server) -> None:
    """Column names, ranges and a working example; the page loads its files from the service only."""
    api = served.get("/openapi.json").document
    body = api["paths"]["/models/iris/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = api["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
    assert list(row["properties"]) == list(IRIS_ROW)
    assert row["properties"]["sepal_length"]["description"].startswith("a number, in training 4.3 to")
    assert served.post("/models/iris/predict", body["example"]).status == 200
    page = served.get("/docs").body.decode()
    assert "swagger-ui" in page
    assert "//cdn" not in page
    assert "https://" not in page


@pytest.mark.slow
def test_drift_is_reported_when_rows_change(models: dict[str, Path]) -> None:
    """Training rows are ok, too few rows have no verdict, changed rows alert; /metrics agrees."""
    table = read_table(models["iris"].parent / "data.parquet")
    rows = raw_rows(models["iris"].parent)
    train = [row for row, part in zip(rows, table.split, strict=True) if part == "train"]
    with Server(models["iris"]) as server:
        assert server.get("/drift").document["status"] == "few rows"
        moved = [row | {"petal_width": row["petal_width"] + 2} for row in train]
        server.post("/predict/batch", train)
        meters = server.get("/metrics").body.decode()
        assert 'artifact_flow_drift_columns{model="iris",status="alert"} 0.0' in meters
    with Server(models["iris"]) as server:
        server.post("/predict/batch", moved)
        drift = server.get("/drift").document
        assert (drift["status"], drift["columns"][0]["name"], drift["rows"]) == ("alert", "petal_width", len(train))
        assert drift["columns"][0]["unseen"] > 0.3
        (earlier,) = drift["history"]
        assert (earlier["status"], [earlier["psi"]]) == ("alert", drift["columns"][0]["history"])
        assert [column["status"] for column in drift["columns"][1:]] == ["ok", "ok", "ok"]
