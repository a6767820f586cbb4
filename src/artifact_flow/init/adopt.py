"""Init: the main flow becomes one's own. It understands a table, tries the estimator on it, and edits two files.

params.yaml gets the blocks `data` and `train` (and loses `export` and `quantize` where the estimator has no such
form), dvc.yaml the file as a dependency of `data`; every comment that still holds stays. Files that only a lost stage
made are removed. Nothing is written before everything is understood.
"""

import shlex
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.core.base.errors import ArtifactFlowError, DataError, ModelError, ParamsError
from artifact_flow.core.base.files import replace_files, repository_root
from artifact_flow.core.base.params import MISSING, PARAMS, DataParams, TableParams, Task, TrainParams, load_params
from artifact_flow.core.base.pipeline import PIPELINE, Pipeline, read_pipeline
from artifact_flow.core.model.artifacts import start_session
from artifact_flow.core.model.handover import draw_contract
from artifact_flow.core.model.models import build_model, fit_model
from artifact_flow.core.model.predictions import predict_rows, run_portable
from artifact_flow.core.table.datasets import load_own
from artifact_flow.core.table.source import Form, sniff_separator
from artifact_flow.core.table.tables import Table, split_rows
from artifact_flow.init.schema import Overrides, Schema, find_leaks, understand
from artifact_flow.portable.export import check_parity, export_model, serialize
from artifact_flow.portable.quantize import extract_linear

PARITY = 1e-4  # export.max_difference of one's own table
TRIAL_ROWS = 2000  # that the estimator is tried on
ESTIMATORS: dict[Task, tuple[str, dict[str, Any]]] = {
    "classification": ("sklearn.linear_model.LogisticRegression", {"C": 1.0, "max_iter": 1000}),
    "regression": ("sklearn.linear_model.Ridge", {"alpha": 1.0}),
}
COMMENTS = {
    "C": "inverse strength of the regularisation, above 0",
    "alpha": "strength of the regularisation, from 0",
    "max_iter": "iterations at most",
}


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    data: Path
    target: str
    form: Form
    overrides: Overrides
    estimator: str | None = None
    drop_missing_target: bool = False
    force: bool = False


def adopt_table(request: Request, root: Path | None = None, console: Console | None = None) -> None:
    """Make the main flow that of `request.data`, and say what was understood.

    Raises ArtifactFlowError, with nothing written, when the table cannot be understood, lies outside the repository,
    or when what would be overwritten is somebody's own.
    """
    console, root = console or Console(), root or repository_root()
    source = _source_in(root, request.data)
    if not request.force:
        _refuse_overwriting(root)
    form = request.form
    schema = understand(request.data, form, request.target, request.overrides)
    if schema.target.missing and not request.drop_missing_target:
        raise DataError(
            f"{request.data}: {schema.target.missing} of {schema.rows} rows have no value in {request.target}, the "
            "target: fill them, or leave these rows out by --drop-missing-target."
        )
    params = _data_params(source, schema, request)
    train = _train_params(schema.task, request.estimator)
    own = _read(root, params)
    params = params.model_copy(update={"stratify": own.roles.params.stratify})
    _print_schema(source, schema, console)
    stages, reasons = _try_estimator(own, train)
    before = read_pipeline(root)
    lost = _edit(root, params, train, schema, stages)
    removed = _remove_outputs(root, before)
    for leak in find_leaks(own.y, _numbers(own), own.roles.classes):
        console.print(
            f"[yellow]warning:[/] {escape(' + '.join(leak))} {'reproduces' if len(leak) == 1 else 'reproduce'} "
            f"{escape(request.target)}, the target: whoever predicts it does not have that yet; leave such columns "
            f"out: --leave-out {escape(shlex.join(leak))} --force",
            soft_wrap=True,
        )
    if own.roles.classes and not params.stratify:
        console.print("[yellow]note:[/] not stratified: some class has too few rows to be in both splits")
    for stage, reason in reasons.items():
        console.print(f"[yellow]note:[/] no stage {stage}: {escape(reason)}", soft_wrap=True)
    if removed:
        console.print(
            f"[yellow]note:[/] removed, because no stage makes it any more: {escape(', '.join(removed))}",
            soft_wrap=True,
        )
    if lost:
        console.print(
            f"[yellow]note:[/] {PIPELINE} lost {' and '.join(lost)} to an earlier estimator, and this one could have "
            "that: bring the stage, and its block in params.yaml, back from git.",
            soft_wrap=True,
        )
    console.print(
        f"{PARAMS} and {PIPELINE} are written. Now: {escape(_keep(root, source))}, then make, and commit what it "
        "leaves.",
        soft_wrap=True,
    )


def _source_in(root: Path, data: Path) -> str:
    resolved = data.resolve()
    if not resolved.is_relative_to(root):
        raise DataError(
            f"{data} lies outside the repository {root}, where no clone would find it: copy it in, for example to "
            f"{data.name}."
        )
    return resolved.relative_to(root).as_posix()


def _keep(root: Path, source: str) -> str:
    """Return the command that keeps the table, which git takes unless it ignores it, as what DVC tracks."""
    if (root / f"{source}.dvc").is_file():
        return f"git add {shlex.quote(source)}.dvc"
    asked = ["git", "check-ignore", "--quiet", "--", source]
    ignored = subprocess.run(asked, cwd=root, check=False, capture_output=True).returncode == 0
    by_dvc = f"dvc add {shlex.quote(source)}"
    return by_dvc if ignored else f"git add {shlex.quote(source)} (or, for a large file, {by_dvc})"


def _refuse_overwriting(root: Path) -> None:
    params = load_params(root / PARAMS)
    if params.data.table:
        raise ParamsError(
            f"{PARAMS} holds a table of your own already ({params.data.source}): add --force to describe another one, "
            "or the same one anew."
        )
    listed = ["git", "status", "--porcelain", "--", str(PARAMS), str(PIPELINE)]
    changed = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=False).stdout.split()
    if changed:
        raise ParamsError(
            f"{' and '.join(changed[1::2])} holds changes that are not committed: commit them, so that nothing is "
            "lost, or add --force."
        )


def _data_params(source: str, schema: Schema, request: Request) -> DataParams:
    table = TableParams(
        target=schema.target.name,
        task=schema.task,
        separator=request.form.separator,
        header=request.form.header,
        missing=list(request.form.missing),
        drop_missing_target=request.drop_missing_target,
        columns={column.name: column.role for column in schema.columns},
    )
    stratify = schema.task == "classification"
    return DataParams(source=source, table=table, preprocess="auto", test_size=0.2, seed=42, stratify=stratify)


def _train_params(task: Task, estimator: str | None) -> TrainParams:
    path, keywords = ESTIMATORS[task]
    if estimator and estimator != path:
        path, keywords = estimator, {}
    return TrainParams(estimator=path, threads=1, **keywords)


def _read(root: Path, params: DataParams) -> Table:
    """Return the table as stage `data` will make it; not stratified where a class has too few rows for that."""
    params = params.model_copy(update={"source": str(root / params.source)})
    table = load_own(params)
    try:
        return split_rows(table)
    except DataError:
        if not params.stratify:
            raise
    params = params.model_copy(update={"stratify": False})
    return split_rows(replace(table, roles=table.roles.model_copy(update={"params": params})))


def _numbers(table: Table) -> Mapping[str, np.ndarray]:
    features = table.describe()
    X, _ = encode_rows(features, table.raw)
    wanted = (
        range(len(features))
        if table.roles.classes
        else [i for i, feature in enumerate(features) if feature.type == "number"]
    )
    return {features[i].name: X[:, i] for i in wanted}


def _try_estimator(table: Table, params: TrainParams) -> tuple[set[str], dict[str, str]]:
    """Return which of the stages export and quantize the estimator has, and why it lacks the others.

    Raises ParamsError when the estimator does not fit the task or the table.
    """
    kept = np.sort(np.random.default_rng(0).permutation(table.columns.num_rows)[:TRIAL_ROWS])
    if table.roles.classes:  # each class must be there
        rows = np.flatnonzero(table.split == "train")
        kept = np.union1d(kept, rows[np.unique(table.y[rows], return_index=True)[1]])
    trial = Table(table.columns.take(kept), table.roles)
    features, train = trial.describe(), trial.split == "train"
    X, _ = encode_rows(features, trial.raw)
    with reproducible(params.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a trial; stage train tells its own
        model = build_model(params, table.roles.task, features, "auto")
        estimator = fit_model(model, X[train], trial.y[train], params)
        stages, reasons = set(), {}
        try:
            contract = draw_contract(trial, features, params, {})
            exported = serialize(export_model(estimator, contract, opset=17), "")
            found = run_portable(start_session(exported), features, X)
            difference, wrong = check_parity(predict_rows(estimator, X, trial.roles.classes), found, trial.y, PARITY)
            if wrong:
                raise ModelError(
                    f"{type(estimator[-1]).__name__} as ONNX says something else on {wrong} of {len(X)} rows tried "
                    f"(largest difference {difference:.1e}, allowed {PARITY})"
                )
            stages.add("export")
            extract_linear(estimator, X)
            stages.add("quantize")
        except ArtifactFlowError as error:
            reasons["quantize" if stages else "export, and so none quantize"] = str(error)
    return stages, reasons


def _edit(root: Path, data: DataParams, train: TrainParams, schema: Schema, stages: set[str]) -> list[str]:
    """Edit both files; return which of the `stages` dvc.yaml does not hold any more."""
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    params, pipeline = (yaml.load((root / path).read_text(encoding="utf-8")) for path in (PARAMS, PIPELINE))
    former = params["data"].get("source")
    _edit_data(params["data"], data, schema)
    if list(params["train"])[-1] not in ("estimator", "threads"):  # with it goes the empty line behind it
        params.yaml_set_comment_before_after_key("infer", before="\n")
    _edit_train(params["train"], train)
    deps = pipeline["stages"]["data"]["deps"]
    if former in deps:
        deps.remove(former)
    deps.insert(0, data.source)
    for stage in ("export", "quantize"):
        if stage not in stages:
            params.pop(stage, None)
            pipeline["stages"].pop(stage, None)
    if "export" in params:
        params["export"]["max_difference"] = PARITY
    if "quantize" in params:
        params["quantize"]["max_quality_loss"], params["quantize"]["min_agreement"] = 0.01, 0.98
    else:
        plots = pipeline.get("plots", [])
        plots[:] = [plot for plot in plots if not (isinstance(plot, dict) and "plots/float_8bit.csv" in plot)]
    with replace_files(root / PARAMS, root / PIPELINE) as paths:
        for path, document in zip(paths, (params, pipeline), strict=True):
            with path.open("w", encoding="utf-8") as file:
                yaml.dump(document, file)
    return [stage for stage in sorted(stages) if stage not in pipeline["stages"]]


def _remove_outputs(root: Path, before: Pipeline | None) -> list[str]:
    """Remove the files that the stages of `before` made and no stage makes any more, and return their paths."""
    now = read_pipeline(root)
    if before is None or now is None:
        return []
    former = sorted({path for stage in before.stages.values() for path in stage.outs})
    gone = [path for path in former if not now.makes(path) and (root / path).is_file()]
    for path in gone:
        (root / path).unlink()
    return gone


def _edit_data(block: CommentedMap, data: DataParams, schema: Schema) -> None:
    if data.table is None:
        return
    block.ca.items.pop("source", None)
    block.update({"source": data.source, "preprocess": data.preprocess, "stratify": data.stratify})
    table = CommentedMap(data.table.model_dump(exclude={"columns"}))
    missing = CommentedSeq(data.table.missing)
    missing.fa.set_flow_style()
    table["missing"] = missing
    table["columns"] = CommentedMap(data.table.columns)
    for column in schema.columns:
        if column.note and column.role != "date":
            table["columns"].yaml_add_eol_comment(column.note, column.name, column=0)
    for key, comment in {
        "task": "classification or regression",
        "missing": "what stands for a missing value",
        "drop_missing_target": "true: leave rows without a target out",
        "columns": "each one number, boolean, date, category, id or left out",
    }.items():
        table.yaml_add_eol_comment(comment, key, column=0)
    block.pop("table", None)
    block.insert(1, "table", table)


def _edit_train(block: CommentedMap, train: TrainParams) -> None:
    for key in [key for key in block if key not in ("estimator", "threads")]:
        del block[key]
    block["estimator"] = train.estimator
    for key, value in train.keywords.items():
        block[key] = value
        block.yaml_add_eol_comment(COMMENTS[key], key, column=0)


def _print_schema(source: str, schema: Schema, console: Console) -> None:
    grid = Grid("column", "role", "missing", "distinct", "", box=None, pad_edge=False)
    for column in schema.columns:
        style = "dim" if column.role in ("id", "left out") else ""
        counts = ("" if count is None else str(count) for count in (column.missing, column.distinct))
        grid.add_row(escape(column.name), column.role, *counts, escape(column.note), style=style)
    target = schema.target
    other = "regression" if schema.task == "classification" else "classification"
    grid.add_row(
        escape(target.name),
        "[bold]target[/]",
        str(target.missing),
        str(target.distinct),
        f"{schema.task} (or --task {other})",
    )
    console.print(grid)
    console.print(f"{escape(source)}: {schema.rows} rows")


def sniff_form(path: Path, separator: str | None, header: bool, missing: list[str]) -> Form:
    """Return how a text file is written: the separator as told, else the one that parts its first rows evenly."""
    return Form(separator or sniff_separator(path), header, (*MISSING, *missing))
