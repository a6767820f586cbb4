"""Upload: the folders that are uploaded to MLflow: a run's files, and a model for `mlflow.pyfunc.load_model`."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import artifact_flow
from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.lock import LOCK
from artifact_flow.core.base.params import PARAMS
from artifact_flow.core.model.own_code import FOLDER, OWN, find_folder
from artifact_flow.tracking.loader import SHA256
from artifact_flow.tracking.pictures import Drawing
from artifact_flow.tracking.result import Result
from artifact_flow.tracking.schema import example, signature

LOADER = "artifact_flow.tracking.loader"
FILES = "files"  # the model's files; MLflow keeps this folder in "data"
# The packages that the loader imports and the pickle needs.
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


@contextmanager
def collect_files(result: Result, drawing: Drawing) -> Iterator[Path]:
    """Yield a temporary folder with the files of a run: outputs, lock, parameters, dvc.yaml, and plots as pictures.

    Raises TrackError when a plot cannot be drawn.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path in result.other_files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            _link(result.folder / path, folder / path)
        for name in (str(LOCK), str(PARAMS), "dvc.yaml"):
            shutil.copyfile(result.pipeline / name, folder / name)
        for title, picture in drawing.finish().items():
            (folder / "plots" / f"{title}.png").write_bytes(picture)
        yield folder


@contextmanager
def package_model(result: Result, mlflow: Any, run_id: str, model_id: str) -> Iterator[Path]:
    """Yield a temporary folder with a result's model as MLflow loads it.

    The model's files are the pipeline's own, byte for byte. The folder also contains the packages that the loader
    imports, so that the model loads where artifact-flow is not installed.
    """
    from mlflow.models import Model  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / FILES).mkdir()
        for name in result.model_files:
            _link(result.folder / name, folder / FILES / name)
        mlflow.pyfunc.save_model(
            str(folder / "model"),
            loader_module=LOADER,
            data_path=str(folder / FILES),
            code_paths=[str(package) for package in _copy_code(folder, result.contract)],
            mlflow_model=Model(
                run_id=run_id,
                model_id=model_id,
                model_uuid=model_id,
                metadata={SHA256: {name: result.sha256[name] for name in result.model_files}},
            ),
            signature=signature(result.contract),
            input_example=example(result.contract),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIREMENTS],
        )
        yield folder / "model"


def _link(source: Path, target: Path) -> None:
    """Make a hard link to a file, or a copy where the disk allows no link."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _copy_code(folder: Path, contract: Contract) -> list[Path]:
    """Return the packages that the loader imports: a part of this one and, if the model needs it, the user's own."""
    source = Path(artifact_flow.__file__).parent
    package = folder / "code" / source.name
    (package / "tracking").mkdir(parents=True)
    for module in ("__init__.py", "tracking/__init__.py", "tracking/loader.py"):
        shutil.copyfile(source / module, package / module)
    for wing in ("core", "predict"):
        shutil.copytree(source / wing, package / wing, ignore=shutil.ignore_patterns("__pycache__"))
    own = find_folder() if any(path.startswith(FOLDER) for path in contract.sha256) else None
    if own is None:
        return [package]
    return [package, Path(shutil.copytree(own, folder / "code" / OWN, ignore=shutil.ignore_patterns("__pycache__")))]
