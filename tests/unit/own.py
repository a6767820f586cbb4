"""A small table of one's own with every kind of column, and the flow made from it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.legend import ColumnLegend
from artifact_flow.core.base.lock import LOCK
from artifact_flow.core.base.params import (
    DataParams,
    ExportParams,
    InferParams,
    Params,
    Role,
    TableParams,
    Task,
    TrainParams,
)
from artifact_flow.core.table.datasets import load_own
from artifact_flow.core.table.tables import DATA, Table, read_table, split_rows, write_table
from artifact_flow.stages import export, infer, train

ROLES: dict[str, Role] = {
    "key": "id",
    "size": "number",
    "open": "boolean",
    "since": "date",
    "colour": "category",
    "remark": "left out",
}


def draw_rows(rows: int = 80) -> list[dict[str, Any]]:
    """Return raw rows, gaps and all, whose target depends on every feature."""
    rng, drawn = np.random.default_rng(11), []
    for i in range(rows):
        size, colour, open_ = (
            round(float(rng.normal()), 3),
            rng.choice(["blue", "red", "Müller, H."]),
            rng.random() < 0.5,
        )
        day = int(rng.integers(0, 600))
        price = 3 * size + 2 * open_ + (colour == "red") + day / 300 + rng.normal(0, 0.3)
        row = {
            "key": f"k{i}",
            "size": size,
            "open": "Yes" if open_ else "No",
            "since": str(np.datetime64("2022-01-01") + day),
            "colour": str(colour),
            "remark": f"no. {i}",
            "price": round(float(price), 3),
            "class": "high" if price > 3 else "low" if price < 1 else "middle",
        }
        for name in ("size", "open", "since", "colour"):
            if rng.random() < 0.08:
                row[name] = None
        drawn.append(row)
    return drawn


def as_csv(rows: list[dict[str, Any]], separator: str = ",") -> str:
    """Return rows as CSV, texts in quotes."""
    lines = [separator.join(rows[0])]
    for row in rows:
        lines.append(separator.join("" if v is None else json.dumps(v, ensure_ascii=False) for v in row.values()))
    return "\n".join(lines) + "\n"


def as_lines(rows: list[dict[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]], path: Path) -> Path:
    """Write rows as Parquet and return the path."""
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def own_params(source: Path, task: Task = "classification", **keywords: Any) -> DataParams:
    """Return the `data` block of a file of such rows."""
    target, other = ("class", "price") if task == "classification" else ("price", "class")
    table = TableParams(target=target, task=task, columns={**ROLES, other: "left out"})
    block = {"preprocess": "auto", "test_size": 0.25, "seed": 1, "stratify": False} | keywords
    return DataParams(source=str(source), table=table, **block)


def load_rows(folder: Path, task: Task = "classification") -> Table:
    """Return such rows as a table with its split."""
    source = folder / "own.csv"
    source.write_text(as_csv(draw_rows()), encoding="utf-8")
    return split_rows(load_own(own_params(source, task)))


@dataclass(frozen=True)
class Flow:
    """A folder with data.parquet, the model in both forms, its contract and its predictions."""

    folder: Path
    rows: list[dict[str, Any]]
    table: Table


def write_lock(folder: Path, *outputs: str) -> None:
    """Write a dvc.lock in which stage train made these files, as DVC does."""
    outs = [{"path": path, "md5": hash_file(folder / path, "md5")} for path in outputs]
    (folder / LOCK).write_text(json.dumps({"schema": "2.0", "stages": {"train": {"cmd": "train", "outs": outs}}}))


def make_flow(folder: Path, task: Task = "classification", legend: dict[str, ColumnLegend] | None = None) -> Flow:
    """Run the stages on such rows."""
    table = load_rows(folder, task)
    write_table(table, folder / DATA)
    estimator = "LogisticRegression" if task == "classification" else "Ridge"
    params = Params(
        data=table.roles.params,
        train=TrainParams(estimator=f"sklearn.linear_model.{estimator}", threads=1),
        infer=InferParams(decimals=8),
        export=ExportParams(opset=17, max_difference=1e-4, columns=legend),
    )
    for stage in (train, infer, export):
        stage.main(params, folder)
    write_lock(folder, "model_train.pkl")
    return Flow(folder, draw_rows(), read_table(folder / DATA))
