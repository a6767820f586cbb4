"""Results: whether parameters, locks, stages, contracts and data agree with each other."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artifact_flow.core.base.errors import ContractError, LockError, ParamsError
from artifact_flow.doctor.changes import Change, list_changes
from artifact_flow.doctor.findings import Finding, shorten
from artifact_flow.doctor.outputs import faulty_outputs
from artifact_flow.doctor.project import Project


def check_parameters(project: Project) -> Iterator[Finding]:
    """Find the first wrong key or value of each flow in each params.yaml."""
    from artifact_flow.core.base.params import load_params

    for path, flow in _list_flows(project):
        try:
            load_params(path, flow)
        except ParamsError as error:
            what = str(error).rstrip(".") + (f" (flow {flow})" if flow else "")
            yield Finding(str(path), what, f"edit {path}: docs/parameters.md says what is allowed")


def check_pipeline(project: Project) -> Iterator[Finding]:
    """Find that there is no dvc.yaml, or one that is not YAML."""
    from artifact_flow.core.base.pipeline import PIPELINE, read_pipeline

    if not project.folders:
        yield Finding("dvc.yaml", "there is no dvc.yaml", "git checkout HEAD -- dvc.yaml")
    for folder in project.folders:
        try:
            read_pipeline(Path(folder))
        except LockError as error:
            path = Path(folder) / PIPELINE
            yield Finding(
                str(path), str(error).partition(": ")[0], f"edit {path} until `dvc stage list` lists its stages"
            )


def check_lock(project: Project) -> Iterator[Finding]:
    """Find locks that are missing, damaged or in conflict, or name stages that no longer exist."""
    from artifact_flow.core.base.lock import LOCK, parse_lock
    from artifact_flow.core.base.pipeline import read_pipeline

    for folder in project.folders:
        path = Path(folder) / LOCK
        restore = f"git checkout HEAD -- {path}, then dvc repro {_target(folder)}".rstrip()
        if not path.is_file():
            known = project.blob(str(path)) is not None
            what = f"{path} is missing, so nothing says what the stages must produce"
            yield Finding(str(path), what, restore if known else f"dvc repro {_target(folder)}".rstrip())
            continue
        try:
            locked = parse_lock(path.read_bytes())
        except LockError as error:
            what = str(error).partition(": ")[0].replace(LOCK.name, str(path), 1)
            yield Finding(str(path), what, restore)
            continue
        pipeline = read_pipeline(Path(folder))
        gone = [name for name in locked if pipeline and not pipeline.find(name)]
        if gone:
            what = f"{path} names {shorten(gone)}, which dvc.yaml does not have; DVC never removes an entry"
            yield Finding(str(path), what, f"delete {' and '.join(gone)} from {path}", "warning")


def check_dvc(project: Project) -> Iterator[Finding]:
    """Find that DVC itself cannot read the project, in DVC's words."""
    try:
        _ = project.status
    except LockError as error:
        yield Finding("dvc.yaml", str(error), "dvc status shows all of DVC's message")


def check_stages(project: Project) -> Iterator[Finding]:
    """Find stages that `dvc repro` would run again, one finding for each dvc.yaml, and missing dependencies."""
    faulty, made = faulty_outputs(project), _list_made(project)
    stale: dict[str, dict[str, list[str]]] = {}
    for name in project.status:
        for change in list_changes(project, name):
            if change.kind == "output" or change.name in faulty or name.endswith(".dvc"):
                continue  # a finding of the check `outputs`
            if change.state == "deleted" and change.kind == "dependency" and change.name not in made:
                what = f"{change.name}, which stage {name} reads, is missing"
                yield Finding(change.name, what, _bring_back(project, change))
            else:
                stale.setdefault(name.rpartition(":")[0], {}).setdefault(name, []).append(change.title)
    for target, stages in stale.items():
        reasons = list(dict.fromkeys(title for titles in stages.values() for title in titles))
        verb, first = "are" if len(stages) > 1 else "is", next(iter(stages))
        what = (
            f"{shorten(list(stages))} {verb} stale: {shorten(reasons)} changed since dvc.lock was written "
            f"(`artifact-flow explain {first}` says by what)"
        )
        cure = f"dvc repro {target}".rstrip()
        yield Finding(target or "dvc.yaml", what, cure, "warning")


def check_contracts(project: Project) -> Iterator[Finding]:
    """Find contracts that record other parameters than params.yaml has, although DVC finds their stages unchanged."""
    from artifact_flow.core.base.contract import CONTRACT, check_params, read_contract
    from artifact_flow.core.base.lock import LOCK
    from artifact_flow.core.base.params import load_params

    faulty = faulty_outputs(project)
    for name, path in _list_outputs(project, CONTRACT.name):
        before, colon, stage = name.rpartition(":")
        data = f"{before}{colon}data{stage.removeprefix('train')}"
        changes = [change for one in (name, data) for change in list_changes(project, one)]
        if path in faulty or any(change.kind != "output" for change in changes):
            continue  # a finding of another check
        folder = Path(posixpath.dirname(before))
        try:
            params = load_params(folder / "params.yaml", stage.partition("@")[2] or None)
            check_params(read_contract(Path(path), folder / LOCK), params)
        except ContractError as error:
            what = str(error).partition(": run")[0].replace(CONTRACT.name, path, 1)
            yield Finding(path, f"{what}, and dvc.lock hides it", f"dvc repro --force {data} {name}")


def check_data(project: Project) -> Iterator[Finding]:
    """Find data sets that a flow would have to fetch before its first stage can run."""
    from artifact_flow.core.base.documents import load_yaml
    from artifact_flow.core.table.builtin import FETCHED, VARIABLE, data_folder, is_here

    folder = data_folder(project.environ, Path())
    if project.environ.get(VARIABLE) and not folder.is_dir():
        what = f"{VARIABLE} is {folder}, which is not a folder, so every data set would be fetched again"
        yield Finding(VARIABLE, what, f"unset {VARIABLE}, or set it to the folder with the data sets", "warning")
        return
    for path, flow in _list_flows(project):
        blocks: Any = load_yaml(path)
        source = (blocks["flows"][flow] if flow else blocks)["data"]["source"]
        if isinstance(source, str) and source in FETCHED and not is_here(source, folder):
            file, host = FETCHED[source]
            what = f"{source} is not in {folder}, so its stage data, when it runs, fetches it from {host}"
            yield Finding(str(path), what, f"dvc repro {_target(str(path.parent))}, or copy {file} there", "note")


def _list_flows(project: Project) -> Iterator[tuple[Path, str | None]]:
    """Yield each flow: the root's params.yaml with None, and those of other folders with the names below `flows`."""
    from artifact_flow.core.base.documents import load_yaml
    from artifact_flow.core.base.pipeline import VALUES

    for folder in project.folders:
        path = Path(folder) / VALUES
        try:
            document = load_yaml(path) if folder else None
        except ParamsError:
            document = None
            yield path, None  # whose sentence `load_params` repeats
        flows = document.get("flows") if isinstance(document, dict) else None
        if isinstance(flows, dict):
            yield from ((path, str(flow)) for flow in flows)
        elif not folder:
            yield path, None


def _list_outputs(project: Project, file: str) -> Iterator[tuple[str, str]]:
    """Yield stage and path for each locked output with this file name."""
    for name, stage in project.stages.items():
        yield from ((name, out["path"]) for out in stage["outs"] if posixpath.basename(out["path"]) == file)


def _list_made(project: Project) -> set[str]:
    return {out["path"] for stage in project.stages.values() for out in stage["outs"]}


def _bring_back(project: Project, change: Change) -> str:
    """Return how to have a missing dependency that no stage makes."""
    if project.git("ls-files", "--", change.name):
        return f"git checkout HEAD -- {change.name}"
    if Path(f"{change.name}.dvc").is_file():
        return f"dvc checkout {change.name}.dvc"
    return "put it back, or edit params.yaml to name another file"


def _target(folder: str) -> str:
    """Return the argument by which `dvc repro` runs the pipeline of a folder."""
    return "" if folder in ("", ".") else posixpath.join(folder, "dvc.yaml")
