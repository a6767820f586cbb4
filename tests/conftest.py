"""Real projects to work on: this working tree in a git repository of its own, reproduced once by real DVC.

Parameters and pipeline are the shipped ones, so that these tests say the same whatever the live params.yaml and
dvc.yaml hold, and its gate is a part of the real one, which takes as long as all else together.

Tests bring what they need, so that they pass in a fresh clone. Those about the flows that the working tree itself has
reproduced, or about data sets that are fetched, are marked and skip until somebody has provided them.
"""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from project import Project, copy_tree, is_finished

from artifact_flow.core.table import builtin

# Where the tests are started in the background, as by nohup or a script's &, the shell has them ignore Ctrl-C, and they
# would hand that on to the processes that they interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SOURCE = Path(__file__).resolve().parents[1]
DATA = builtin.data_folder(os.environ, SOURCE)
GATE = {f"tests/unit/test_{name}.py" for name in ("cli", "files")}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked needs_flows or needs_data where what it names is not there, with the command that makes it."""
    for marker in item.iter_markers("needs_flows"):
        for name in marker.args:
            if not is_finished(SOURCE / "flows" / name):
                pytest.skip(f"needs flows/{name}, finished: `dvc repro -P` makes it")
    for marker in item.iter_markers("needs_data"):
        for name in marker.args:
            file, host = builtin.FETCHED[name]
            if not (DATA / file).is_file():
                pytest.skip(f"needs {file}: `dvc repro -P` fetches it from {host}, or set {builtin.VARIABLE}")


def is_needed(name: str) -> bool:
    """Tell whether a file of the repository goes into the projects: not the flows, and only a part of the gate."""
    if name.startswith("tests/unit/test_"):
        return name in GATE
    return not name.startswith("flows/")


@pytest.fixture(scope="session", autouse=True)
def _lean_gate() -> None:
    """Run the gate of every project without the development environment's plugins, which take longer than its tests."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A function that returns a folder which `make` fills once a session, by whichever worker of pytest-xdist is first.

    Nobody may change it. https://pytest-xdist.readthedocs.io/en/stable/how-to.html#making-session-scoped-fixtures-execute-only-once
    """
    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "shared"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def built(once: Callable[[str, Callable[[Path], object]], Path]) -> Project:
    """The working tree, reproduced once, on branch main, all committed; tests get copies."""

    def make(folder: Path) -> None:
        project = Project(folder)
        copy_tree(SOURCE, project.root, is_needed)
        shutil.copy(SOURCE / "tests/unit/params.yaml", project.root / "params.yaml")
        shutil.copy(SOURCE / "tests/pipeline.yaml", project.root / "dvc.yaml")
        project.run("git", "init", "--quiet", "--initial-branch", "main")
        project.repro()
        project.commit("Reproduced")

    return Project(once("built", make))


@pytest.fixture(scope="session")
def finished(built: Project, once: Callable[[str, Callable[[Path], object]], Path]) -> Project:
    """The same with one flow more, iris, which needs no network; tests get copies."""

    def make(folder: Path) -> None:
        project = Project(Path(shutil.copytree(built.root, folder, symlinks=True)))
        project.add_iris()
        ran = project.repro("-P")
        assert ran
        assert all(stage.startswith("flows/dvc.yaml:") for stage in ran), "a new flow runs its own stages only"
        project.commit("With a flow")

    return Project(once("finished", make))


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A reproduced project that one test may change."""
    return Project(Path(shutil.copytree(built.root, tmp_path / "project", symlinks=True)))
