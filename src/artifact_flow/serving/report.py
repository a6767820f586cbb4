"""Report: measure drift from log files and render it as one self-contained HTML page."""

import html
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import numpy as np

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.encoding import measure_rows
from artifact_flow.core.base.errors import DataError
from artifact_flow.serving.drift import ColumnDrift, Drift, measure_drift
from artifact_flow.serving.plain import Row
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.rows import Rows

CHUNK_ROWS = 10_000  # rows encoded at a time
CHARTS = 60  # columns that get a chart, the most drifted
WIDTH, HEIGHT = 320, 96  # of a chart, in pixels

TEMPLATE = Path(__file__).parent / "static" / "drift.html"


@dataclass
class LoggedRows:
    """The encoded rows X [rows, features] of one model in log files, and the numbers of lines that were skipped."""

    X: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    others: int = 0  # lines about other models
    without: int = 0  # predictions logged without their input
    damaged: int = 0  # truncated or invalid lines


def read_logs(paths: Sequence[Path], contract: Contract, sha256: str | None) -> LoggedRows:
    """Return the rows in log files of the model of a contract; `sha256` is the hash of its file if it is known.

    Raises DataError when a file cannot be read, or no file contains a row.
    """
    rows, logged, waiting = Rows(contract, CHUNK_ROWS), LoggedRows(), list[Row]()
    chunks = []
    for line in _lines(paths):
        waiting += _rows(line, rows, logged, sha256)
        if len(waiting) >= CHUNK_ROWS:
            chunks.append(measure_rows(contract.features, rows.encode(waiting)))
            waiting.clear()
    if waiting:
        chunks.append(measure_rows(contract.features, rows.encode(waiting)))
    if not chunks:
        raise DataError(
            f"{', '.join(map(str, paths))}: no rows of this model ({logged.others} lines about other models, "
            f"{logged.without} without their input, {logged.damaged} damaged): name the logs of the service that "
            "serves this model, or the served model with --model."
        )
    logged.X = np.concatenate(chunks)
    return logged


def report_drift(contract: Contract, logged: LoggedRows, min_rows: int) -> Drift:
    """Return the drift of logged rows from the training rows of the contract's model."""
    return measure_drift(contract.features, logged.X, contract.rows["train"], min_rows)


def render_page(drift: Drift, title: str) -> str:
    """Return the drift as an HTML page."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=html.escape(title),
        status=drift.status,
        css=_css(drift.status),
        count=drift.rows,
        columns=len(drift.columns),
        least=drift.min_rows,
        rows="".join(map(_table_row, drift.columns)),
        charts="".join(map(_chart, drift.columns[:CHARTS])),
    )


def _lines(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        try:
            with path.open("rb") as file:
                yield from file
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}: name a log of `artifact-flow serve`.") from error


def _rows(line: bytes, rows: Rows, logged: LoggedRows, sha256: str | None) -> list[Row]:
    """Return the rows of a log line, which has those of a batch as columns; none if it is not about a prediction."""
    try:
        entry = json.loads(line)
        if "prediction" not in entry:
            return []  # a refusal, or a line that is not about a prediction
        if sha256 and entry.get("model_sha256") != sha256:
            logged.others += 1
            return []
        if not entry.get("input"):
            logged.without += 1
            return []
        if "rows" not in entry:
            return [rows.parse_one(json.dumps(entry["input"]).encode())]
        names, values = entry["input"].keys(), zip(*entry["input"].values(), strict=True)
        return [rows.parse_one(json.dumps(dict(zip(names, row, strict=True))).encode()) for row in values]
    except (ValueError, TypeError, AttributeError, Problem):
        logged.damaged += 1
        return []


def _table_row(column: ColumnDrift) -> str:
    return (
        f'<tr><td>{html.escape(column.name)}</td><td class="{_css(column.status)}">{column.status}</td>'
        f"<td>{column.psi:.3f}</td><td>{column.p_value:.2g}</td><td>{column.missing:.1%}</td>"
        f"<td>{column.missing_reference:.1%}</td><td>{column.unseen:.1%}</td></tr>"
    )


def _chart(column: ColumnDrift) -> str:
    """Return a column's bins as pairs of bars: training and logged."""
    step = WIDTH / len(column.bins)
    top = max([*column.reference, *column.current, 1e-9])
    bars = []
    for place, (name, was, now) in enumerate(zip(column.bins, column.reference, column.current, strict=True)):
        label = html.escape(f"{name}: {was:.1%} in training, {now:.1%} now")
        left, width = place * step, step * 0.4
        bars.append(f"<g><title>{label}</title>{_bar('was', left, width, was / top)}")
        bars.append(f"{_bar('now', left + width, width, now / top)}</g>")
    caption = (
        f"{html.escape(column.name)}: PSI {column.psi:.3f}, <span class='{_css(column.status)}'>{column.status}</span>"
    )
    label = html.escape(f"{column.name}: shares in training and now")
    image = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(bars)}</svg>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _bar(kind: str, left: float, width: float, share: float) -> str:
    height = share * HEIGHT
    return f'<rect class="{kind}" x="{left:.1f}" y="{HEIGHT - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _css(status: str) -> str:
    return status.partition(" ")[0]
