"""`artifact-flow merge-lock`: merge a dvc.lock."""

import argparse
import sys
from pathlib import Path

from artifact_flow.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    merge = commands.add_parser(
        "merge-lock",
        help="merge a dvc.lock stage by stage, as git's merge driver, which `make setup` installs",
        description="Merge three versions of a dvc.lock into the second. Exit code 0: merged; 1: both sides changed a "
        "stage, which stays as it was here, so `dvc repro` comes before the commit.",
    )
    sides = ("base", "the common ancestor's, git's %%O"), ("ours", "this branch's, %%A"), ("theirs", "the other's, %%B")
    for name, what in sides:
        merge.add_argument(name, type=Path, metavar=name.upper(), help=what)
    merge.add_argument("path", nargs="?", type=Path, default=Path("dvc.lock"), metavar="PATH", help="the lock's, %%P")
    merge.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.proof.merge_lock import merge_files

    path = arguments.path
    if open_ := merge_files(arguments.base, arguments.ours, arguments.theirs, path):
        pipeline = "" if path.parent == Path() else f" {path.with_name('dvc.yaml')}"
        sys.exit(
            f"{path}: no side has reproduced {', '.join(open_)} as merged: run `dvc repro{pipeline}`, then `git add` "
            "what it wrote, and commit."
        )
