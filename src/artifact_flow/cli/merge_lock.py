"""`artifact-flow merge-lock`: merge a dvc.lock."""

import argparse
import sys
from pathlib import Path

from artifact_flow.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    merge = commands.add_parser(
        "merge-lock",
        help="merge a dvc.lock stage by stage; `make setup` installs this as git's merge driver",
        description="Merge three versions of a dvc.lock into the second. Exit code 0: merged; 1: both sides changed "
        "the same stage, which keeps this branch's version: run `dvc repro` before you commit.",
    )
    sides = (
        ("base", "the common ancestor's version, git's %%O"),
        ("ours", "this branch's version, %%A"),
        ("theirs", "the other branch's version, %%B"),
    )
    for name, text in sides:
        merge.add_argument(name, type=Path, metavar=name.upper(), help=text)
    merge.add_argument(
        "path", nargs="?", type=Path, default=Path("dvc.lock"), metavar="PATH", help="the lock's path, %%P"
    )
    merge.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.proof.merge_lock import merge_files

    path = arguments.path
    if unmerged := merge_files(arguments.base, arguments.ours, arguments.theirs, path):
        pipeline = "" if path.parent == Path() else f" {path.with_name('dvc.yaml')}"
        sys.exit(
            f"{path}: no side has reproduced {', '.join(unmerged)} as merged: run `dvc repro{pipeline}`, then "
            "`git add` its outputs, and commit."
        )
