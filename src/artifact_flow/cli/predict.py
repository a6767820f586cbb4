"""`artifact-flow predict`: predict rows of files."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_flow.cli.commands import Commands
from artifact_flow.cli.models import find_model

if TYPE_CHECKING:
    from artifact_flow.predict.files import Report


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    predict = commands.add_parser(
        "predict",
        help="predict the rows of CSV, Parquet or JSON lines files",
        description="Check rows against the contract beside the model, predict them in constant memory, and say on "
        "stderr what was unusual. Order and ids are kept. Folders, patterns and URLs go part by part into a folder, "
        "where the same command goes on after an interruption.",
    )
    predict.add_argument("inputs", nargs="+", metavar="IN", help="a file, a folder, a pattern or a URL; - is stdin")
    predict.add_argument(
        "--model", default="model.onnx", metavar="MODEL", help="a file, or models:/iris@champion; default: model.onnx"
    )
    predict.add_argument(
        "--out",
        default="-",
        help="CSV, or Parquet or JSON lines by its name (.parquet, .jsonl); a folder (scored/) or URL takes a file for "
        "each part; default: standard output, as CSV",
    )
    predict.add_argument("--format", choices=["parquet", "csv", "jsonl"], help="of parts; default: parquet")
    cluster = predict.add_mutually_exclusive_group()
    cluster.add_argument("--workers", type=int, metavar="N", help="predict parts by N processes of this machine")
    cluster.add_argument("--scheduler", metavar="ADDRESS", help="by a Dask cluster, such as tcp://10.0.0.5:8786")
    predict.set_defaults(run=run, lean=True)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base import determinism  # noqa: F401 - first: it must pin before numpy is imported
    from artifact_flow.core.base.errors import FileError
    from artifact_flow.predict.files import predict_files

    model, allowed = find_model(arguments.model)
    if _goes_by_parts(arguments):
        return _predict_parts(arguments, model, allowed)
    if arguments.format:
        raise FileError(f"--format is for parts in a folder: the name of --out {arguments.out} says what it is.")
    try:
        report = predict_files([Path(name) for name in arguments.inputs], model, Path(arguments.out), allowed)
    except BrokenPipeError:  # whoever reads our output has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    for name, sha256 in report.sha256.items():
        print(f"{name}: sha256 {sha256}", file=sys.stderr)
    _tell_unusual(report)
    print(f"{report.rows} rows predicted by {arguments.model}", file=sys.stderr)
    return None


def _goes_by_parts(arguments: argparse.Namespace) -> bool:
    """Tell whether parts are asked for: several files by one name, a folder to write to, several processes."""
    out = arguments.out
    several = any("://" in name or (set("*?[") & set(name) and not Path(name).exists()) for name in arguments.inputs)
    folders = any(Path(name).is_dir() for name in (*arguments.inputs, out))
    cluster = arguments.scheduler or arguments.workers is not None
    return bool(several or folders or cluster or "://" in out or out.endswith("/"))


def _predict_parts(arguments: argparse.Namespace, model: Path, allowed: tuple[str, ...]) -> None:
    from artifact_flow.core.base.errors import ScaleError

    try:
        from artifact_flow.predict.batch import Job, run_job
    except ModuleNotFoundError as error:
        raise ScaleError(f"{error.name} is not installed: `make scale` installs what parts need.") from error
    if arguments.workers is not None and not 1 <= arguments.workers <= 64:
        raise ScaleError(f"--workers is {arguments.workers}: give 1 to 64.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which a container's first process would ignore
    job = Job(
        inputs=arguments.inputs,
        model=model,
        out=arguments.out,
        format=arguments.format or "parquet",
        allowed=allowed,
        scheduler=arguments.scheduler,
        workers=arguments.workers,
    )
    try:
        summary = run_job(job)
    except KeyboardInterrupt:
        print("stopped: finished parts stay, and the same command goes on from here", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    _tell_unusual(summary)
    if summary.rejected:
        print(f"{summary.rejected} rows do not fit the contract: rejected-*.jsonl names each", file=sys.stderr)
    if summary.kept:
        print(f"{summary.kept} parts of an earlier run were as they were written, and kept", file=sys.stderr)
    print(
        f"{summary.rows} rows predicted by {arguments.model} into {summary.parts} parts in {arguments.out}",
        file=sys.stderr,
    )


def _tell_unusual(report: "Report") -> None:
    for name, columns in report.ignored.items():
        print(f"{name}: ignored, because the model does not know them: {', '.join(columns)}", file=sys.stderr)
    for column, rows in report.findings.out_of_range.items():
        print(f"{column}: {rows} rows out of the training range", file=sys.stderr)
    for column, values in report.findings.unseen.items():
        seen = f"{sum(values.values())} rows with a value that was not seen in training"
        print(f"{column}: {seen}: {', '.join(values)}", file=sys.stderr)
