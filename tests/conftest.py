"""Real projects for tests: this working tree in its own git repository, reproduced once by real DVC.

They use the shipped parameters and pipeline, so that the tests do not depend on the current params.yaml and dvc.yaml.
Their stage `test` runs one unit test of their own, which no user can have deleted; all would take longer than all else.

The tests bring what they need, so they pass in a fresh clone. Tests of flows that the working tree itself has
reproduced, or of downloaded data sets, are marked and skip until these exist.
"""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import warm
from filelock import FileLock
from project import Project, copy_tree, is_finished

from artifact_flow.core.table import builtin

# When the tests run in the background, by nohup or a script's &, the shell makes them ignore SIGINT, and the processes
# that they start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SOURCE = Path(__file__).resolve().parents[1]
DATA = builtin.data_folder(os.environ, SOURCE)
GATE = '''"""The gate of a test project."""


def test_it() -> None:
    """It passes."""
'''


def pytest_configure(config: pytest.Config) -> None:
    """Let MLflow configure its tables in any test: SQLAlchemy calls something there deprecated, which is an error."""
    config.addinivalue_line("filterwarnings", "ignore:The ..noload.. loader strategy is deprecated")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked needs_flows or needs_data if these are missing, and name the command that makes them."""
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
    """Return whether a file belongs in the projects: all but the flows, the unit tests, and the lock.

    A lock keeps the entries of stages that dvc.yaml lacks, and a user's may name stages that the projects do not have.
    """
    return name != "dvc.lock" and not name.startswith(("flows/", "tests/unit/test_"))


@pytest.fixture(scope="session", autouse=True)
def _fast_projects(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run the projects' stage `test` without pytest plugins, whose import takes longer than the tests; see warm.py."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ[warm.FOLDER] = str(tmp_path_factory.mktemp("hosts"))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A function that returns a folder which `make` fills once per session, in the first pytest-xdist worker.

    No test may change it. https://pytest-xdist.readthedocs.io/en/stable/how-to.html#making-session-scoped-fixtures-execute-only-once
    """
    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "shared"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a worker that failed
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def built(once: Callable[[str, Callable[[Path], object]], Path]) -> Project:
    """The working tree, reproduced once and committed on branch main; tests get copies."""

    def make(folder: Path) -> None:
        project = Project(folder)
        copy_tree(SOURCE, project.root, is_needed)
        (project.root / "tests/unit/test_gate.py").write_text(GATE)
        shutil.copy(SOURCE / "tests/unit/params.yaml", project.root / "params.yaml")
        shutil.copy(SOURCE / "tests/pipeline.yaml", project.root / "dvc.yaml")
        project.run("git", "init", "--quiet", "--initial-branch", "main")
        project.repro()
        project.commit("Reproduced")

    return Project(once("built", make))


@pytest.fixture(scope="session")
def finished(built: Project, once: Callable[[str, Callable[[Path], object]], Path]) -> Project:
    """The same project with the flow iris, which needs no network; tests get copies."""

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
