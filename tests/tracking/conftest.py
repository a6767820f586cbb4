"""Repositories with finished flows for the tracking tests."""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import os
import shutil
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest
from project import Project, copy_tree

from artifact_flow.cli import main
from artifact_flow.tracking.result import read_result
from serving.server import command

SOURCE = Path(__file__).resolve().parents[2]
FLOWS = (".", "flows/iris", "flows/california_housing", "flows/olivetti_faces")


@dataclass(frozen=True)
class Tracked(Project):
    """A repository with finished flows; `uri` is the address for its runs, "" for the embedded database."""

    uri: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a project, and the address for runs."""
        inherited = {
            name: value for name, value in super().environ.items() if not name.startswith(("MLFLOW_", "WANDB_"))
        }
        return inherited | {"MLFLOW_TRACKING_URI": self.uri}

    @property
    def database(self) -> str:
        """The address of the runs for a client."""
        return self.uri or f"sqlite:///{self.root}/.artifact-flow/mlflow/mlflow.db"

    @property
    def flows(self) -> list[str]:
        """The folders of the finished flows."""
        return [flow for flow in FLOWS if (self.root / flow / "model_train.pkl").is_file()]

    def ask(self, *arguments: str, code: int = 0) -> str:
        """Run `artifact-flow` in the repository and return what it printed.

        Commands that use MLflow run in this process, because importing MLflow takes longer than everything else.
        """
        if arguments[0] not in ("track", "register", "promote", "download"):
            return self.run(*command(*arguments), code=code)
        said, ended = self._call(*arguments)
        assert ended == code, f"{' '.join(arguments)} ended with {ended}:\n{said}"
        return said

    def refuse(self, *arguments: str, **environ: str) -> str:
        """Run `artifact-flow` as `ask` does, expect it to fail, and return its error message of one sentence."""
        said, ended = self._call(*arguments, **environ)
        sentence = str(ended)
        assert sentence.startswith("error: "), said
        assert "\n" not in sentence
        return sentence

    def _call(self, *arguments: str, **environ: str) -> tuple[str, object]:
        said, ended = StringIO(), 0
        with (
            chdir(self.root),
            patch.dict(os.environ, self.environ | environ, clear=True),
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            try:
                main(arguments)
            except SystemExit as error:
                ended = error.code or 0
        return said.getvalue(), ended

    def client(self):  # type: ignore[no-untyped-def]
        """Return a plain MLflow client for the address of the runs."""
        import mlflow

        return mlflow.MlflowClient(self.database, self.database)

    def runs(self, experiment: str = "digits") -> list:  # type: ignore[type-arg]
        """Return the runs of an experiment."""
        found = self.client().get_experiment_by_name(experiment)
        return list(self.client().search_runs([found.experiment_id])) if found else []

    def is_clean(self) -> bool:
        """Return whether neither git nor DVC sees a change."""
        self.run("dvc", "status", "--quiet")
        return self.run("git", "status", "--porcelain") == ""


@pytest.fixture(scope="session")
def tables(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder with an empty MLflow database, because MLflow takes seconds to create its tables."""

    def make(folder: Path) -> None:
        (folder / ".artifact-flow/mlflow").mkdir(parents=True)
        Tracked(folder).client().search_experiments()

    return once("tables", make)


@pytest.fixture
def untracked(finished: Project, tmp_path: Path) -> Tracked:
    """Two finished flows, digits and iris, without a database."""
    return Tracked(Path(shutil.copytree(finished.root, tmp_path / "project", symlinks=True)))


@pytest.fixture
def tracked(untracked: Tracked, tables: Path) -> Tracked:
    """Two finished flows, digits and iris, with an empty database."""
    shutil.copytree(tables / ".artifact-flow", untracked.root / ".artifact-flow", dirs_exist_ok=True)
    return untracked


@pytest.fixture
def shipped(tmp_path: Path) -> Tracked:
    """The working tree with all its finished flows, committed."""
    project = Tracked(tmp_path / "project")
    copy_tree(SOURCE, project.root)
    for flow in FLOWS:
        for path in read_result(SOURCE / flow).sha256:
            (project.root / flow / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / flow / path, project.root / flow / path)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    (project.root / ".dvc/config.local").write_text("[core]\n    site_cache_dir = tmp/site-cache\n")
    for pipeline in ("dvc.yaml", "flows/dvc.yaml"):
        project.run("dvc", "commit", "--quiet", "--force", pipeline)  # adds the outputs to its own cache
    project.commit("Finished")
    return project
