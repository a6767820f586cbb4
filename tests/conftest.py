"""A real project to work on: this working tree in a git repository of its own, reproduced once by real DVC.

The parameters are the shipped defaults, so that these tests say the same whatever the live params.yaml holds, and its
gate is a part of the real one, which takes as long as all else together.
"""

from artifact_flow import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import shutil
from pathlib import Path

import pytest
from project import Project

SOURCE = Path(__file__).resolve().parents[1]
LEFT_OUT = {f"tests/unit/test_{name}.py" for name in ("artifacts", "contract", "determinism", "models", "scoring")}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Reproduce the working tree once, on branch main, all committed; tests get copies."""
    project = Project(tmp_path_factory.mktemp("built") / "project")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = Project(SOURCE).run(*listed)
    for name in set(filter(None, names.split("\0"))) - LEFT_OUT:
        if (SOURCE / name).is_file():
            (project.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, project.root / name)
    shutil.copy(SOURCE / "tests/unit/params.yaml", project.root / "params.yaml")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.repro()
    project.commit("Reproduced")
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A reproduced project that one test may change."""
    return Project(Path(shutil.copytree(built.root, tmp_path / "project", symlinks=True)))
