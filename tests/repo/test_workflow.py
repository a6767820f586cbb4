"""The workflow hands over what the jobs need, and gives nobody more than that."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github/workflows/pipeline.yml"
PIPELINE: dict[str, Any] = YAML(typ="safe").load(WORKFLOW)
JOBS: dict[str, Any] = PIPELINE["jobs"]
FILES = [WORKFLOW, *sorted((ROOT / ".github/actions").glob("*/action.yml"))]


def test_the_jobs_follow_the_stages() -> None:
    """test, train, infer, export, by `needs`; then container and report; the flows after test; verify on its own."""
    needs = {name: job.get("needs") for name, job in JOBS.items()}
    assert needs == {
        "test": None,
        "flow": "test",
        "train": "test",
        "infer": "train",
        "export": "infer",
        "container": "export",
        "report": "export",
        "verify": None,
    }
    assert set(PIPELINE["on"]) == {"push", "pull_request"}


def test_every_supported_python_is_tested() -> None:
    """The matrix is what pyproject.toml declares."""
    declared = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert JOBS["test"]["strategy"]["matrix"]["python"] == declared


@pytest.mark.parametrize("name", JOBS)
def test_a_job_may_read_and_must_end(name: str) -> None:
    """No permission but to read the code, and a limit on the time."""
    assert PIPELINE["permissions"] == {}
    assert JOBS[name]["permissions"] == {"contents": "read"}
    assert JOBS[name]["timeout-minutes"] <= 30


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_workflow_is_valid(file: Path) -> None:
    """It fits GitHub's own schema."""
    schema = "vendor.github-workflows" if file == WORKFLOW else "vendor.github-actions"
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", schema, file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_actions_are_pinned_by_hash(file: Path) -> None:
    """A tag can be moved, a hash cannot; the version stands beside it for the reader. Only GitHub's own are used."""
    for use in re.findall(r"uses: (.*)$", file.read_text(), re.MULTILINE):
        assert re.fullmatch(r"\./\.github/actions/[a-z-]+|actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_no_secret_is_asked_for(file: Path) -> None:
    """A fork runs the same as the repository; only who may push an image or log a run is a secret, and may be none."""
    text = file.read_text()
    asked = re.findall(r"secrets\.(\w+)", text)
    known = ["REGISTRY", "REGISTRY_USER", "REGISTRY_PASSWORD", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]
    assert asked == (known if file.name == "pipeline.yml" else [])
    assert "secrets." not in text.partition("name: Push it")[0]
    assert "github.token" not in file.read_text()
