"""`artifact-flow drift`: compare logged rows with the training rows."""

import argparse
import sys
from pathlib import Path

from artifact_flow.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    drift = commands.add_parser(
        "drift",
        help="compare the rows in a service's logs with those of the training",
        description="Read the JSON lines that `artifact-flow serve` wrote, and say column by column how far the rows "
        "lie from the contract's reference.",
    )
    drift.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="a log file")
    drift.add_argument(
        "--model", type=Path, default=Path("model.onnx"), metavar="FILE", help="whose rows; default: model.onnx"
    )
    drift.add_argument("--out", type=Path, metavar="FILE", help="write an HTML page with a chart a column")
    drift.add_argument("--fail-on", choices=["alert", "warn"], help="exit 1 from this status on")
    drift.add_argument("--min-rows", type=int, default=100, help="fewer say nothing; default: 100")
    drift.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base.contract import CONTRACT, read_contract
    from artifact_flow.core.base.files import hash_file, replace_files
    from artifact_flow.core.base.lock import nearest_lock
    from artifact_flow.serving.report import read_logs, render_page, report_drift

    folder = arguments.model.parent
    contract = read_contract(folder / CONTRACT, nearest_lock(folder))
    sha256 = hash_file(arguments.model) if arguments.model.is_file() else None
    logged = read_logs(arguments.logs, contract, sha256)
    drift = report_drift(contract, logged, arguments.min_rows)
    width = max(len(column.name) for column in drift.columns)
    print(f"{'column':{width}}  status      PSI       p  missing  unseen")
    for column in drift.columns:
        print(
            f"{column.name:{width}}  {column.status:8}  {column.psi:5.3f}  {column.p_value:6.2g}  {column.missing:6.1%}"
            f"  {column.unseen:6.1%}"
        )
    print(f"{drift.status}: {drift.rows} rows against {contract.rows['train']} of the training")
    for count, words in (
        (logged.others, "lines about other models"),
        (logged.without, "predictions without their input"),
        (logged.damaged, "damaged lines"),
    ):
        if count:
            print(f"left aside: {count} {words}", file=sys.stderr)
    if arguments.out:
        with replace_files(arguments.out) as (part,):
            part.write_text(render_page(drift, str(arguments.model)), encoding="utf-8")
    worst = ("alert",) if arguments.fail_on == "alert" else ("alert", "warn")
    if arguments.fail_on and drift.status in worst:
        sys.exit(1)
