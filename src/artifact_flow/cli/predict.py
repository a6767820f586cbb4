"""`artifact-flow predict`: predict the rows of files."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_flow.cli.arguments import MODEL, Commands, check_processes
from artifact_flow.cli.models import find_model
from artifact_flow.cli.process import exits_on_interrupt, note, requires_extra

if TYPE_CHECKING:
    from artifact_flow.predict.files import Report


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    predict = commands.add_parser(
        "predict",
        help="predict the rows of CSV, Parquet or JSON lines files",
        description="Check rows against the contract in the model's folder, predict them in constant memory, and "
        "report unusual values on standard error. Row order and ids are kept. Folders, patterns and URLs are predicted "
        "part by part into a folder; after an interruption, run the same command again to resume.",
    )
    predict.add_argument("inputs", nargs="+", metavar="IN", help="a file, folder, pattern or URL; - is standard input")
    predict.add_argument("--model", default="model.onnx", metavar="MODEL", help=MODEL)
    predict.add_argument(
        "--out",
        default="-",
        help="a CSV file, or Parquet or JSON lines by its name (.parquet, .jsonl); a folder (scored/) or URL gets a "
        "file for each part; default: standard output, as CSV",
    )
    predict.add_argument("--format", choices=["parquet", "csv", "jsonl"], help="the format of parts; default: parquet")
    cluster = predict.add_mutually_exclusive_group()
    cluster.add_argument("--workers", type=int, metavar="N", help="predict parts in N processes on this machine")
    cluster.add_argument(
        "--scheduler", metavar="ADDRESS", help="predict parts on a Dask cluster, such as tcp://10.0.0.5:8786"
    )
    predict.set_defaults(run=run, lean=True)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base import determinism  # noqa: F401 - first: it must pin before numpy is imported
    from artifact_flow.core.base.errors import FileError
    from artifact_flow.predict.files import predict_files

    model, allowed = find_model(arguments.model)
    if _needs_parts(arguments):
        return _predict_parts(arguments, model, allowed)
    if arguments.format:
        raise FileError(f"--format applies to parts in a folder: the name of --out {arguments.out} decides the format.")
    try:
        report = predict_files([Path(name) for name in arguments.inputs], model, Path(arguments.out), allowed)
    except BrokenPipeError:  # the reader of our output has stopped, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    for name, sha256 in report.sha256.items():
        note(f"{name}: sha256 {sha256}")
    _note_unusual(report)
    note(f"{report.rows} rows predicted by {arguments.model}")
    return None


def _needs_parts(arguments: argparse.Namespace) -> bool:
    """Return whether to predict part by part: several files in one name, an output folder, or several processes."""
    out = arguments.out
    several = any("://" in name or (set("*?[") & set(name) and not Path(name).exists()) for name in arguments.inputs)
    folders = any(Path(name).is_dir() for name in (*arguments.inputs, out))
    cluster = arguments.scheduler or arguments.workers is not None
    return bool(several or folders or cluster or "://" in out or out.endswith("/"))


def _predict_parts(arguments: argparse.Namespace, model: Path, allowed: tuple[str, ...]) -> None:
    from artifact_flow.core.base.errors import ScaleError

    with requires_extra("`make scale` installs what predicting parts needs", ScaleError):
        from artifact_flow.predict.batch import Job, run_job
    check_processes("--workers", arguments.workers, ScaleError)
    job = Job(
        inputs=arguments.inputs,
        model=model,
        out=arguments.out,
        format=arguments.format or "parquet",
        allowed=allowed,
        scheduler=arguments.scheduler,
        workers=arguments.workers,
    )
    with exits_on_interrupt("stopped: finished parts are kept; run the same command again to resume"):
        summary = run_job(job)
    _note_unusual(summary)
    if summary.rejected:
        note(f"{summary.rejected} rows do not fit the contract: rejected-*.jsonl lists them")
    if summary.kept:
        note(f"{summary.kept} parts of an earlier run were unchanged and kept")
    note(f"{summary.rows} rows predicted by {arguments.model} into {summary.parts} parts in {arguments.out}")


def _note_unusual(report: "Report") -> None:
    for name, columns in report.ignored.items():
        note(f"{name}: ignored columns that the model does not use: {', '.join(columns)}")
    for column, rows in report.findings.out_of_range.items():
        note(f"{column}: {rows} rows outside the training range")
    for column, values in report.findings.unseen.items():
        rows = sum(values.values())
        note(f"{column}: {rows} rows with a value not seen in training: {', '.join(values)}")
