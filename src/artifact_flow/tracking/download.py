"""Download: a data set from an address into data/, DVC and MLflow, for MLproject's entry point `download_data`."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from artifact_flow.core.base.cells import PLAIN
from artifact_flow.core.base.errors import ArtifactFlowError, TrackError
from artifact_flow.core.base.files import hash_file, repository_root
from artifact_flow.core.table.source import read_names
from artifact_flow.init.sniff import Given, sniff_form
from artifact_flow.tracking.client import Server, shown
from artifact_flow.tracking.dvc import run_dvc
from artifact_flow.tracking.schema import dataset_input
from artifact_flow.tracking.tags import DATA_TAG, NAME_TAG, TAG
from artifact_flow.tracking.unpack import refuse_overwriting, unpack_table

DATA_FOLDER = Path("data")
EXPERIMENT = "data"  # the MLflow experiment in which data sets are logged


@dataclass(frozen=True)
class Downloaded:
    """A downloaded data set: its file, its size in bytes, its hash, its run in MLflow, and the next commands.

    `commands` are shell commands for the working directory. `note` names the assumptions of `init` among them, or the
    reason why there is no such command for this file.
    """

    path: Path
    size: int
    md5: str
    run_id: str
    found: bool
    commands: tuple[str, ...]
    note: str


def download(url: str, name: str, kind: str, description: str) -> Downloaded:
    """Download a file into data/ with `dvc import-url`, and log it to MLflow, and to W&B if WANDB_API_KEY is set.

    Without a name, the file gets its name from the address. If the file is a tar or zip archive with one table, the
    table is unpacked and added to DVC. Raises TrackError when the name is not a file name, when a file of that name
    exists that DVC does not track, or when the file cannot be downloaded or logged.
    """
    name = name or unquote(PurePosixPath(urlsplit(url).path).name)
    if name != Path(name).name or name.startswith(".") or not name:
        raise TrackError(f"{name!r} is not a file name: give a name without a folder, such as houses.csv.")
    root, address = repository_root(), shown(url).partition("?")[0]
    path = Path(os.path.relpath(root / DATA_FOLDER / name))
    refuse_overwriting(path)
    path.parent.mkdir(exist_ok=True)
    source = str(Path(url).resolve()) if Path(url).exists() else url
    done = run_dvc("import-url", "--force", source, str(path.absolute()), folder=root, capture=True)
    if done.returncode:
        reason = done.stderr.rpartition("ERROR: ")[2].partition("\n")[0].strip().rstrip(".").replace(url, address)
        raise TrackError(
            f"{address} cannot be downloaded ({reason}): check the address, then run the same command again."
        )
    md5 = hash_file(path, "md5")
    about = {"url": address, "type": kind, "description": description}
    run_id, found = _log_file(Server(root), path, md5, about)
    if os.environ.get("WANDB_API_KEY"):
        from artifact_flow.tracking.mirror import Mirror  # noqa: PLC0415 - heavy

        Mirror(root).log_file(path, kind, about, md5)
    commands, note = _next_steps(root, path)
    return Downloaded(path, path.stat().st_size, md5, run_id, found, commands, note)


def _next_steps(root: Path, path: Path) -> tuple[tuple[str, ...], str]:
    """Return the commands that commit a downloaded file and train a model on it, and a note about them."""
    table, kept = path, [path]
    try:
        table = unpack_table(path)
        if table != path:
            added = run_dvc("add", "--quiet", str(table.absolute()), folder=root, capture=True)
            if added.returncode:
                raise TrackError(f"`dvc add {table}` failed: {' '.join(added.stderr.split())[:300]}")
            kept.append(table)
        form, _ = sniff_form(table, Given())
        names = read_names(table, form)
    except ArtifactFlowError as error:
        return (_git_add(kept),), f"`init` cannot use this file: {error}"
    options = ["--target", names[-1]]
    if any(re.fullmatch(PLAIN, name) for name in names):  # the first row is data, not a header
        names = read_names(table, replace(form, header=False))
        options = ["--no-header", "--target", names[-1]]
    init = shlex.join(["artifact-flow", "init", "--data", str(table), *options])
    assumed = "the first row is not a header and that " if "--no-header" in options else ""
    listed = ", ".join(names[:20]) + ", …" * (len(names) > 20)
    note = f"this assumes that {assumed}the last column is the target; the columns are: {listed}"
    return (_git_add(kept), init, "dvc repro"), note


def _git_add(paths: list[Path]) -> str:
    """Return the `git add` command for the .dvc files of downloaded files and the .gitignore in their folder."""
    files = [path.with_name(f"{path.name}.dvc") for path in paths]
    ignored = paths[0].with_name(".gitignore")  # does not exist if git ignored the file before
    return shlex.join(["git", "add", *(str(file) for file in (*files, ignored) if file.is_file())])


def _log_file(server: Server, path: Path, md5: str, about: Mapping[str, str]) -> tuple[str, bool]:
    """Return the id of the run that contains a file, found by its hash, and whether it existed before."""
    with server.translate_errors():
        client = server.client
        experiment = server.ensure_experiment(EXPERIMENT)
        same = f"tags.`{DATA_TAG}` = '{md5}' and tags.`{NAME_TAG}` = '{path.name}' and attributes.status = 'FINISHED'"
        found = client.search_runs([experiment], same, max_results=1)
        if found:
            return str(found[0].info.run_id), True
        tags = {f"{TAG}{key}": value for key, value in about.items()}
        tags |= {DATA_TAG: md5, NAME_TAG: path.name, "mlflow.note.content": about["description"]}
        run = client.create_run(experiment, run_name=f"{path.name} {md5[:7]}", tags=tags)
        client.log_inputs(run.info.run_id, [dataset_input(path.name, md5, {"url": about["url"]})])
        client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id), False
