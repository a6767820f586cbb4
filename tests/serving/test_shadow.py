"""Shadow: a challenger sees the rows of the served model; its answers are logged and compared, and never returned."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from serving.server import IRIS_ROW, Server, lock_for
from serving.test_process import refusal
from serving.test_reload import reload, replace

from artifact_flow.core.base.errors import ServeError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.model.artifacts import start_session
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.settings import ServiceSettings
from artifact_flow.serving.shadow import Shadow

ROWS = [IRIS_ROW | {"petal_length": length, "petal_width": length / 3} for length in np.linspace(4.6, 4.9, 30).tolist()]


def labels(folder: Path) -> list[str]:
    """Return the class of each of ROWS according to the model file of a folder."""
    session = start_session((folder / "model.onnx").read_bytes())
    X = np.array([list(row.values()) for row in ROWS], np.float32)
    return [
        ("setosa", "versicolor", "virginica")[index]
        for index in session.run(["label"], {session.get_inputs()[0].name: X})[0]
    ]


def count(server: Server, result: str) -> float:
    """Return how many rows of the shadow had a result."""
    lines = server.get("/metrics").body.decode().splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith("artifact_flow_shadow_rows_total{") and f'result="{result}"' in line
    )


def test_a_shadow_is_logged_and_compared_and_never_returned(
    served: Server, locked: Path, newer: Path, tmp_path: Path
) -> None:
    """Answers are byte for byte those without a shadow; the log and meters have its; SIGHUP ends it."""
    challenger = Path(shutil.copytree(newer, tmp_path / "challenger"))
    lock_for(challenger, "model_quantized.onnx")
    champion, shadow = (hash_file(folder / "model.onnx") for folder in (locked, challenger))
    alone = [served.post("/models/iris/predict", row).body for row in ROWS]
    shadowed = ("--shadow", str(challenger / "model.onnx"))
    with Server(locked / "model.onnx", arguments=shadowed, MODEL_SHA256="") as server:
        answers = [server.post("/predict", row, X_Request_ID=f"r{number}") for number, row in enumerate(ROWS)]
        assert [answer.body for answer in answers] == alone
        assert {answer.headers["x-model-sha256"] for answer in answers} == {champion}
        assert server.post("/predict/batch", ROWS, X_Request_ID="batch").status == 200
        assert server.post("/predict", {}).status == 422
        end = time.monotonic() + 10
        while count(server, "agreed") + count(server, "differed") < 2 * len(ROWS):
            assert time.monotonic() < end
            time.sleep(0.1)
        differ = sum(one != other for one, other in zip(labels(locked), labels(challenger), strict=True))
        assert count(server, "differed") == 2 * differ > 0
        replace(locked, newer)  # the challenger is promoted
        reload(server, "reloaded: ")
        assert "the shadow of iris is the same model: there is nothing to compare" in [
            line["message"] for line in server.log()
        ]
        assert server.post("/predict", IRIS_ROW).headers["x-model-sha256"] == shadow
        server.stop()
        lines = {line["request_id"]: line for line in server.log() if line["message"] == "shadow"}
    assert [lines[f"r{number}"]["shadow"] for number in range(len(ROWS))] == [[name] for name in labels(challenger)]
    batch = lines["batch"]
    assert (batch["model_sha256"], batch["shadow_sha256"], batch["rows"]) == (champion, shadow, len(ROWS))
    assert (batch["shadow"], batch["agreed"]) == (labels(challenger), len(ROWS) - differ)
    assert 0 < batch["mean_difference"] < 0.5
    assert len(lines) == len(ROWS) + 1, "nothing of the refused request"


def test_a_shadow_of_other_rows_is_refused(models: dict[str, Path], locked: Path) -> None:
    """The service does not start with a shadow of no served model, or one of another target."""
    digits, own, price = (models[name] for name in ("digits", "own", "price"))
    hashes = tuple(hash_file(path) for path in (locked / "model.onnx", digits, own, price))
    said = refusal("model.onnx", "--shadow", str(digits), cwd=locked, MODEL_SHA256=" ".join(hashes))
    assert said == f"error: {digits} is a model named digits: give one shadow for each of iris at most."
    settings = ServiceSettings(sha256=hashes)
    with pytest.raises(
        ServeError, match=r"^the shadow of own predicts something else: use a model of the same target\.$"
    ):
        Shadow(ServedModel(price, settings), ServedModel(own, settings), print)
    with pytest.raises(ServeError, match=r"^the shadow of own cannot take its rows: the column \S+ is absent in the"):
        Shadow(ServedModel(locked / "model.onnx", settings), ServedModel(own, settings), print)


def test_a_shadow_reads_rows_by_its_own_categories(models: dict[str, Path]) -> None:
    """A challenger that encodes categories or dates otherwise gets the client's rows, not the champion's codes."""
    path = models["own"]
    hashes = [hash_file(file) for file in (path, path.with_name("model_quantized.onnx")) if file.is_file()]
    settings = ServiceSettings(models=(str(path),), vouched=tuple(hashes))
    champion, challenger = ServedModel(path, settings), ServedModel(path, settings)
    challenger.encoding = "another"  # so that it does not take over the matrix
    example = {name: value for name, value in champion.rows.example().items() if value is not None}
    row = champion.rows.parse_one(json.dumps(example).encode())
    answers = champion.answer(champion.predict(champion.rows.encode([row]), champion.weights["float"]))
    lines: list[bytes] = []
    shadow = Shadow(challenger, champion, lines.append)
    shadow.put("r", np.full((1, len(champion.rows.features)), -1.0), [row], answers, "float")
    shadow.close()
    (line,) = map(json.loads, lines)
    assert (line["shadow"], line["agreed"], line["mean_difference"]) == ([answers[0]["class_name"]], 1, 0.0)


def test_a_shadow_compares_the_weights_that_answered_with_its_own_of_that_kind(models: dict[str, Path]) -> None:
    """8-bit answers of a model that is its own shadow agree to the digit; without 8-bit weights, the log says so."""
    path = models["iris"]
    hashes = tuple(hash_file(path.with_name(name)) for name in ("model.onnx", "model_quantized.onnx"))
    champion, challenger, plain = (ServedModel(path, ServiceSettings(sha256=hashes)) for _ in range(3))
    del plain.weights["8bit"]
    X = champion.rows.encode(ROWS)
    lines: list[bytes] = []
    for model in (challenger, plain):
        shadow = Shadow(model, champion, lines.append)
        for weights in ("float", "8bit"):
            answers = champion.answer(champion.predict(X, champion.choose(weights)))
            shadow.put(weights, X, list(ROWS), answers, weights)
        shadow.close()
    found = [json.loads(line) for line in lines]
    assert [(line["weights"], line["shadow_weights"], line["mean_difference"] == 0) for line in found] == [
        ("float", "float", True),
        ("8bit", "8bit", True),
        ("float", "float", True),
        ("8bit", "float", False),
    ]
