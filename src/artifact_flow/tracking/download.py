"""Download: a data set from an address into data/, DVC and MLflow, for MLproject's entry point `download_data`."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from artifact_flow.core.base.errors import ArtifactFlowError, TrackError
from artifact_flow.core.base.files import hash_file, repository_root
from artifact_flow.core.table.source import Form, read_names, sniff_separator
from artifact_flow.init.schema import NUMBER
from artifact_flow.tracking.client import Server, shown
from artifact_flow.tracking.dvc import run_dvc
from artifact_flow.tracking.schema import dataset_input
from artifact_flow.tracking.tags import DATA_TAG, NAME_TAG, TAG
from artifact_flow.tracking.unpack import refuse_overwriting, unpack_table

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
    source = str(Path(url).resolve()) if Path(url).exists() else url
    done = run_dvc("import-url", "--force", source, str(path.absolute()), folder=root, capture=True)
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


def _next_steps(root: Path, path: Path) -> tuple[tuple[str, ...], str]:
    """Return the commands that keep a fetched file in git and make a model of it, and a note about them."""
    table, kept = path, [path]
    try:
        table = unpack_table(path)
        if table != path:
            added = run_dvc("add", "--quiet", str(table.absolute()), folder=root, capture=True)
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


def _log_file(server: Server, path: Path, md5: str, about: Mapping[str, str]) -> tuple[str, bool]:
    """Return the run that holds a file, by its hash, and whether it was there before."""
    with server.told():
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
