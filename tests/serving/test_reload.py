"""Reload: a running service takes over the version that the lock names, without a failed request, or says why not."""

import asyncio
import gc
import http.client
import json
import os
import pty
import shutil
import signal
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving.server import IRIS_ROW, Server, lock_for

from artifact_flow.core.base.files import hash_file
from artifact_flow.serving.app import Service
from artifact_flow.serving.settings import ServiceSettings

FILES = ("model.onnx", "model_quantized.onnx", "contract.json", "metrics.json")


def replace(folder: Path, version: Path) -> str:
    """Put another version and its lock into a folder; return the sha256 of its model."""
    for name in FILES:
        shutil.copy(version / name, folder / name)
    lock_for(folder, "model_quantized.onnx")
    return hash_file(folder / "model.onnx")


def messages(server: Server, start: str) -> list[str]:
    """Return the log's messages that begin with `start`."""
    lines = Path(server.log_file.name).read_bytes().split(b"\n")[:-1]  # what follows is being written
    return [json.loads(line)["message"] for line in lines if b'"message":"' + start.encode() in line]


def reload(server: Server, start: str, workers: int = 1) -> list[str]:
    """Send SIGHUP and return the messages that each worker then logs, beginning with `start`."""
    before = len(messages(server, start))
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 120
    while len(found := messages(server, start)[before:]) < workers:
        assert time.monotonic() < end, server.log()[-5:]
        time.sleep(0.1)
    return found


@contextmanager
def asking(server: Server, clients: int = 4) -> Iterator[Counter[tuple[int, str]]]:
    """Ask for predictions over kept connections; yield (status, sha256 of the model) → answers, complete at the end."""
    found, stop = Counter[tuple[int, str]](), threading.Event()
    batch = json.dumps([IRIS_ROW] * 5)

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        path, body = ("/predict/batch", batch) if number % 2 else ("/predict", json.dumps(IRIS_ROW))
        while not stop.is_set():
            try:
                connection.request("POST", path, body)
                response = connection.getresponse()
                response.read()
                found[response.status, response.headers["X-Model-SHA256"]] += 1
            except OSError as error:
                found[0, str(error)] += 1
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_a_reload_under_load_fails_no_request(locked: Path, newer: Path, workers: int) -> None:
    """Every request is answered by the old or the new version; its headers, log line and drift are of that one."""
    old = hash_file(locked / "model.onnx")
    with Server(locked / "model.onnx", arguments=("--workers", str(workers)), MODEL_SHA256="") as server:
        with asking(server) as found:
            time.sleep(0.5)
            assert found[200, old] > 10
            new = replace(locked, newer)
            done = reload(server, "reloaded: ", workers)
            now = found[200, new]
            time.sleep(1.5)  # the old version is freed after a second
        assert set(found) == {(200, old), (200, new)}
        assert found[200, new] > now + 10
        assert done == [f"reloaded: iris {old[:12]} → {new[:12]}"] * workers
        assert server.get("/model").document["sha256"]["float"] == new
        assert server.get("/ready").document == {"status": "ready"}
        rows = server.get("/drift").document["rows"]
        assert rows == min(10_000 * workers, rows), "the window goes on, because both versions take the same rows"
        assert rows > 50
        text = server.get("/metrics").body.decode()
        assert f'sha256="{new}"}} 1.0' in text
        assert f'sha256="{old}"}} 0.0' in text
        assert f'artifact_flow_reloads_total{{result="done"}} {workers}.0' in text
        assert server.stop() == 0
        assert {line["model_sha256"] for line in server.predictions()} == {old, new}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_a_forged_file_is_refused_and_the_old_model_answers(
    locked: Path, newer: Path, models: dict[str, Path], workers: int
) -> None:
    """A file that the lock does not name is not opened; the log and /ready give the reason until it is mended."""
    with Server(locked / "model.onnx", arguments=("--workers", str(workers)), MODEL_SHA256="") as server:
        before = server.post("/predict", IRIS_ROW)
        shutil.copy(newer / "model.onnx", locked / "model.onnx")
        notice = server.get("/ready").document["notice"]
        assert notice == "model.onnx on disk is not the one in use: SIGHUP loads it after checking its hash."
        (said, *_) = reload(server, "reload refused", workers)
        assert said.startswith("reload refused, the earlier models go on answering: ")
        assert "model.onnx is not the one that dvc.lock names (md5 " in said
        ready = server.get("/ready")
        assert (ready.status, ready.document["status"], ready.document["notice"]) == (200, "ready", said)
        after = server.post("/predict", IRIS_ROW)
        assert (after.body, after.headers["x-model-sha256"]) == (before.body, before.headers["x-model-sha256"])
        assert f'artifact_flow_reloads_total{{result="refused"}} {workers}.0' in server.get("/metrics").body.decode()
        replace(locked, models["digits"].parent)  # its endpoints would vanish under the clients' hands
        (said, *_) = reload(server, "reload refused", workers)
        assert said.endswith(
            "the models are digits now, and iris are served: restart the service to serve models of other names."
        )
        assert server.post("/predict", IRIS_ROW).body == before.body
        new = replace(locked, newer)
        reload(server, "reloaded: ", workers)
        assert server.get("/ready").document == {"status": "ready"}
        assert server.post("/predict", IRIS_ROW).headers["x-model-sha256"] == new


def test_a_replaced_model_is_freed(locked: Path) -> None:
    """Nothing keeps the models of an earlier edition in memory: no cache and no frozen object."""
    settings = ServiceSettings(models=(str(locked / "model.onnx"),))

    async def run() -> list[bool]:
        service = Service(settings, lambda: settings)
        before = [weakref.ref(service.api.edition), weakref.ref(service.api.edition.first)]
        gc.freeze()  # as at the start of a service
        await service.reloader.reload()
        service.resources.log.close()
        return [kept() is None for kept in before]

    assert asyncio.run(run()) == [True, True]


def test_a_service_ends_with_its_terminal(locked: Path) -> None:
    """SIGHUP from a terminal that was closed stops the service, as it does for every program in it."""
    controller, terminal = pty.openpty()
    with Server(locked / "model.onnx", MODEL_SHA256="", stdin=terminal) as server:
        os.close(terminal)
        os.close(controller)
        assert server.stop(signal.SIGHUP) == 0
