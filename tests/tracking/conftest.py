"""Finished flows in a repository of their own: what this working tree holds, as `dvc repro -P` left it."""

from artifact_flow import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import Project

from artifact_flow.errors import ArtifactFlowError
from artifact_flow.tracking.result import read_result
from serving.server import command

SOURCE = Path(__file__).resolve().parents[2]
FLOWS = (".", "flows/iris", "flows/california_housing", "flows/olivetti_faces")


@dataclass(frozen=True)
class Tracked(Project):
    """A repository with finished flows, and the address that runs of it go to, "" for its own database."""

    uri: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """Those of a project; where runs go."""
        told = {name: value for name, value in super().environ.items() if not name.startswith(("MLFLOW_", "WANDB_"))}
        return told | {"MLFLOW_TRACKING_URI": self.uri}

    @property
    def database(self) -> str:
        """Where a client finds the runs."""
        return self.uri or f"sqlite:///{self.root}/.artifact-flow/mlflow/mlflow.db"

    @property
    def flows(self) -> list[str]:
        """The flows that are there."""
        return [flow for flow in FLOWS if (self.root / flow / "model_train.pkl").is_file()]

    def ask(self, *arguments: str, code: int = 0) -> str:
        """Run `artifact-flow` in the repository and return what it printed."""
        return self.run(*command(*arguments), code=code)

    def client(self):  # type: ignore[no-untyped-def]
        """Return a plain MLflow client of where the runs are."""
        import mlflow

        return mlflow.MlflowClient(self.database, self.database)

    def runs(self, experiment: str = "digits") -> list:  # type: ignore[type-arg]
        """Return the runs of an experiment."""
        found = self.client().get_experiment_by_name(experiment)
        return list(self.client().search_runs([found.experiment_id])) if found else []

    def is_clean(self) -> bool:
        """Tell whether neither git nor DVC sees a change."""
        self.run("dvc", "status", "--quiet")
        return self.run("git", "status", "--porcelain") == ""


def copy_outputs(flow: str, target: Path) -> bool:
    """Copy a finished flow's outputs out of the working tree; False where it is not finished."""
    try:
        result = read_result(SOURCE / flow)
    except ArtifactFlowError:
        return False
    for path in result.sha256:
        (target / flow / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / flow / path, target / flow / path)
    return True


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with every flow that this working tree has finished, all committed; tests get copies."""
    project = Project(tmp_path_factory.mktemp("finished") / "project")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, set(Project(SOURCE).run(*listed).split("\0"))):
        if (SOURCE / name).is_file():
            (project.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, project.root / name)
    if not copy_outputs(".", project.root):
        pytest.skip("needs the finished pipeline: dvc repro")
    for flow in FLOWS[1:]:
        copy_outputs(flow, project.root)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    (project.root / ".dvc/config.local").write_text("[core]\n    site_cache_dir = tmp/site-cache\n")
    for pipeline in sorted({Path(flow).parent / "dvc.yaml" for flow in Tracked(project.root).flows}):
        project.run("dvc", "commit", "--quiet", "--force", str(pipeline))  # the outputs into a cache of its own
    project.commit("Finished")
    return project.root


@pytest.fixture
def tracked(finished: Path, tmp_path: Path) -> Tracked:
    """Finished flows that one test may track."""
    return Tracked(Path(shutil.copytree(finished, tmp_path / "project", symlinks=True)))
