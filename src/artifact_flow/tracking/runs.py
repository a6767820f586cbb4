"""Runs: results as MLflow runs, each with parameters, metrics, files, plots as pictures, the data set and the model.

The hash of a result's lock identifies its run, so one result has one run, however often, by whom and from where it is
logged. The next call completes a run that was interrupted. If two processes create a run at the same moment, the later
run is deleted.
"""

import re
import time
from collections.abc import Mapping
from typing import Any

from artifact_flow.core.base.params import PARAMS
from artifact_flow.tracking.client import Server
from artifact_flow.tracking.pictures import Drawing
from artifact_flow.tracking.result import Result
from artifact_flow.tracking.schema import dataset
from artifact_flow.tracking.sink import Logged
from artifact_flow.tracking.tags import DATA_TAG, DIRTY_TAG, LOCK_TAG, MEASURED_TAG, NAME_TAG, SHA256_TAG, TAG
from artifact_flow.tracking.upload import collect_files, package_model

CLAIM_SECONDS = 60  # for which an unfinished run is assumed to belong to another process that is still logging
PARAM_LENGTH = 500  # characters of a value; longer values are of no use in MLflow's comparison
BATCH = 100  # parameters that MLflow accepts in one request


class Runs:
    """The sink for an MLflow server or database."""

    def __init__(self, server: Server) -> None:
        """Use an opened server."""
        self.server = server

    def log(self, result: Result, drawing: Drawing) -> Logged:
        """Return the run of a result; create it, or complete an interrupted one, if it is not finished yet."""
        with self.server.translate_errors():
            experiment = self.server.ensure_experiment(result.name)
            run, found = self._claim(experiment, result)
            if not found:
                found = not self._fill(run.info.run_id, result, drawing)
                run = self._first(experiment, result) or run
            self._tag_commit(run, result)
            self._point_project_run(run)
        return Logged(run.info.run_id, self._place(run), found)

    def find(self, result: Result) -> Any:
        """Return the finished run of a result, or None."""
        with self.server.translate_errors():
            experiment = self.server.client.get_experiment_by_name(result.name)
            run = self._first(experiment.experiment_id, result) if experiment else None
        return run if run and run.info.status == "FINISHED" else None

    def model_of(self, run_id: str, experiment: str) -> Any:
        """Return the model that a run logged completely, or None."""
        models = self.server.client.search_logged_models(
            [experiment], filter_string=f"source_run_id = '{run_id}'", max_results=10
        )
        return next((model for model in models if model.status == "READY"), None)

    def _claim(self, experiment: str, result: Result) -> tuple[Any, bool]:
        """Return the run of a result, and whether it is finished; the caller has to fill an unfinished one."""
        run = self._first(experiment, result)
        if run is None:
            mine = self.server.client.create_run(
                experiment,
                run_name=result.title,
                tags={LOCK_TAG: result.lock, NAME_TAG: result.name, "mlflow.source.type": "PROJECT"},
            )
            run = self._keep_first(experiment, result, mine)
            if run.info.run_id == mine.info.run_id:
                return run, False
        deadline = time.monotonic() + CLAIM_SECONDS
        while run.info.status == "RUNNING" and _age(run) < CLAIM_SECONDS and time.monotonic() < deadline:
            time.sleep(0.5)
            run = self.server.client.get_run(run.info.run_id)
        return run, run.info.status == "FINISHED"

    def _first(self, experiment: str, result: Result) -> Any:
        """Return the run of a result that every process agrees on: the earliest finished one, else the earliest."""
        runs = self.server.client.search_runs([experiment], f"tags.`{LOCK_TAG}` = '{result.lock}'")
        order = [(run.info.status != "FINISHED", run.info.start_time, run.info.run_id, run) for run in runs]
        return min(order, key=lambda item: item[:3])[3] if order else None

    def _keep_first(self, experiment: str, result: Result, mine: Any) -> Any:
        """Return the first run of a result; delete `mine` if it is a different one."""
        first = self._first(experiment, result) or mine
        if first.info.run_id != mine.info.run_id:
            self.server.client.delete_run(mine.info.run_id)
        return first

    def _fill(self, run_id: str, result: Result, drawing: Drawing) -> bool:
        """Log everything into a run and finish it; return False when another run of the same result was first.

        Every call is idempotent, so the same calls complete a run that was interrupted.
        """
        client, mlflow = self.server.client, self.server.mlflow
        run = client.get_run(run_id)
        experiment, at = run.info.experiment_id, run.info.start_time
        tags = {f"{SHA256_TAG}{path}": sha256 for path, sha256 in result.sha256.items()}
        tags |= {"mlflow.source.name": str(PARAMS), DATA_TAG: result.data_md5}
        tags |= {f"{MEASURED_TAG}{fact}": value for fact, value in result.measured_on.items()}
        # Before the run is finished: if two processes add the same tag at the same moment, the database refuses one
        tags |= _commit_tags(run, result)
        try:
            client.update_run(run_id, status="RUNNING")
            params = [mlflow.entities.Param(*pair) for pair in _shortened(result.params).items()]
            for start in range(0, len(params), BATCH):
                client.log_batch(run_id, params=params[start : start + BATCH])
            client.log_batch(run_id, tags=[mlflow.entities.RunTag(*pair) for pair in tags.items()])
            data = dataset(result)
            client.log_inputs(run_id, [data])
            model = self.model_of(run_id, experiment) or self._log_model(run, result)
            client.log_batch(
                run_id,
                metrics=[
                    mlflow.entities.Metric(
                        name, value, at, 0, model.model_id, data.dataset.name, data.dataset.digest, run_id
                    )
                    for name, value in _allowed(result.metrics).items()
                ],
            )
            with collect_files(result, drawing) as folder:
                client.log_artifacts(run_id, str(folder))
            if self._keep_first(experiment, result, run).info.run_id != run_id:
                return False
            client.set_terminated(run_id, "FINISHED")
        except BaseException:
            client.set_terminated(run_id, "FAILED")  # so that the next call does not wait for this one
            raise
        return True

    def _log_model(self, run: Any, result: Result) -> Any:
        """Log the model's files unchanged, with what MLflow needs to load them; return the logged model."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus  # noqa: PLC0415

        client, run_id = self.server.client, run.info.run_id
        logged = client.create_logged_model(
            run.info.experiment_id,
            result.name,
            source_run_id=run_id,
            params=_shortened(result.params),
            tags={LOCK_TAG: result.lock},
            model_type=result.contract.target.task,
        )
        with package_model(result, self.server.mlflow, run_id, logged.model_id) as folder:
            client.log_model_artifacts(logged.model_id, str(folder))
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)

    def _tag_commit(self, run: Any, result: Result) -> None:
        """Tag a run that another process or an earlier call made with the commit that gives the result."""
        for name, value in _commit_tags(run, result).items():
            self.server.client.set_tag(run.info.run_id, name, value)

    def _point_project_run(self, run: Any) -> None:
        """Add a link to the result to the extra run that `mlflow run` creates."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        if self.server.project_run is None:
            return
        try:
            self.server.client.set_tag(self.server.project_run, f"{TAG}run_id", run.info.run_id)
            self.server.client.set_tag(
                self.server.project_run,
                "mlflow.note.content",
                f"The result is run {run.info.run_id} of the experiment {run.data.tags[NAME_TAG]}.",
            )
        except MlflowException:  # that run is in another database, MLflow's default
            return

    def _place(self, run: Any) -> str:
        if self.server.uri.startswith("http"):
            return f"{self.server.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        return "`make mlflow` shows it"


def _age(run: Any) -> float:
    return time.time() - float(run.info.start_time) / 1000


def _commit_tags(run: Any, result: Result) -> dict[str, str]:
    """Return the tags of the commit that gives the result, if they differ; a run keeps those of a clean commit."""
    if run.data.tags.get(DIRTY_TAG) == "false":
        return {}
    tags = {
        "mlflow.source.git.commit": result.git.commit,
        "mlflow.source.git.branch": result.git.branch,
        "git.branch": result.git.branch,
        DIRTY_TAG: str(result.git.dirty).lower(),
        "mlflow.runName": result.title,
    }
    return {name: value for name, value in tags.items() if run.data.tags.get(name) != value}


def _allowed(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics with "_" for the marks that MLflow refuses in a name, as of a class such as >50K."""
    return {re.sub(r"[^\w\-. :]", "_", name): value for name, value in metrics.items()}


def _shortened(params: Any) -> dict[str, str]:
    values = {name: str(value) for name, value in params.items() if not name.startswith("data.table.columns.")}
    return {
        name: value if len(value) <= PARAM_LENGTH else f"{value[: PARAM_LENGTH - 1]}…" for name, value in values.items()
    }
