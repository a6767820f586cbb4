"""A healthy project, and what the doctor finds in it after one fault at a time."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project import Project
from warm import start_hosts

from artifact_flow.cli import main


@pytest.fixture(scope="module")
def patient(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the doctor finds nothing; each test removes the fault that it plants."""
    folder = tmp_path_factory.mktemp("doctor")
    project = Project(Path(shutil.copytree(finished.root, folder / "project", symlinks=True)))
    for driver in ("dvc-lock", "dvc-output"):
        project.run("git", "config", f"merge.{driver}.driver", "true")
    (project.root / ".git/hooks").mkdir(exist_ok=True)
    (project.root / ".git/hooks/pre-commit").touch()
    (folder / "store").mkdir()
    project.run("dvc", "remote", "add", "--local", "--default", "store", str(folder / "store"))
    return project


@pytest.fixture
def ask(
    patient: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """A function that runs a command in the project and returns its exit code and the JSON that it prints."""
    for name, value in patient.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{start_hosts()}:{patient.environ['PATH']}".lstrip(":"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(patient.root.parent))
    monkeypatch.chdir(patient.root)

    def run(*arguments: str) -> dict[str, Any]:
        code: Any = 0
        try:
            main([*arguments, "--json"])
        except SystemExit as ended:
            code = ended.code
        return {"code": code} | json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def find(ask: Callable[..., dict[str, Any]]) -> Callable[..., list[tuple[str, str, str, str]]]:
    """A function that returns the doctor's findings: severity, check, what, cure."""

    def found(*arguments: str) -> list[tuple[str, str, str, str]]:
        report = ask("doctor", *arguments)
        findings = [(one["severity"], one["check"], one["what"], one["cure"]) for one in report["findings"]]
        assert report["code"] == (1 if any(severity == "error" for severity, *_ in findings) else 0)
        return findings

    return found
