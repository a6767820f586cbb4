"""A real project to work on: this working tree in a git repository of its own, reproduced once by real DVC.

Parameters and pipeline are the shipped ones, so that these tests say the same whatever the live params.yaml and
dvc.yaml hold, and its gate is a part of the real one, which takes as long as all else together.
"""

from artifact_flow import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import shutil
from pathlib import Path

import pytest
from project import Project

SOURCE = Path(__file__).resolve().parents[1]
GATE = {f"tests/unit/test_{name}.py" for name in ("cli", "files", "params", "verify")}


def is_needed(name: str) -> bool:
    """Tell whether a file of the repository goes into the projects: not the flows, and only a part of the gate."""
    if name.startswith("tests/unit/test_"):
        return name in GATE
    return not name.startswith("flows/")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Reproduce the working tree once, on branch main, all committed; tests get copies."""
    project = Project(tmp_path_factory.mktemp("built") / "project")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = Project(SOURCE).run(*listed)
    for name in filter(is_needed, set(filter(None, names.split("\0")))):
        if (SOURCE / name).is_file():
            (project.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, project.root / name)
    shutil.copy(SOURCE / "tests/unit/params.yaml", project.root / "params.yaml")
    shutil.copy(SOURCE / "tests/pipeline.yaml", project.root / "dvc.yaml")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.repro()
    project.commit("Reproduced")
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A reproduced project that one test may change."""
    return Project(Path(shutil.copytree(built.root, tmp_path / "project", symlinks=True)))
