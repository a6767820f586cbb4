"""Client: the one MLflow client, told where to go and not to call home; its errors become one sentence."""

import fcntl
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import repository_root

STORE = Path(".artifact-flow/mlflow")  # of the embedded database and its artifacts, under the repository's root
URI = "MLFLOW_TRACKING_URI"
# MLflow reads them when it is imported.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
}
# Two tries of ten seconds: a server that is down is told in half a minute.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# `mlflow run` names the run and the experiment of the project, and its own default database, to what it starts.
PROJECT_RUN, PROJECT_EXPERIMENT = "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"


def embedded_uri(root: Path) -> str:
    """Return the address of the database in the repository, which is used when no other is configured."""
    return f"sqlite:///{root / STORE / 'mlflow.db'}"


def tracking_uri(root: Path) -> str:
    """Return where runs go: what MLFLOW_TRACKING_URI says, else the embedded database.

    MLflow's own default, a database in the working directory, which `mlflow run` hands on, counts as nothing said.
    """
    told = os.environ.get(URI, "").strip()
    defaults = {f"sqlite:///{folder}/mlflow.db" for folder in (root, Path.cwd())}
    return embedded_uri(root) if not told or told in defaults else told


def shown(uri: str) -> str:
    """Return an address without the password in it."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


class Server:
    """MLflow, opened: its client, its address, and whether it is the repository's own database."""

    def __init__(self, root: Path | None = None) -> None:
        """Open the configured server or the embedded database; raise TrackError when MLflow is not installed."""
        self.root = root or repository_root()
        self.uri = tracking_uri(self.root)
        self.embedded = self.uri == embedded_uri(self.root)
        self.project_run = os.environ.pop(PROJECT_RUN, None)
        os.environ.pop(PROJECT_EXPERIMENT, None)
        os.environ.update(ENVIRONMENT)
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        if self.embedded:
            (self.root / STORE).mkdir(parents=True, exist_ok=True)
        logging.getLogger("alembic").setLevel(logging.ERROR)  # a line for each of a new database's migrations
        warnings.filterwarnings("ignore", module=r"mlflow\..*")  # about its own parts
        try:
            import mlflow  # noqa: PLC0415 - 1.5 seconds
        except ModuleNotFoundError as error:
            raise TrackError(
                f"{error.name} is not installed: `make track` installs what tracking and the registry need."
            ) from error
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self.mlflow: Any = mlflow
        with self.told(), self._alone():
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            self.client = mlflow.MlflowClient(self.uri, self.uri)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time make the tables of the repository's own database."""
        if not self.embedded:
            yield
            return
        with (self.root / STORE / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what MLflow, its database or its network raise into a TrackError of one sentence."""
        import requests  # noqa: PLC0415
        import sqlalchemy.exc  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            yield
        except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise TrackError(
                f"MLflow at {shown(self.uri)} {_reason(error)}; then run the same command again: what "
                "was logged is found, not logged twice."
            ) from error

    def ensure_experiment(self, name: str) -> str:
        """Return the id of an experiment, made where there is none; raise TrackError when it was deleted."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        client = self.client
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=self._place(name)))
            except MlflowException:  # by another one, just now
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TrackError(
                f"the experiment {name} was deleted: bring it back by `mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`."
            )
        return str(found.experiment_id)

    def _place(self, experiment: str) -> str | None:
        """Return where a new experiment's artifacts go: into the repository, or None where a server decides."""
        return str(self.root / STORE / "artifacts" / experiment) if self.embedded else None


def _reason(error: Exception) -> str:
    """Return what went wrong in a few words, without passwords and without the layers it came through."""
    text = " ".join(shown(str(error)).split())
    for pattern, words in (
        (
            r"Max retries exceeded|Connection refused|NameResolution|timed out|ConnectionError",
            "does not answer: start it (`make mlflow` starts one here), or unset MLFLOW_TRACKING_URI",
        ),
        (
            r"\b401\b|Unauthorized|Invalid username or password",
            "refuses the user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (r"\b403\b|Forbidden|PERMISSION_DENIED", "refuses this to the user: ask for the right"),
        (
            r"error code 404|\b404\b",
            "is no MLflow server, or one of before version 3: check the address, or upgrade it",
        ),
        (r"database is locked", "is locked by another process: let it end"),
        (r"No space left|disk is full|disk I/O", "has no space left: make room"),
        (
            r"out-of-date database schema|Detected out-of-date|Can't locate revision",
            "has the tables of another MLflow version: upgrade them by `mlflow db upgrade`",
        ),
    ):
        if re.search(pattern, text):
            return words
    return f"refuses it ({text[:300].rstrip('.: ')})"
