"""The repository's own files, and a place where the stages have run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def built_outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the source, the shipped defaults and what the stages, run by hand, made of them."""
    root = tmp_path_factory.mktemp("outputs")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/unit/params.yaml", root / "params.yaml")
    for stage in ("data", "train", "infer"):
        subprocess.run(
            [sys.executable, "-m", f"artifact_flow.stages.{stage}"],
            cwd=root,
            env=os.environ | {"PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
            capture_output=True,
        )
    return root
