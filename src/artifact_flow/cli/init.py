"""`artifact-flow init`: make a table of one's own the main flow."""

import argparse
from pathlib import Path

from artifact_flow.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    init = commands.add_parser(
        "init",
        help="make the main flow that of your own table",
        description="Understand a CSV (comma, semicolon or tab; gzip too) or Parquet file, say what was understood, "
        "and write it into params.yaml and dvc.yaml.",
    )
    init.add_argument("--data", required=True, type=Path, metavar="FILE", help="the table, inside the repository")
    init.add_argument("--target", required=True, metavar="COLUMN", help="what is to be predicted")
    init.add_argument("--task", choices=["classification", "regression"], help="instead of what the target suggests")
    init.add_argument("--estimator", metavar="PATH", help="import path, as train.estimator takes it")
    init.add_argument("--separator", metavar="MARK", help="of a CSV, instead of the one its first rows suggest")
    init.add_argument("--no-header", action="store_true", help="the columns are column_1, column_2 and so on")
    init.add_argument(
        "--missing", nargs="+", default=[], metavar="TEXT", help="what stands for a missing value, as '' and NA do"
    )
    init.add_argument("--drop-missing-target", action="store_true", help="leave rows without a target out")
    init.add_argument("--category", nargs="+", default=[], metavar="COLUMN", help="columns to take as text")
    init.add_argument("--leave-out", nargs="+", default=[], metavar="COLUMN", help="columns not to use")
    init.add_argument("--id", metavar="COLUMN", help="the column that names a row")
    init.add_argument("--force", action="store_true", help="overwrite your own params.yaml and dvc.yaml")
    init.set_defaults(run=run, lean=True)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base import determinism  # noqa: F401 - first: it must pin before numpy is imported
    from artifact_flow.init.adopt import Request, adopt_table, sniff_form
    from artifact_flow.init.schema import Overrides

    separator = {"\\t": "\t", "tab": "\t"}.get(arguments.separator, arguments.separator)
    adopt_table(
        Request(
            data=arguments.data,
            target=arguments.target,
            form=sniff_form(arguments.data, separator, not arguments.no_header, arguments.missing),
            overrides=Overrides(
                categories=arguments.category, left_out=arguments.leave_out, id=arguments.id, task=arguments.task
            ),
            estimator=arguments.estimator,
            drop_missing_target=arguments.drop_missing_target,
            force=arguments.force,
        )
    )
