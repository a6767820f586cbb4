"""`artifact-flow init`: make your own table the main flow."""

import argparse
from pathlib import Path

from artifact_flow.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    init = commands.add_parser(
        "init",
        help="make your own table the main flow",
        description="Detect the columns of a CSV (comma, semicolon, tab, bar or blanks; also gzip) or Parquet file, "
        "print what was detected, and write it to params.yaml and dvc.yaml.",
    )
    init.add_argument("--data", required=True, type=Path, metavar="FILE", help="the table, inside the repository")
    init.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    init.add_argument(
        "--task", choices=["classification", "regression"], help="default: the task that the target suggests"
    )
    init.add_argument("--estimator", metavar="PATH", help="import path, as in train.estimator")
    init.add_argument("--separator", metavar="MARK", help="the CSV's separator; default: detected from its first rows")
    init.add_argument("--encoding", metavar="NAME", help="such as cp1252; default: UTF-8, or guessed from the bytes")
    init.add_argument("--no-header", action="store_true", help="name the columns column_1, column_2 and so on")
    init.add_argument(
        "--missing", nargs="+", default=[], metavar="TEXT", help="texts for missing values, in addition to '' and NA"
    )
    init.add_argument(
        "--decimal", choices=[".", ","], help="the decimal mark; default: the one that the values suggest"
    )
    init.add_argument("--drop-missing-target", action="store_true", help="leave out rows without a target")
    init.add_argument("--category", nargs="+", default=[], metavar="COLUMN", help="columns to read as categories")
    init.add_argument("--text", nargs="+", default=[], metavar="COLUMN", help="columns of free text to learn from")
    init.add_argument("--leave-out", nargs="+", default=[], metavar="COLUMN", help="columns not to use")
    init.add_argument(
        "--day-first", nargs="+", default=[], metavar="COLUMN", help="dates with the day first: 28.1.2024"
    )
    init.add_argument(
        "--month-first", nargs="+", default=[], metavar="COLUMN", help="dates with the month first: 1/28/2024"
    )
    init.add_argument("--id", metavar="COLUMN", help="the column that identifies a row")
    init.add_argument(
        "--split-by", metavar="KIND:COLUMN", help="group:COLUMN, time:COLUMN or column:COLUMN; default: a random split"
    )
    init.add_argument(
        "--test-values", nargs="+", metavar="VALUE", help="with column:COLUMN, its values in test rows; default: test"
    )
    init.add_argument("--force", action="store_true", help="overwrite your changes in params.yaml and dvc.yaml")
    init.set_defaults(run=run, lean=True)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base import determinism  # noqa: F401 - first: it must pin before numpy is imported
    from artifact_flow.init.adopt import Request, adopt_table, read_split
    from artifact_flow.init.schema import Overrides
    from artifact_flow.init.sniff import Given

    separator = {"\\t": "\t", "tab": "\t", "blank": " "}.get(arguments.separator, arguments.separator)
    adopt_table(
        Request(
            data=arguments.data,
            target=arguments.target,
            given=Given(separator, not arguments.no_header, tuple(arguments.missing), arguments.encoding),
            overrides=Overrides(
                categories=arguments.category,
                texts=arguments.text,
                left_out=arguments.leave_out,
                day_first=arguments.day_first,
                month_first=arguments.month_first,
                id=arguments.id,
                task=arguments.task,
                decimal=arguments.decimal,
            ),
            estimator=arguments.estimator,
            drop_missing_target=arguments.drop_missing_target,
            force=arguments.force,
            split=read_split(arguments.split_by, arguments.test_values),
        )
    )
