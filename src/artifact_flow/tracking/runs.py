"""Runs: results as MLflow runs: parameters, metrics, files, pictures, the data set, and the model as MLflow loads it.

A run is found by the hash of its lock, so the same result is one run whoever logs it, how often, and from where: a run
that was cut off is filled by the next call, and of two that were made at the same moment the later one goes.
"""

import datetime
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import artifact_flow
from artifact_flow.core.base.contract import Contract, Feature
from artifact_flow.core.base.lock import LOCK
from artifact_flow.core.base.params import PARAMS
from artifact_flow.core.table.tables import DATA
from artifact_flow.tracking.client import Server
from artifact_flow.tracking.loader import SHA256
from artifact_flow.tracking.pictures import Drawing
from artifact_flow.tracking.result import Result
from artifact_flow.tracking.sink import Logged

TAG = "artifact_flow."
LOCK_TAG, NAME_TAG, DIRTY_TAG = f"{TAG}lock", f"{TAG}name", "git.dirty"
DATA_TAG = f"{TAG}data_md5"
SHA256_TAG = f"{TAG}sha256."  # and a file's name
MEASURED_TAG = f"{TAG}measured_on."  # and a key of Result.measured_on
PATIENCE = 60  # seconds that an unfinished run is taken to be another process at work
PARAM_LENGTH = 500  # characters of a value that a comparison has use for
BATCH = 100  # parameters and tags that MLflow takes at once
LOADER = "artifact_flow.tracking.loader"
FILES = "files"  # of a model, in the folder "data" where MLflow keeps them
# What the loader imports, and what the pickle needs.
REQUIREMENTS = (
    "joblib",
    "numpy",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "ruamel.yaml",
    "scikit-learn",
    "scipy",
)
TYPES = {"number": "double", "boolean": "boolean", "date": "datetime", "category": "string"}


class Runs:
    """The sink that is an MLflow server or database."""

    def __init__(self, server: Server) -> None:
        """Take an opened server."""
        self.server = server

    def log(self, result: Result, drawing: Drawing) -> Logged:
        """Return the run that holds a result, made and filled where there is none yet."""
        with self.server.told():
            experiment = self.server.ensure_experiment(result.name)
            run, found = self._claim(experiment, result)
            if not found:
                found = not self._fill(run.info.run_id, result, drawing)
                run = self._first(experiment, result) or run
            self._tag_commit(run, result)
            self._point_project_run(run)
        return Logged(run.info.run_id, self._place(run), found)

    def find(self, result: Result) -> Any:
        """Return the finished run that holds a result, or None."""
        with self.server.told():
            experiment = self.server.client.get_experiment_by_name(result.name)
            run = self._first(experiment.experiment_id, result) if experiment else None
        return run if run and run.info.status == "FINISHED" else None

    def model_of(self, run_id: str, experiment: str) -> Any:
        """Return the model that a run logged whole, or None."""
        models = self.server.client.search_logged_models(
            [experiment], filter_string=f"source_run_id = '{run_id}'", max_results=10
        )
        return next((model for model in models if model.status == "READY"), None)

    def _claim(self, experiment: str, result: Result) -> tuple[Any, bool]:
        """Return a run for a result, and whether it is finished already; an unfinished one is ours to fill."""
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
        deadline = time.monotonic() + PATIENCE
        while run.info.status == "RUNNING" and _age(run) < PATIENCE and time.monotonic() < deadline:
            time.sleep(0.5)
            run = self.server.client.get_run(run.info.run_id)
        return run, run.info.status == "FINISHED"

    def _first(self, experiment: str, result: Result) -> Any:
        """Return the run that holds a result for everybody: a finished one before others, the earliest of them."""
        runs = self.server.client.search_runs([experiment], f"tags.`{LOCK_TAG}` = '{result.lock}'")
        order = [(run.info.status != "FINISHED", run.info.start_time, run.info.run_id, run) for run in runs]
        return min(order, key=lambda item: item[:3])[3] if order else None

    def _keep_first(self, experiment: str, result: Result, mine: Any) -> Any:
        """Return the first run of a result; delete mine when it is another."""
        first = self._first(experiment, result) or mine
        if first.info.run_id != mine.info.run_id:
            self.server.client.delete_run(mine.info.run_id)
        return first

    def _fill(self, run_id: str, result: Result, drawing: Drawing) -> bool:
        """Log everything into a run and finish it; False when another run of the same result came first.

        Each part can be logged twice and stands there once, so a run that was cut off is filled by the same calls.
        """
        client, mlflow = self.server.client, self.server.mlflow
        run = client.get_run(run_id)
        experiment, at = run.info.experiment_id, run.info.start_time
        tags = {f"{SHA256_TAG}{path}": sha256 for path, sha256 in result.sha256.items()}
        tags |= {"mlflow.source.name": str(PARAMS), DATA_TAG: result.data_md5}
        tags |= {f"{MEASURED_TAG}{fact}": value for fact, value in result.measured_on.items()}
        try:
            client.update_run(run_id, status="RUNNING")
            params = [mlflow.entities.Param(*pair) for pair in _shortened(result.params).items()]
            for start in range(0, len(params), BATCH):
                client.log_batch(run_id, params=params[start : start + BATCH])
            client.log_batch(run_id, tags=[mlflow.entities.RunTag(*pair) for pair in tags.items()])
            dataset = _dataset(result)
            client.log_inputs(run_id, [dataset])
            model = self.model_of(run_id, experiment) or self._log_model(run, result)
            client.log_batch(
                run_id,
                metrics=[
                    mlflow.entities.Metric(
                        name, value, at, 0, model.model_id, dataset.dataset.name, dataset.dataset.digest, run_id
                    )
                    for name, value in result.metrics.items()
                ],
            )
            with _staged(result, drawing) as folder:
                client.log_artifacts(run_id, str(folder))
            if self._keep_first(experiment, result, run).info.run_id != run_id:
                return False
            client.set_terminated(run_id, "FINISHED")
        except BaseException:
            client.set_terminated(run_id, "FAILED")  # so that the next call does not wait for this one
            raise
        return True

    def _log_model(self, run: Any, result: Result) -> Any:
        """Log the files of a model, as they are, with what MLflow needs to load them; return the logged model."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus  # noqa: PLC0415
        from mlflow.models import Model  # noqa: PLC0415

        client, run_id = self.server.client, run.info.run_id
        logged = client.create_logged_model(
            run.info.experiment_id,
            result.name,
            source_run_id=run_id,
            params=_shortened(result.params),
            tags={LOCK_TAG: result.lock},
            model_type=result.contract.target.task,
        )
        with tempfile.TemporaryDirectory() as aside:
            folder = Path(aside)
            (folder / FILES).mkdir()
            for name in result.model_files:
                _link(result.folder / name, folder / FILES / name)
            self.server.mlflow.pyfunc.save_model(
                str(folder / "model"),
                loader_module=LOADER,
                data_path=str(folder / FILES),
                code_paths=[str(_copy_code(folder))],
                mlflow_model=Model(
                    run_id=run_id,
                    model_id=logged.model_id,
                    model_uuid=logged.model_id,
                    metadata={SHA256: {name: result.sha256[name] for name in result.model_files}},
                ),
                signature=_signature(result.contract),
                input_example=_example(result.contract),
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIREMENTS],
            )
            client.log_model_artifacts(logged.model_id, str(folder / "model"))
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)

    def _tag_commit(self, run: Any, result: Result) -> None:
        """Say which commit gives the result; a clean one stays when it was said before."""
        if run.data.tags.get(DIRTY_TAG) == "false":
            return
        tags = {
            "mlflow.source.git.commit": result.git.commit,
            "mlflow.source.git.branch": result.git.branch,
            "git.branch": result.git.branch,
            DIRTY_TAG: str(result.git.dirty).lower(),
            "mlflow.runName": result.title,
        }
        for name, value in tags.items():
            self.server.client.set_tag(run.info.run_id, name, value)

    def _point_project_run(self, run: Any) -> None:
        """Say in the run that `mlflow run` made of its own where the result is."""
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
        except MlflowException:  # it stands in another database: MLflow's own default
            return

    def _place(self, run: Any) -> str:
        if self.server.uri.startswith("http"):
            return f"{self.server.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        return "`make mlflow` shows it"


def _age(run: Any) -> float:
    return time.time() - float(run.info.start_time) / 1000


def _shortened(params: Any) -> dict[str, str]:
    values = {name: str(value) for name, value in params.items() if not name.startswith("data.table.columns.")}
    return {
        name: value if len(value) <= PARAM_LENGTH else f"{value[: PARAM_LENGTH - 1]}…" for name, value in values.items()
    }


def dataset_input(name: str, md5: str, source: dict[str, str], schema: Any = None) -> Any:
    """Return a file as MLflow's data set: its name, the md5 by which DVC keeps it, its source, its columns."""
    from mlflow.data.code_dataset_source import CodeDatasetSource  # noqa: PLC0415
    from mlflow.data.meta_dataset import MetaDataset  # noqa: PLC0415
    from mlflow.entities import DatasetInput, InputTag  # noqa: PLC0415

    dataset: Any = MetaDataset(CodeDatasetSource(source), name=name, digest=md5, schema=schema)  # type: ignore[abstract]
    return DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "train, test")])


def _dataset(result: Result) -> Any:
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415

    target = result.contract.target
    schema = Schema([*_columns(result.contract), ColSpec("string" if target.classes else "double", target.name)])
    source = {"source": str(result.contract.params["data"]["source"]), "path": str(DATA)}
    return dataset_input(result.name, result.data_md5, source, schema)


def _columns(contract: Contract) -> Any:
    from mlflow.types import ColSpec  # noqa: PLC0415

    return [ColSpec(TYPES[f.type], f.name, required=not contract.may_miss(f)) for f in contract.features]


def _signature(contract: Contract) -> Any:
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415

    outputs = [ColSpec("string" if contract.target.classes else "double", "prediction")]
    if contract.target.classes:
        outputs.append(ColSpec("double", "probability", required=False))
    return ModelSignature(Schema(_columns(contract)), Schema([*outputs]))


def _example(contract: Contract) -> Any:
    """Return the middle row of the training range."""
    import pandas as pd  # noqa: PLC0415 - comes with mlflow

    return pd.DataFrame({feature.name: [_middle(feature)] for feature in contract.features})


def _middle(feature: Feature) -> Any:
    value = feature.middle
    if feature.type == "date" and value is not None:
        return datetime.datetime.fromisoformat(str(value))
    return value


@contextmanager
def _staged(result: Result, drawing: Drawing) -> Iterator[Path]:
    """Yield a folder with the files of a run: outputs, what made them, and plots as pictures."""
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        for path in result.other_files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            _link(result.folder / path, folder / path)
        for name in (str(LOCK), str(PARAMS), "dvc.yaml"):
            shutil.copyfile(result.pipeline / name, folder / name)
        for title, picture in drawing.finish().items():
            (folder / "plots" / f"{title}.png").write_bytes(picture)
        yield folder


def _link(source: Path, target: Path) -> None:
    """Put a file elsewhere without copying its bytes where the disk allows."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _copy_code(folder: Path) -> Path:
    """Return a folder with the packages that the loader needs, so that a model loads where this package is not."""
    source = Path(artifact_flow.__file__).parent
    package = folder / "code" / source.name
    (package / "tracking").mkdir(parents=True)
    for module in ("__init__.py", "tracking/__init__.py", "tracking/loader.py"):
        shutil.copyfile(source / module, package / module)
    for wing in ("core", "predict"):
        shutil.copytree(source / wing, package / wing, ignore=shutil.ignore_patterns("__pycache__"))
    return package
