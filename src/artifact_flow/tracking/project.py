"""Project: what MLproject's entry points do beyond the pipeline: try other parameters, fetch a data set."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from artifact_flow.errors import ParamsError, TrackError
from artifact_flow.files import hash_file, repository_root
from artifact_flow.params import PARAMS, parse_params
from artifact_flow.tracking.client import Server
from artifact_flow.tracking.runs import TAG, dataset_input

# As MLproject names them: the key in params.yaml, its type, the type in words.
OPTIONS: Mapping[str, tuple[str, type, str]] = {
    "test_size": ("data.test_size", float, "a number"),
    "random_seed": ("data.seed", int, "a whole number"),
    "max_iter": ("train.max_iter", int, "a whole number"),
    "C": ("train.C", float, "a number"),
}
DATA_FOLDER = Path("data")
EXPERIMENT = "data"  # of MLflow, in which data sets are logged


@dataclass(frozen=True)
class Downloaded:
    """A data set that was fetched: its file, its size in bytes, its hash, and the run that holds it."""

    path: Path
    size: int
    md5: str
    run_id: str
    found: bool


def run_experiment(values: Mapping[str, str | None]) -> None:
    """Run `dvc exp run` with the given values, by the names in OPTIONS; None leaves params.yaml as it is.

    Raises ParamsError when a value has another type or is not allowed, TrackError when the run fails; params.yaml is
    then what it was.
    """
    settings = {OPTIONS[name][0]: _convert(name, text) for name, text in values.items() if text is not None}
    before = PARAMS.read_bytes() if PARAMS.is_file() else b""
    document = YAML(typ="safe", pure=True).load(before) or {}
    for key, value in settings.items():
        block, _, name = key.partition(".")
        document.setdefault(block, {})[name] = value
    parse_params(document)
    command = [sys.executable, "-m", "dvc", "exp", "run"]
    for key, value in settings.items():
        command += ["--set-param", f"{key}={value}"]
    if subprocess.run(command, check=False).returncode:
        PARAMS.write_bytes(before)
        raise TrackError(f"`dvc exp run` failed, for the reason above; {PARAMS} is what it was.")


def download(url: str, name: str, kind: str, description: str) -> Downloaded:
    """Fetch a file into data/ by `dvc import-url`, and log it to MLflow, and to W&B where it is configured.

    Raises TrackError when the name is no file's, the file cannot be fetched, or it cannot be logged.
    """
    if name != Path(name).name or name in ("", ".", ".."):
        raise TrackError(f"the name {name!r} is no file's: give one without a folder, such as houses.csv.")
    root = repository_root()
    path = root / DATA_FOLDER / name
    path.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "dvc", "import-url", "--force", url, str(path)]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.rpartition("ERROR: ")[2].partition("\n")[0].strip().rstrip(".")
        raise TrackError(f"{url} cannot be fetched ({reason}): check the address, then run the same command again.")
    md5 = hash_file(path, "md5")
    about = {"url": url, "type": kind, "description": description}
    run_id, found = _log_file(Server(root), path, md5, about)
    if os.environ.get("WANDB_API_KEY"):
        from artifact_flow.tracking.mirror import Mirror  # noqa: PLC0415 - heavy

        Mirror(root).log_file(path, kind, about, md5)
    return Downloaded(path.relative_to(root), path.stat().st_size, md5, run_id, found)


def _convert(name: str, text: str) -> Any:
    _, kind, words = OPTIONS[name]
    try:
        return kind(text)
    except ValueError as error:
        raise ParamsError(f"{name} is {text!r}; allowed: {words}.") from error


def _log_file(server: Server, path: Path, md5: str, about: Mapping[str, str]) -> tuple[str, bool]:
    """Return the run that holds a file, by its hash, and whether it was there before."""
    with server.told():
        client = server.client
        experiment = server.ensure_experiment(EXPERIMENT)
        same = f"tags.`{TAG}data_md5` = '{md5}' and tags.`{TAG}name` = '{path.name}' and attributes.status = 'FINISHED'"
        found = client.search_runs([experiment], same, max_results=1)
        if found:
            return str(found[0].info.run_id), True
        tags = {f"{TAG}{key}": value for key, value in about.items()}
        tags |= {f"{TAG}data_md5": md5, f"{TAG}name": path.name, "mlflow.note.content": about["description"]}
        run = client.create_run(experiment, run_name=path.name, tags=tags)
        client.log_inputs(run.info.run_id, [dataset_input(path.name, md5, {"url": about["url"]})])
        client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id), False
