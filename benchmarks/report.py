"""Report: the figures as tables for people, in the terminal, in the README's summary, and on a page with pictures."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from artifact_flow.tracking.pictures import draw
from benchmarks.figure import Figure, Series

DIGITS = {"s": 2, "ms": 1, "M rows/s": 2, "k$": 1}  # decimals; other units have none
OURS, OTHERS = "#6baed6", "#d9d9d9"  # colours of the bars of a chart
MARKS = r"(<!-- figures -->\n).*(\n<!-- end of figures -->)"


def tabulate_figures(figures: Sequence[Figure], title: str) -> Table:
    """Return a table with one row per figure: both medians with their spread, the ratio, the bar and the verdict."""
    table = Table(title=title, caption="median (min-max); ratio of the medians (min-max of one turn)")
    for heading in ("measured", "compared with", "ratio", "bar", "verdict"):
        table.add_column(heading)
    for figure in figures:
        bar, verdict = _judge(figure)
        colour = "green" if figure.met else "red"
        cells = (f"{series.name}\n{show_values(series)}" for series in (figure.measured, figure.beside))
        table.add_row(*cells, "\n".join(_ratio(figure)).strip(), bar, f"[{colour}]{verdict}[/]", end_section=True)
    return table


def write_summary(figures: Sequence[Figure], readme: Path) -> None:
    """Write between the README's two marks how many bars were met, and a table of the figures that missed theirs."""
    judged = [figure for figure in figures if figure.bar is not None]
    missed = [figure for figure in judged if not figure.met]
    counts = f"{len(judged) - len(missed)} met, {len(missed)} missed"
    lines = [f"`make bench` held {len(judged)} figures against their bars: {counts}."]
    if missed:
        lines += ["", "| missed | compared with | ratio | bar |", "|---|---|---|---|"]
    for figure in missed:
        cells = [f"{series.name}: {show_median(series)}" for series in (figure.measured, figure.beside)]
        lines.append(f"| {' | '.join(cells)} | {figure.ratio:.2f} × | {figure.relation} {figure.bar} × |")
    text = readme.read_text(encoding="utf-8")
    table = "\n".join(lines)
    readme.write_text(re.sub(MARKS, rf"\g<1>{table}\g<2>", text, flags=re.DOTALL), encoding="utf-8")


def write_section(title: str, about: str, figures: Sequence[Figure], picture: str | None) -> str:
    """Return a section of the page: an explanation, a chart, and a table with every median and spread."""
    lines = [f"## {title}", "", about, ""]
    if picture:
        lines += [f"![{title}]({picture})", ""]
    lines += ["| measured | compared with | ratio | bar | |", "|---|---|---|---|---|"]
    for figure in figures:
        cells = [f"{series.name}: **{show_median(series)}**{_spread(series)}" for series in _pair(figure)]
        lines.append(f"| {' | '.join((*cells, ' '.join(_ratio(figure)).strip(), *_judge(figure)))} |")
    return "\n".join(lines)


def draw_bars(series: Sequence[Series]) -> bytes:
    """Return a PNG bar chart of series with one unit: a bar for the median, a line from the lowest to the highest."""
    rows = [
        {
            "name": one.name,
            "median": median(one.values),
            "low": min(one.values),
            "high": max(one.values),
            "shown": show_median(one),
        }
        for one in series
    ]
    name = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 420}}
    colour = {"condition": {"test": "indexof(datum.name, 'artifact-flow') == 0", "value": OURS}, "value": OTHERS}
    width = {"field": "median", "type": "quantitative", "title": series[0].unit}
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": rows},
        "width": 420,
        "encoding": {"y": name},
        "layer": [
            {"mark": "bar", "encoding": {"x": width, "color": colour}},
            {"mark": "rule", "encoding": {"x": {**width, "field": "low"}, "x2": {"field": "high"}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 6},
                "encoding": {"x": {**width, "field": "high"}, "text": {"field": "shown"}},
            },
        ],
    }
    return draw(json.dumps(spec))


def pick_series(figures: Sequence[Figure], unit: str) -> list[Series]:
    """Return each series with a unit once, in the order of the figures, without the allowed maxima."""
    found: Mapping[str, Series] = {series.name: series for figure in figures for series in _pair(figure)}
    return [series for name, series in found.items() if series.unit == unit and name != "allowed"]


def show_median(series: Series) -> str:
    """Return the median with its unit."""
    return f"{_round(median(series.values), series)} {series.unit}"


def show_values(series: Series) -> str:
    """Return the median with its unit and its spread."""
    return show_median(series) + _spread(series)


def _spread(series: Series) -> str:
    low, high = (_round(value, series) for value in (min(series.values), max(series.values)))
    return f" ({low} to {high})" if len(series.values) > 1 and low != high else ""


def _round(value: float, series: Series) -> str:
    return f"{value:,.{DIGITS.get(series.unit, 0)}f}"


def _pair(figure: Figure) -> tuple[Series, Series]:
    return figure.measured, figure.beside


def _ratio(figure: Figure) -> tuple[str, str]:
    low, high = figure.spread
    return f"{_times(figure.ratio)} ×", f"({_times(low)} to {_times(high)})" if low != high else ""


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


def _judge(figure: Figure) -> tuple[str, str]:
    """Return the bar and the verdict in words."""
    if figure.bar is None:
        return "", ""
    return f"{figure.relation} {figure.bar} ×", "met" if figure.met else "missed"
