"""Sweep: parameter values tried as DVC experiments in DVC's queue, and a table of the results.

For an experiment without a result, because it failed or did not run, DVC shows the metrics of the commit that it
started from. The table here leaves those metrics out.
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import repository_root
from artifact_flow.core.base.params import PARAMS
from artifact_flow.core.model.predictions import METRICS
from artifact_flow.tracking.dvc import run_dvc
from artifact_flow.tracking.result import flatten

QUEUE = Path(".dvc/tmp/exps")
SUCCESS = "success"


@dataclass(frozen=True)
class Row:
    """The workspace, a commit, or an experiment on it: its parameters, and its metrics if it has a result."""

    revision: str
    name: str  # the experiment's name, else empty
    state: str  # the experiment's state: success, failed, queued, running; else empty
    params: Mapping[str, Any]  # "train.C" → value
    metrics: Mapping[str, Any]  # "test.accuracy" → value

    @property
    def finished(self) -> bool:
        """Whether it has a result."""
        return self.state in ("", SUCCESS)


def run_sweep(settings: Sequence[str], jobs: int) -> None:
    """Queue a DVC experiment for each combination of values, and run the queue with `jobs` workers.

    A setting is an argument of `dvc exp run --set-param`, such as "train.C=0.1,1". Raises TrackError when DVC rejects
    one. KeyboardInterrupt stops the workers and removes the experiments that did not run.
    """
    given = [argument for setting in settings for argument in ("--set-param", setting)]
    if run_dvc("exp", "run", "--queue", *given).returncode:
        raise TrackError("`dvc exp run --queue` failed for the reason above: correct the settings.")
    try:
        run_dvc("exp", "run", "--run-all", "--jobs", str(jobs))
    except KeyboardInterrupt:
        run_dvc("queue", "stop", "--kill")
        time.sleep(2)  # the workers need time to end
        run_dvc("queue", "remove", "--all")
        shutil.rmtree(repository_root() / QUEUE, ignore_errors=True)  # otherwise DVC would wait for the tasks in it
        raise


def list_experiments() -> list[Row]:
    """Return the workspace, the commit and its experiments in the order of DVC's table.

    Raises TrackError when DVC fails.
    """
    listed = run_dvc("exp", "show", "--json", capture=True)
    if listed.returncode:
        raise TrackError(
            f"`dvc exp show` failed: {' '.join(listed.stderr.split())[:300]}: fix that and run the same command again."
        )
    rows = []
    for baseline in json.loads(listed.stdout):
        rows.append(_read_row(baseline, None))
        for experiment in baseline["experiments"] or ():
            state = (experiment["executor"] or {}).get("state", SUCCESS)
            rows.append(_read_row(experiment["revs"][0], state))
    return rows


def tabulate(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table that shows only metrics and parameters that differ."""
    metrics = _differing([row.metrics for row in rows if row.finished])
    params = _differing([row.params for row in rows])
    lines = [["Experiment", "State", *metrics, *params]]
    for row in rows:
        title = f"{row.revision} [{row.name}]" if row.name else row.revision
        values = [row.metrics.get(key) for key in metrics] + [row.params.get(key) for key in params]
        lines.append([title, row.state or "-", *map(_show, values)])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _read_row(shown: Mapping[str, Any], state: str | None) -> Row:
    data = shown["data"] or {}
    row = Row(
        revision=str(shown["name"] or shown["rev"]) if state is None else str(shown["rev"])[:7],
        name="" if state is None else str(shown["name"] or ""),
        state=state or "",
        params=_values(data.get("params"), PARAMS),
        metrics={},
    )
    return replace(row, metrics=_values(data.get("metrics"), METRICS)) if row.finished else row


def _values(files: Mapping[str, Any] | None, main: Path) -> dict[str, Any]:
    """Return key → value: "train.C" for the main file, "file:key" for other files."""
    values: dict[str, Any] = {}
    for file, content in (files or {}).items():
        values |= flatten(content.get("data") or {}, "" if file == str(main) else f"{file}:")
    return values


def _differing(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ between the mappings, in the order of their first occurrence."""
    keys = dict.fromkeys(key for mapping in mappings for key in mapping)
    return [key for key in keys if any(mapping.get(key) != mappings[0].get(key) for mapping in mappings)]


def _show(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
