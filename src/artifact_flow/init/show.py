"""Show: what `init` prints: the schema of the table, then warnings and notes, then the next commands."""

import shlex
from collections.abc import Iterable, Mapping

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from artifact_flow.core.base.params import PARAMS
from artifact_flow.core.base.pipeline import PIPELINE
from artifact_flow.init.leaks import Leak
from artifact_flow.init.schema import Schema


def print_schema(source: str, schema: Schema, console: Console) -> None:
    """Print one line for each column, then the number of rows."""
    rows = [("column", "role", "missing", "distinct", "")]
    for column in schema.columns:
        missing, distinct = ("" if count is None else str(count) for count in (column.missing, column.distinct))
        rows.append((column.name, column.role, missing, distinct, column.note))
    target = schema.target
    rows.append((target.name, "target", str(target.missing), str(target.distinct), target.note))
    widths = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
    text = Text()  # rich's own table takes a second for 2000 columns
    for place, row in enumerate(rows):
        style = "dim" if row[1] in ("id", "left out") else "bold" if place in (0, len(rows) - 1) else ""
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        text.append("  ".join(padded).rstrip() + "\n", style)
    console.print(text, soft_wrap=True, end="", highlight=False)
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
