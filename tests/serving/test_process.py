"""The process: what it refuses to start with, what it logs, and how it bears load, slowness and the end."""

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from serving.server import IRIS_ROW, ROOT, Answer, Server, command, lock_for

from artifact_flow.core.base.files import hash_file
from artifact_flow.core.model.artifacts import describe_absence

LIMITS = "ARTIFACT_FLOW_SERVE"


def refusal(*arguments: str, cwd: Path, **environ: str) -> str:
    """Return the last line that the command says when it does not start; its exit code is 1 or 3."""
    given = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environ
    done = subprocess.run(
        command("serve", "--port", "0", *arguments),
        env=given,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode in (1, 3), done
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr.splitlines()[-1]


@pytest.fixture
def iris(models: dict[str, Path], tmp_path: Path) -> Path:
    """A folder with the iris model that one test may change."""
    return Path(shutil.copytree(models["iris"].parent, tmp_path / "iris"))


def test_a_model_that_the_lock_names_is_served(iris: Path) -> None:
    """A dvc.lock in the model's folder is enough; no hash has to be given."""
    (iris / "model_quantized.onnx").write_bytes(b"")  # as stage quantize writes it if it does not apply
    lock_for(iris, "model_quantized.onnx")
    with Server(iris / "model.onnx", MODEL_SHA256="") as server:
        assert server.post("/predict", IRIS_ROW).status == 200


def test_a_model_without_an_onnx_form_is_refused_in_one_sentence(iris: Path) -> None:
    """Its model.onnx is empty; the sentence gives the reason in parity.json and the models that there are."""
    (iris / "model.onnx").write_bytes(b"")
    (iris / "parity.json").write_text(describe_absence("NearestCentroid cannot be written as ONNX by skl2onnx"))
    lock_for(iris)
    assert refusal(cwd=iris) == (
        "error: model.onnx is empty, because the stage export does not apply to this estimator (NearestCentroid cannot "
        "be written as ONNX by skl2onnx): predict with another file (--model model_quantized.onnx or --model "
        "model_train.pkl); only an ONNX file can be served."
    )


@pytest.mark.slow
def test_a_replaced_model_is_refused_before_it_is_opened(iris: Path) -> None:
    """A model that is neither the lock's nor MODEL_SHA256's is not served, nor one without any known hash."""
    assert refusal(cwd=iris).startswith(
        "error: no dvc.lock names model.onnx, so its content cannot be verified: give its"
    )
    lock_for(iris)
    with (iris / "model.onnx").open("ab") as file:
        file.write(b"more")
    assert refusal(cwd=iris).startswith("error: model.onnx is not the one that dvc.lock names (md5 ")
    other = refusal(cwd=iris, MODEL_SHA256="0" * 64)
    assert re.match(r"error: model.onnx has the sha256 [0-9a-f]{64}, but only 0{12}… may be opened: use", other)


@pytest.mark.slow
def test_a_service_that_cannot_start_prints_one_sentence(iris: Path) -> None:
    """No model, no contract, another model's contract, a taken port, wrong settings."""
    hashes = {"MODEL_SHA256": hash_file(iris / "model.onnx")}
    (iris / "model_quantized.onnx").unlink()
    assert refusal("absent.onnx", cwd=iris).startswith("error: absent.onnx cannot be read (No such file or directory)")
    twice = refusal("model.onnx", "model.onnx", cwd=iris, **hashes)
    assert twice == "error: model.onnx is a second model named iris: serve it in a separate process."
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port} (" in refusal("--port", port, cwd=iris, **hashes)
    assert refusal("--workers", "0", cwd=iris) == "error: --workers is 0: give 1 to 64."
    wrong = refusal(cwd=iris, **{LIMITS: '{"max_rows": 0}'})
    assert wrong.startswith("error: ARTIFACT_FLOW_SERVE is invalid: max_rows: Input should be greater than 0: give a")
    assert refusal(cwd=iris, MODEL_SHA256="x").startswith(
        "error: MODEL_SHA256 contains something other than sha256 hash"
    )
    contract = iris / "contract.json"
    contract.write_text(contract.read_text().replace('"seed": 42', '"seed": 43'))
    assert "belongs to another contract.json" in refusal(cwd=iris, **hashes)


def test_every_endpoint_with_models_or_metrics_requires_the_key(models: dict[str, Path]) -> None:
    """Without the key 401, with it a response; the health checks and the API documentation are open; no log has it."""
    with Server(models["iris"], ARTIFACT_FLOW_API_KEY="s3cret-key") as server:
        for path in ("/metrics", "/model", "/drift", "/models"):
            assert server.get(path).status == 401, path
            assert server.get(path, key="s3cret-key").status == 200, path
        refused = server.post("/predict", IRIS_ROW, X_API_Key="wrong")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert (
            refused.detail == "the API key is missing or wrong: send it in the X-API-Key header or as a bearer token."
        )
        assert server.post("/predict", IRIS_ROW, Authorization="Bearer s3cret-key").status == 200
        assert server.get("/health").status == server.get("/ready").status == 200
        server.stop()
        assert b"s3cret-key" not in Path(server.log_file.name).read_bytes()


def test_a_request_is_logged_as_one_json_line(models: dict[str, Path]) -> None:
    """The line has input, prediction, mean and deviation of the window; of a batch as columns; of a refusal why."""
    with Server(models["iris"]) as server:
        server.post("/predict", IRIS_ROW, X_Request_ID="one")
        server.post("/predict/batch", [IRIS_ROW, IRIS_ROW | {"petal_width": 2.2}], X_Request_ID="two")
        server.post("/predict", {}, X_Request_ID="three")
        server.stop()
        one, batch, refused = server.predictions()
    fields = [
        "timestamp", "level", "message", "module", "endpoint", "status", "latency_ms", "request_id", "model",
        "model_sha256", "input_stats",
    ]  # fmt: skip
    assert list(one) == [*fields, "input", "prediction"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["timestamp"])
    assert (one["level"], one["endpoint"], one["status"], one["request_id"]) == ("INFO", "/predict", 200, "one")
    assert one["input"] == IRIS_ROW
    assert one["prediction"]["class_name"] == "setosa"
    assert set(one["input_stats"]["petal_width"]) == {"mean", "std"}
    assert list(batch) == [*fields, "rows", "input", "prediction"]
    assert (batch["request_id"], batch["rows"]) == ("two", 2)
    assert batch["input"] == {name: [value, value] for name, value in IRIS_ROW.items()} | {"petal_width": [0.2, 2.2]}
    assert set(map(len, batch["prediction"].values())) == {2}
    assert batch["prediction"]["class_name"] == ["setosa", "setosa"]
    assert (refused["level"], refused["status"], refused["message"]) == (
        "WARNING",
        422,
        "sepal_length is missing: send a number.",
    )
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/logs.md").read_text(), re.MULTILINE)
    documented = {name for cell in table for name in re.findall("`(.*?)`", cell)}
    assert {*one, *batch, *refused} <= documented
    vrl = pytest.importorskip("vrl_python", reason="runs Vector's language: pip install vrl-python")
    events: list[Any] = [{"message": json.dumps(line)} for line in (one, batch, refused)]
    for name, step in YAML(typ="safe", pure=True).load(ROOT / "monitoring/vector.yaml")["transforms"].items():
        made = [vrl.VRLRuntime.run(step["source"], event, "UTC").processed_event for event in events]
        events = [event for item in made for event in (item if isinstance(item, list) else [item])]
        assert all(event["status"] == ("error" if event["http_status"] == 422 else "success") for event in events), name
    assert [event.get("row") for event in events] == [None, 0, 1, None]
    assert [event["input"]["petal_width"] for event in events[:3]] == [0.2, 0.2, 2.2]
    assert [event["prediction"]["class"] for event in events[:3]] == ["setosa"] * 3


def test_a_large_batch_can_be_logged_as_a_sample(models: dict[str, Path]) -> None:
    """With `log_rows`, a line has that many of its rows, evenly spread, and their places."""
    rows = [IRIS_ROW | {"petal_width": float(number)} for number in range(101)]
    with Server(models["iris"], **{LIMITS: '{"log_rows": 5}'}) as server:
        server.post("/predict/batch", rows)
        server.stop()
        (line,) = server.predictions()
    assert (line["rows"], line["logged_rows"]) == (101, [0, 25, 50, 75, 100])
    assert line["input"]["petal_width"] == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert len(line["prediction"]["class_name"]) == 5


def test_inputs_can_be_omitted_from_the_log_and_the_log_can_be_a_file(models: dict[str, Path], tmp_path: Path) -> None:
    """--no-log-inputs omits every value of a client; --log-file contains the same lines."""
    file = tmp_path / "logs/predictions.jsonl"
    with Server(models["iris"], arguments=("--no-log-inputs", "--log-file", str(file))) as server:
        server.post("/predict", IRIS_ROW)
        server.stop()
        (line,) = server.predictions()
        assert "input" not in line
        assert [json.loads(text) for text in file.read_text().splitlines()] == [line]


def load(clients: int, ask: Callable[[int], int | None]) -> list[Any]:
    """Ask from several threads until each is told None; return the statuses, or the exceptions' types."""
    found: list[Any] = []

    def client(number: int) -> None:
        for count in itertools.count(number * 1_000_000):
            try:
                status = ask(count)
            except OSError as error:
                status = type(error)  # type: ignore[assignment]
            if status is None:
                return
            found.append(status)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.slow
def test_a_shutdown_under_load_fails_no_request_and_loses_no_line(models: dict[str, Path], workers: str) -> None:
    """After SIGTERM clients are told to reconnect, until no connection begins; every request is answered and logged."""
    with Server(models["iris"], arguments=("--workers", workers)) as server:
        local = threading.local()

        def ask(number: int) -> int | None:
            if getattr(local, "connection", None) is None:
                local.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
                try:
                    local.connection.connect()
                except ConnectionRefusedError:
                    return None
                time.sleep(0.01 * (number % 3))
            local.connection.request("POST", "/predict", json.dumps(IRIS_ROW), {"X-Request-ID": f"r{number}"})
            response = local.connection.getresponse()
            response.read()
            if response.getheader("connection") == "close" or number % 5 == 0:
                local.connection.close()
                local.connection = None
            return response.status

        late: list[Answer] = []

        def watch() -> None:
            with contextlib.suppress(OSError):
                while not late or late[-1].status == 200:
                    late.append(server.get("/ready"))
                    time.sleep(0.05)

        watching = threading.Thread(target=watch)
        threading.Timer(1.0, server.process.send_signal, [signal.SIGTERM]).start()
        watching.start()
        found = load(8, ask)
        watching.join()
        assert server.process.wait(10) == 0
        assert set(found) == {200}
        assert len(found) > 100
        assert len({line["request_id"] for line in server.predictions()}) == len(found)
        assert (late[-1].status, late[-1].detail) == (503, "the service is shutting down: use another replica.")


@pytest.mark.slow
def test_batches_that_would_wait_too_long_are_refused(models: dict[str, Path]) -> None:
    """Batches whose turn would come too late get 503 with Retry-After, while single rows are answered."""
    rows = [{f"pixel_{i}_{j}": 1.0 for i in range(8) for j in range(8)}] * 3000

    with Server(models["digits"], **{LIMITS: '{"slow_at_once": 1, "wait_seconds": 0.05}'}) as server:
        end, answers = time.monotonic() + 2, list[Answer]()

        def ask(_: int) -> int | None:
            return server.post("/predict/batch", rows).status if time.monotonic() < end else None

        other = threading.Thread(target=lambda: answers.extend(server.post("/predict", rows[0]) for _ in range(5)))
        other.start()
        found = Counter(load(6, ask))
        other.join()
        assert set(found) == {200, 503}
        assert [answer.status for answer in answers] == [200] * 5
        assert server.post("/predict/batch", rows[:2]).status == 200
        assert 'artifact_flow_errors_total{kind="load"}' in server.get("/metrics").body.decode()


def test_concurrent_large_bodies_do_not_exhaust_the_memory(models: dict[str, Path]) -> None:
    """Beyond the limit of buffered bytes the status is 503; the bytes are freed when the client disconnects."""
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
    with Server(models["iris"], **{LIMITS: '{"held_bytes": 1000000}'}) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as holding:
            holding.sendall(head + b" " * 899_999)
            time.sleep(0.5)
            refused = server.post("/predict", b" " * 900_000)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert refused.detail == "too many large request bodies at a time: retry later."
            assert server.post("/predict", IRIS_ROW).status == 200
        time.sleep(0.5)
        assert server.post("/predict", b" " * 900_000).status == 422


@pytest.mark.parametrize(
    "part", [b"", b"POST /predict HT", b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 80\r\n\r\n{"]
)
@pytest.mark.slow
def test_slow_clients_time_out(models: dict[str, Path], part: bytes) -> None:
    """A client that sends nothing, half a head or half a body gets 408 and is disconnected."""
    with Server(models["iris"], **{LIMITS: '{"body_seconds": 0.4}'}) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(part)
            began, answer = time.monotonic(), b""
            while block := client.recv(4096):
                answer += block
            assert 0.2 < time.monotonic() - began < 3
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"].startswith("the request did not arrive")
        assert server.post("/predict", IRIS_ROW).status == 200


@pytest.mark.slow
def test_metrics_and_drift_are_shared_by_workers_and_survive_a_killed_one(models: dict[str, Path]) -> None:
    """Counts add up over workers; a killed worker is replaced, and its counts are kept."""
    with Server(models["iris"], arguments=("--workers", "2")) as server:
        for _ in range(60):
            assert server.post("/predict", IRIS_ROW).status == 200
        line = 'artifact_flow_predictions_total{class="setosa",model="iris"} '
        assert line + "60.0" in server.get("/metrics").body.decode()
        assert server.get("/drift").document["rows"] == 60
        workers = server.workers()
        assert len(workers) == 2
        time.sleep(0.5)  # what it has not written yet is lost with it: a tenth of a second
        os.kill(workers[0], signal.SIGKILL)
        time.sleep(0.2)
        for _ in range(20):
            assert server.post("/predict", IRIS_ROW).status == 200
        assert line + "80.0" in server.get("/metrics").body.decode()
        assert server.post("/predict/batch", [IRIS_ROW] * 100).status == 200
        histories = [server.get("/drift").document["history"] for _ in range(10)]
        assert histories == [histories[0]] * 10
        assert len(histories[0]) == 1
        assert server.stop() == 0
        ids = [entry["request_id"] for entry in server.predictions()]
        assert len(ids) == len(set(ids)) == 81
