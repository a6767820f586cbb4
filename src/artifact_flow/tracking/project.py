"""Project: what MLproject's entry points do beyond the pipeline: try other parameters, fetch a data set."""

import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from ruamel.yaml import YAML

from artifact_flow.core.base.errors import ArtifactFlowError, ParamsError, TrackError
from artifact_flow.core.base.files import hash_file, repository_root
from artifact_flow.core.base.params import PARAMS, TrainParams, parse_params
from artifact_flow.core.model.models import build_estimator
from artifact_flow.core.table.source import Form, read_names, sniff_separator
from artifact_flow.init.schema import NUMBER
from artifact_flow.tracking.client import Server, shown
from artifact_flow.tracking.runs import TAG, dataset_input
from artifact_flow.tracking.unpack import refuse_overwriting, unpack_table

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
    """A data set that was fetched: its file, its size in bytes, its hash, the run that holds it, and what to do next.

    `commands` are lines for a shell, seen from the working directory. `note` says what the last of them assumes, or
    why there is none that makes a model of the file.
    """

    path: Path
    size: int
    md5: str
    run_id: str
    found: bool
    commands: tuple[str, ...]
    note: str


def run_experiment(values: Mapping[str, str | None]) -> None:
    """Run `dvc exp run` with the given values, by the names in OPTIONS; None or "" leaves params.yaml as it is.

    Raises ParamsError when a value has another type, is not allowed, or has no effect on the estimator, TrackError when
    the run fails; params.yaml is then what it was.
    """
    settings = {OPTIONS[name][0]: _convert(name, text) for name, text in values.items() if text}
    before = PARAMS.read_bytes() if PARAMS.is_file() else b""
    document = YAML(typ="safe", pure=True).load(before) or {}
    command = [sys.executable, "-m", "dvc", "exp", "run"]
    for key, value in settings.items():
        block, _, name = key.partition(".")
        given = document.setdefault(block, {})
        command += ["--set-param", f"{'' if name in given else '+'}{key}={value}"]  # a plus adds a key
        given[name] = value
    params = parse_params(document)
    _refuse_without_effect(settings, params.train)
    if subprocess.run(command, check=False).returncode:
        PARAMS.write_bytes(before)
        raise TrackError(f"`dvc exp run` failed, for the reason above; {PARAMS} is what it was.")


def download(url: str, name: str, kind: str, description: str) -> Downloaded:
    """Fetch a file into data/ by `dvc import-url`, and log it to MLflow, and to W&B where it is configured.

    Without a name, the file is called as in the address. The one table in a tar or zip archive is unpacked and added to
    DVC. Raises TrackError when the name is no file's, a file of that name is there that DVC does not track, the file
    cannot be fetched, or it cannot be logged.
    """
    name = name or unquote(PurePosixPath(urlsplit(url).path).name)
    if name != Path(name).name or name.startswith(".") or not name:
        raise TrackError(f"the name {name!r} is no file's: give one without a folder, such as houses.csv.")
    root, address = repository_root(), shown(url).partition("?")[0]
    path = Path(os.path.relpath(root / DATA_FOLDER / name))
    refuse_overwriting(path)
    path.parent.mkdir(exist_ok=True)
    done = _dvc(
        root, "import-url", "--force", str(Path(url).resolve()) if Path(url).exists() else url, str(path.absolute())
    )
    if done.returncode:
        reason = done.stderr.rpartition("ERROR: ")[2].partition("\n")[0].strip().rstrip(".").replace(url, address)
        raise TrackError(f"{address} cannot be fetched ({reason}): check the address, then run the same command again.")
    md5 = hash_file(path, "md5")
    about = {"url": address, "type": kind, "description": description}
    run_id, found = _log_file(Server(root), path, md5, about)
    if os.environ.get("WANDB_API_KEY"):
        from artifact_flow.tracking.mirror import Mirror  # noqa: PLC0415 - heavy

        Mirror(root).log_file(path, kind, about, md5)
    commands, note = _next_steps(root, path)
    return Downloaded(path, path.stat().st_size, md5, run_id, found, commands, note)


def _convert(name: str, text: str) -> Any:
    _, kind, words = OPTIONS[name]
    try:
        value = kind(text)
    except ValueError as error:
        raise ParamsError(f"{name} is {text!r}; allowed: {words}.") from error
    if not math.isfinite(value):
        raise ParamsError(f"{name} is {text!r}; allowed: {words}.")
    return value


def _refuse_without_effect(settings: Mapping[str, Any], train: TrainParams) -> None:
    """Raise ParamsError when the estimator has no such argument, or the search chooses it."""
    build_estimator(train)
    for key in settings:
        block, _, name = key.partition(".")
        if block == "train" and train.search and name in train.search.space:
            raise ParamsError(
                f"{PARAMS}: train.search.space.{name} tries its own values, so {name} cannot be given: leave it out, "
                "or change the search."
            )


def _next_steps(root: Path, path: Path) -> tuple[tuple[str, ...], str]:
    """Return the commands that keep a fetched file in git and make a model of it, and a note about them."""
    table, kept = path, [path]
    try:
        table = unpack_table(path)
        if table != path:
            added = _dvc(root, "add", "--quiet", str(table.absolute()))
            if added.returncode:
                raise TrackError(f"`dvc add {table}` failed: {' '.join(added.stderr.split())[:300]}")
            kept.append(table)
        form = Form(sniff_separator(table))
        names = read_names(table, form)
    except ArtifactFlowError as error:
        return (_keep(kept),), f"no model is made of it yet: {error}"
    options = ["--target", names[-1]]
    if any(re.fullmatch(NUMBER, name) for name in names):  # the first row is no header
        names = read_names(table, Form(form.separator, header=False))
        options = ["--no-header", "--target", names[-1]]
    init = shlex.join(["artifact-flow", "init", "--data", str(table), *options])
    taken = "the first row to be no header, and " if "--no-header" in options else ""
    listed = ", ".join(names[:20]) + ", …" * (len(names) > 20)
    note = f"this takes {taken}the last column to be the target; there are: {listed}"
    return (_keep(kept), init, "dvc repro"), note


def _keep(paths: list[Path]) -> str:
    """Return the command that puts into git what DVC keeps of files, and what makes git ignore them."""
    files = [path.with_name(f"{path.name}.dvc") for path in paths]
    ignored = paths[0].with_name(".gitignore")  # not there where git ignored the file before
    return shlex.join(["git", "add", *(str(file) for file in (*files, ignored) if file.is_file())])


def _dvc(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, check=False, capture_output=True, text=True
    )


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
        run = client.create_run(experiment, run_name=f"{path.name} {md5[:7]}", tags=tags)
        client.log_inputs(run.info.run_id, [dataset_input(path.name, md5, {"url": about["url"]})])
        client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id), False
