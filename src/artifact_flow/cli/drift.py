"""`artifact-flow drift`: compare logged rows with the training rows."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_flow.cli.arguments import Commands
from artifact_flow.cli.process import note

if TYPE_CHECKING:
    from artifact_flow.serving.drift import Drift


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    drift = commands.add_parser(
        "drift",
        help="compare the rows in a service's logs with the training rows",
        description="Read the JSON lines that `artifact-flow serve` logged, and report for each column how far its "
        "rows have drifted from the training rows. "
        "Exit code 0: compared; 1: with --fail-on, a column has this status or a worse one.",
    )
    drift.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="a log file")
    drift.add_argument(
        "--model",
        type=Path,
        default=Path("model.onnx"),
        metavar="FILE",
        help="the model that the service predicted with; default: model.onnx",
    )
    drift.add_argument("--out", type=Path, metavar="FILE", help="write an HTML page with a chart for each column")
    drift.add_argument("--fail-on", choices=["alert", "warn"], help="exit with code 1 at this status or a worse one")
    drift.add_argument("--min-rows", type=int, default=100, help="fewer rows give no verdict; default: 100")
    drift.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.contract import CONTRACT, read_contract
    from artifact_flow.core.base.files import hash_file, replace_files
    from artifact_flow.core.base.lock import nearest_lock
    from artifact_flow.serving.report import read_logs, render_page, report_drift

    folder = arguments.model.parent
    contract = read_contract(folder / CONTRACT, nearest_lock(folder))
    sha256 = hash_file(arguments.model) if arguments.model.is_file() else None
    logged = read_logs(arguments.logs, contract, sha256)
    drift = report_drift(contract, logged, arguments.min_rows)
    _print_table(drift, contract.rows["train"])
    for count, kind in (
        (logged.others, "lines about other models"),
        (logged.without, "predictions without their input"),
        (logged.damaged, "damaged lines"),
    ):
        if count:
            note(f"skipped: {count} {kind}")
    if arguments.out:
        with replace_files(arguments.out) as (part,):
            part.write_text(render_page(drift, str(arguments.model)), encoding="utf-8")
    failing = ("alert",) if arguments.fail_on == "alert" else ("alert", "warn")
    if arguments.fail_on and drift.status in failing:
        sys.exit(1)


def _print_table(drift: "Drift", trained: int) -> None:
    width = max(len(column.name) for column in drift.columns)
    print(f"{'column':{width}}  status      PSI       p  missing  unseen")
    for column in drift.columns:
        print(
            f"{column.name:{width}}  {column.status:8}  {column.psi:5.3f}  {column.p_value:6.2g}  {column.missing:6.1%}"
            f"  {column.unseen:6.1%}"
        )
    print(f"{drift.status}: {drift.rows} rows compared with {trained} training rows")
