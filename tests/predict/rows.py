"""Tables for batches: the rows of a small flow again and again, in files of every format."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from unit.own import Flow, as_csv, as_lines, as_parquet

COMMAND = [sys.executable, "-c", "from artifact_flow.cli import main; main()", "predict"]


def write_mixed(flow: Flow, folder: Path) -> list[Path]:
    """Write the flow's rows as a CSV, JSON lines and a Parquet file, and return their paths in order."""
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text(as_csv(flow.rows[:20]), encoding="utf-8")
    (folder / "b.jsonl").write_text(as_lines(flow.rows[20:50]), encoding="utf-8")
    as_parquet(flow.rows[50:], folder / "c.parquet")
    return sorted(folder.iterdir())


def write_many(flow: Flow, folder: Path, files: int, copies: int) -> Path:
    """Write `files` Parquet files without ids, each with the flow's rows `copies` times, in two row groups."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(flow.rows).drop_columns(["key"])
    whole = pa.concat_tables([table] * copies).combine_chunks()
    for number in range(files):
        pq.write_table(whole, folder / f"{number:03}.parquet", row_group_size=len(whole) // 2)
    return folder


def read_parts(out: Path) -> pa.Table:
    """Return the parts of a folder, one after another."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))])


def read_manifest(out: Path) -> dict[str, Any]:
    """Return a folder's manifest."""
    return dict(json.loads((out / "manifest.json").read_text()))


def contents(out: Path) -> dict[str, bytes]:
    """Return name → bytes of all that a folder holds."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def start(flow: Flow, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start the command in the flow's folder, in a session of its own."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *arguments], cwd=flow.folder, env=environ, stderr=pipe, start_new_session=True)


def die(_thing: str, _shipped: object) -> None:
    """End the worker."""
    os._exit(1)


def fail(_thing: str, _shipped: object) -> None:
    """Raise what nobody expected."""
    raise RuntimeError("no\nluck")
