"""Report: the figures as a table for people, in the terminal and in the README."""

import re
from pathlib import Path
from statistics import median

from rich.table import Table

from benchmarks.figure import Figure, Series


def tabulate_figures(figures: list[Figure], title: str) -> Table:
    """Return a row a figure: both medians with their spread, the ratio, the bar and the verdict."""
    table = Table(title=title, caption="median (min-max); ratio of the medians (min-max of one turn)")
    for heading in ("measured", "beside", "ratio", "bar", "verdict"):
        table.add_column(heading)
    for figure in figures:
        low, high = figure.spread
        table.add_row(
            _cell(figure.measured),
            _cell(figure.beside),
            f"{figure.ratio:.2f}\n({low:.2f}-{high:.2f})",
            f"{figure.relation} {figure.bar}",
            "[green]met[/]" if figure.met else "[red]missed[/]",
            end_section=True,
        )
    return table


def write_figures(figures: list[Figure], caption: str, readme: Path) -> None:
    """Put the figures as a Markdown table between the README's two marks, under what they were measured on."""
    lines = [caption, "", "| measured | beside | ratio | bar |", "|---|---|---|---|"]
    for figure in figures:
        cells = [
            f"{series.name}: {_round(median(series.values), series)}" for series in (figure.measured, figure.beside)
        ]
        lines.append(f"| {' | '.join(cells)} | {figure.ratio:.2f} × | {figure.relation} {figure.bar} × |")
    table = "\n".join(lines)
    marks = r"(<!-- figures -->\n).*(\n<!-- end of figures -->)"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(re.sub(marks, rf"\g<1>{table}\g<2>", text, flags=re.DOTALL), encoding="utf-8")


def _cell(series: Series) -> str:
    middle, low, high = (_round(pick(series.values), series, digits=3) for pick in (median, min, max))
    return f"{series.name}\n{middle} ({low} - {high})" if len(series.values) > 1 else f"{series.name}\n{middle}"


def _round(value: float, series: Series, digits: int = 2) -> str:
    return f"{value:.{digits if series.unit == 's' else 0 if series.unit == 'MB' else 1}f} {series.unit}"
