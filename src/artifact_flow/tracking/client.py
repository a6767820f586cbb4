"""Client: the MLflow client, with the server's address, without telemetry, and with errors of one sentence."""

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

STORE = Path(".artifact-flow/mlflow")  # the embedded database and its artifacts, under the repository's root
URI = "MLFLOW_TRACKING_URI"
# MLflow reads these variables when it is imported.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
}
# Two tries of ten seconds: a server that is down is reported within half a minute.
HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# `mlflow run` passes these variables, and the address of its own default database, to the command that it starts.
PROJECT_RUN, PROJECT_EXPERIMENT = "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"


def embedded_uri(root: Path) -> str:
    """Return the address of the database in the repository, the default."""
    return f"sqlite:///{root / STORE / 'mlflow.db'}"


def tracking_uri(root: Path) -> str:
    """Return the address that runs are logged to: MLFLOW_TRACKING_URI if it is set, else the embedded database.

    `mlflow run` sets the variable to MLflow's own default, a database in the working directory; that value is ignored.
    """
    configured = os.environ.get(URI, "").strip()
    defaults = {f"sqlite:///{folder}/mlflow.db" for folder in (root, Path.cwd())}
    return embedded_uri(root) if not configured or configured in defaults else configured


def shown(uri: str) -> str:
    """Return an address without its user and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


class Server:
    """An opened MLflow: its client, its address, and whether it is the embedded database."""

    def __init__(self, root: Path | None = None) -> None:
        """Open the configured server or the embedded database; raise TrackError when MLflow is not installed."""
        self.root = root or repository_root()
        self.uri = tracking_uri(self.root)
        self.embedded = self.uri == embedded_uri(self.root)
        self.project_run = os.environ.pop(PROJECT_RUN, None)
        os.environ.pop(PROJECT_EXPERIMENT, None)
        os.environ.update(ENVIRONMENT)
        for name, value in HTTP_LIMITS.items():
            os.environ.setdefault(name, value)
        if self.embedded:
            (self.root / STORE).mkdir(parents=True, exist_ok=True)
        logging.getLogger("alembic").setLevel(logging.ERROR)  # it prints a line for each migration of a new database
        warnings.filterwarnings("ignore", module=r"mlflow\..*")  # warnings about MLflow's own internals
        try:
            import mlflow  # noqa: PLC0415 - takes 1.5 seconds
        except ModuleNotFoundError as error:
            raise TrackError(
                f"{error.name} is not installed: `make track` installs the packages that tracking and the registry "
                "need."
            ) from error
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self.mlflow: Any = mlflow
        with self.translate_errors(), self._locked():
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            self.client = mlflow.MlflowClient(self.uri, self.uri)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let only one process at a time create the tables of the embedded database."""
        if not self.embedded:
            yield
            return
        with (self.root / STORE / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn errors of MLflow, its database and the network into a TrackError of one sentence."""
        import requests  # noqa: PLC0415
        import sqlalchemy.exc  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            yield
        except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise TrackError(
                f"MLflow at {shown(self.uri)} {_reason(error)}; then run the same command again: "
                "nothing is logged twice."
            ) from error

    def ensure_experiment(self, name: str) -> str:
        """Return the id of an experiment, created if necessary; raise TrackError when it was deleted."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        client = self.client
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=self._artifact_location(name)))
            except MlflowException:  # another process created it at the same moment
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TrackError(
                f"the experiment {name} was deleted: restore it with `mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`."
            )
        return str(found.experiment_id)

    def _artifact_location(self, experiment: str) -> str | None:
        """Return the folder for a new experiment's artifacts, or None where a server decides."""
        return str(self.root / STORE / "artifacts" / experiment) if self.embedded else None


def _reason(error: Exception) -> str:
    """Return the cause and its remedy in a few words, without passwords and without MLflow's wrapping."""
    text = " ".join(shown(str(error)).split())
    for pattern, words in (
        (
            r"Max retries exceeded|Connection refused|NameResolution|timed out|ConnectionError",
            "does not answer: start it (`make mlflow` starts one on this machine), or unset MLFLOW_TRACKING_URI",
        ),
        (
            r"\b401\b|Unauthorized|Invalid username or password",
            "rejects the credentials: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (
            r"\b403\b|Forbidden|PERMISSION_DENIED",
            "does not permit this user to do that: ask its administrator for permission",
        ),
        (
            r"error code 404|\b404\b",
            "is not an MLflow server, or is older than version 3: check the address, or upgrade the server",
        ),
        (r"database is locked", "is locked by another process: wait until that process ends"),
        (r"No space left|disk is full|disk I/O", "has no space left: free some disk space"),
        (
            r"out-of-date database schema|Detected out-of-date|Can't locate revision",
            "has the tables of another MLflow version: upgrade them with `mlflow db upgrade`",
        ),
    ):
        if re.search(pattern, text):
            return words
    return f"rejected the request ({text[:300].rstrip('.: ')})"
