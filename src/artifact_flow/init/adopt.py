"""Adopt: `init` makes a user's own table the main flow: it reads the table, tries the estimator and edits two files.

params.yaml gets the blocks `data` and `train`, and dvc.yaml gets the file as a dependency of `data`. Nothing is written
before all checks have passed.
"""

import shlex
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from artifact_flow.core.base.errors import DataError, ParamsError, closest
from artifact_flow.core.base.files import repository_root
from artifact_flow.core.base.params import (
    PARAMS,
    By,
    DataParams,
    SplitParams,
    TableParams,
    Task,
    TextParams,
    TrainParams,
    load_params,
)
from artifact_flow.core.base.pipeline import PIPELINE
from artifact_flow.init.edit import edit_files
from artifact_flow.init.leaks import find_leaks
from artifact_flow.init.schema import Overrides, Schema, understand
from artifact_flow.init.show import print_leaks, print_next, print_notes, print_schema
from artifact_flow.init.sniff import Given, refuse_values, sniff_form
from artifact_flow.init.trial import load_table, numeric_columns, try_estimator

ESTIMATORS: dict[Task, tuple[str, dict[str, Any]]] = {
    "classification": ("sklearn.linear_model.LogisticRegression", {"C": 1.0, "max_iter": 1000}),
    "regression": ("sklearn.linear_model.Ridge", {"alpha": 1.0}),
}


@dataclass(frozen=True)
class Request:
    """The arguments of the command."""

    data: Path
    target: str
    given: Given
    overrides: Overrides
    estimator: str | None = None
    drop_missing_target: bool = False
    force: bool = False
    split: SplitParams | None = None


def adopt_table(request: Request, root: Path | None = None, console: Console | None = None) -> None:
    """Make `request.data` the table of the main flow, and print its schema.

    Raises ArtifactFlowError, with nothing written, when the table cannot be understood, is outside the repository, or
    when the user's own edits would be overwritten.
    """
    console, root = console or Console(), root or repository_root()
    source = _source_in(root, request.data)
    if not request.force:
        _refuse_overwriting(root)
    form, notes = sniff_form(request.data, request.given)
    refuse_values(request.data, form, request.target)
    schema = understand(request.data, form, request.target, _without_key(request))
    schema = replace(schema, notes=[*notes, *schema.notes])
    schema = _explain_key(schema, request)
    if schema.target.missing and not request.drop_missing_target:
        raise DataError(
            f"{request.data}: {schema.target.missing} of {schema.rows} rows have no value in {request.target}, the "
            "target: fill them, or leave these rows out with --drop-missing-target."
        )
    params = _data_params(source, schema, request)
    train = _train_params(schema.task, request.estimator)
    table = load_table(root, params)
    params = params.model_copy(update={"stratify": table.roles.params.stratify})
    print_schema(source, schema, console)
    reasons = try_estimator(table, train)
    edit_files(root, params, train, schema)
    print_leaks(find_leaks(table.y, numeric_columns(table), table.roles.classes), request.target, console)
    stratified = params.stratify or params.split is not None or not table.roles.classes
    print_notes(stratified, reasons, console)
    print_next(_keep_command(root, source), console)


def _source_in(root: Path, data: Path) -> str:
    resolved = data.resolve()
    if not resolved.is_relative_to(root):
        raise DataError(
            f"{data} is outside the repository {root}, where no clone would find it: copy it in, for example to "
            f"{data.name}."
        )
    return resolved.relative_to(root).as_posix()


def _keep_command(root: Path, source: str) -> str:
    """Return the command that keeps the table: `git add` of it or of its .dvc file, or `dvc add` if git ignores it."""
    if (root / f"{source}.dvc").is_file():
        return f"git add {shlex.quote(source)}.dvc"
    check = ["git", "check-ignore", "--quiet", "--", source]
    ignored = subprocess.run(check, cwd=root, check=False, capture_output=True).returncode == 0
    by_dvc = f"dvc add {shlex.quote(source)}"
    return by_dvc if ignored else f"git add {shlex.quote(source)} (or, for a large file, {by_dvc})"


def _refuse_overwriting(root: Path) -> None:
    params = load_params(root / PARAMS)
    if params.data.table:
        raise ParamsError(
            f"{PARAMS} already describes a table of your own ({params.data.source}): add --force to replace it."
        )
    listed = ["git", "status", "--porcelain", "--", str(PARAMS), str(PIPELINE)]
    changed = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=False).stdout.split()
    if changed:
        raise ParamsError(
            f"{' and '.join(changed[1::2])} has uncommitted changes: commit them, so that nothing is lost, or add "
            "--force."
        )


def _data_params(source: str, schema: Schema, request: Request) -> DataParams:
    table = TableParams(
        target=schema.target.name,
        task=schema.task,
        separator=schema.form.separator,
        header=schema.form.header,
        missing=list(schema.form.missing),
        numbers=dict(schema.form.numbers) or None,
        encoding=schema.form.encoding,
        comment=schema.form.comment,
        drop_missing_target=request.drop_missing_target,
        columns={column.name: column.role for column in schema.columns},
    )
    return DataParams(
        source=source,
        table=table,
        preprocess="auto",
        text=TextParams() if "text" in table.columns.values() else None,
        test_size=0.2,
        seed=42,
        stratify=schema.task == "classification" and request.split is None,
        split=request.split,
    )


def _without_key(request: Request) -> Overrides:
    """Return the user's roles, with the column of groups or of the file's own split left out unless it has one."""
    split, overrides = request.split, request.overrides
    if split is None or split.by == "time" or split.column in (*overrides.categories, *overrides.texts, overrides.id):
        return overrides
    return replace(overrides, left_out=[*overrides.left_out, split.column])


def _explain_key(schema: Schema, request: Request) -> Schema:
    """Return the schema with the reason why the column by which rows are split is no feature."""
    split = request.split
    if split is None or split.column in request.overrides.left_out:
        return schema
    columns = [
        replace(column, note=f"data.split is by this {split.by}")
        if column.name == split.column and column.role == "left out" and split.by != "time"
        else column
        for column in schema.columns
    ]
    return replace(schema, columns=columns)


def read_split(text: str | None, test: list[str] | None) -> SplitParams | None:
    """Return the split that `--split-by` and `--test-values` name, or None without; raise ParamsError if it is none."""
    kind, _, column = (text or "").partition(":")
    kinds: tuple[By, ...] = get_args(By)
    by = next((known for known in kinds if known == kind), None)
    if text is not None and (by is None or not column):
        raise ParamsError(
            f"--split-by is {text!r}{closest(kind, kinds)}; allowed: {', '.join(f'{known}:COLUMN' for known in kinds)}."
        )
    if test is not None and by != "column":
        raise ParamsError("--test-values are the values of the column that splits: add --split-by column:COLUMN.")
    return SplitParams(by=by, column=column, test=test) if by else None


def _train_params(task: Task, estimator: str | None) -> TrainParams:
    path, keywords = ESTIMATORS[task]
    if estimator and estimator != path:
        path, keywords = estimator, {}
    return TrainParams(estimator=path, threads=1, **keywords)
