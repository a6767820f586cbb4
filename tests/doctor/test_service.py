"""`artifact-flow doctor --service` finds a service that is not there, not ready, locked, or has another model."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from project import Project
from serving.server import Server, make_builtin

Find: TypeAlias = Callable[..., list[tuple[str, str, str, str]]]


def test_a_service_that_is_not_there(find: Find) -> None:
    """Nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    ((severity, check, what, _),) = find("--service", nobody)
    assert (severity, check) == ("error", "service")
    assert what.startswith("it does not answer on /ready ([Errno 111] Connection refused")


@pytest.mark.slow
def test_a_service(
    patient: Project, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It wants a key, and serves a model that no lock names beside one of the project."""
    other = make_builtin(tmp_path / "other", "wine")
    capsys.readouterr()  # what its stages print
    with Server(patient.root / "model.onnx", other, ARTIFACT_FLOW_API_KEY="secret") as server:
        url = f"http://127.0.0.1:{server.port}"
        ((_, _, what, _),) = find("--service", url)
        assert what == "/models answers 401: ARTIFACT_FLOW_API_KEY must hold its key"
        monkeypatch.setenv("ARTIFACT_FLOW_API_KEY", "secret")
        (float_, quantized) = find("--service", url)
        assert float_[2].startswith("it serves as wine (float) a model with the sha256 ")
        assert quantized[2].startswith("it serves as wine (8bit) a model with the sha256 ")
        assert "artifact-flow serve" in float_[3]


def test_a_url_that_is_none(find: Find) -> None:
    """A file is no service."""
    ((severity, _, what, _),) = find("--service", "file:///etc/passwd")
    assert severity == "error"
    assert what == "file:///etc/passwd is not the URL of a service, such as http://127.0.0.1:8000"


@pytest.mark.slow
def test_a_service_that_is_not_ready(patient: Project, find: Find, tmp_path: Path) -> None:
    """What /ready answers is what is wrong."""
    folder = Path(shutil.copytree(patient.root / "flows/iris", tmp_path / "iris"))
    with Server(folder / "model.onnx", arguments=("--workers", "2")) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert find("--service", url) == []
        (folder / "contract.json").write_text("{}")
        os.kill(server.workers()[0], signal.SIGKILL)
        end = time.monotonic() + 40
        while not (found := find("--service", url)) and time.monotonic() < end:
            time.sleep(0.2)
    ((severity, check, what, _),) = found
    assert (severity, check) == ("error", "service")
    assert what == "/ready answers 503: 1 of 2 workers cannot start: see the service's log"
