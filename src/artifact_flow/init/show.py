"""Show: what `init` prints: the schema of the table, then warnings and notes, then the next commands."""

import shlex
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from artifact_flow.core.base.params import PARAMS
from artifact_flow.core.base.pipeline import PIPELINE
from artifact_flow.init.leaks import Leak
from artifact_flow.init.schema import Schema


def print_schema(source: str, schema: Schema, console: Console) -> None:
    """Print one line for each column, then the number of rows."""
    grid = Grid("column", "role", "missing", "distinct", "", box=None, pad_edge=False)
    for column in schema.columns:
        style = "dim" if column.role in ("id", "left out") else ""
        counts = ("" if count is None else str(count) for count in (column.missing, column.distinct))
        grid.add_row(escape(column.name), column.role, *counts, escape(column.note), style=style)
    target = schema.target
    grid.add_row(
        escape(target.name),
        "[bold]target[/]",
        str(target.missing),
        str(target.distinct),
        escape(target.note),
    )
    console.print(grid)
    console.print(f"{escape(source)}: {schema.rows} rows")
    for note in schema.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)


def print_leaks(leaks: Iterable[Leak], target: str, console: Console) -> None:
    """Print a warning for each column, or sum of columns, that leaks the target."""
    for leak in leaks:
        console.print(
            f"[yellow]warning:[/] {escape(' + '.join(leak.names))} {leak.verb} {escape(target)}, the target, and will "
            f"not be known when you predict it; leave such columns out: --leave-out {escape(shlex.join(leak.names))} "
            "--force",
            soft_wrap=True,
        )


def print_notes(stratified: bool, reasons: Mapping[str, str], console: Console) -> None:
    """Print what `init` could not do; `reasons` are by the stages that do not apply to the estimator."""
    if not stratified:
        console.print("[yellow]note:[/] not stratified: some class has too few rows to be in both splits")
    for stage, reason in reasons.items():
        console.print(f"[yellow]note:[/] {stage} does not apply: {escape(reason)}", soft_wrap=True)


def print_next(command: str, console: Console) -> None:
    """Print the next steps, the first of which is the command that keeps the table."""
    console.print(
        f"{PARAMS} and {PIPELINE} are written. Now: {escape(command)}, then make, and commit the result.",
        soft_wrap=True,
    )
