"""The command line: `artifact-flow <command>`. Thin: one module a command, which imports what it runs when it runs."""

import argparse
from collections.abc import Sequence

from artifact_flow.cli import (
    download,
    drift,
    experiment,
    hand_over,
    init,
    merge_lock,
    predict,
    promote,
    receive,
    register,
    serve,
    sweep,
    track,
    verify,
)
from artifact_flow.core.base.errors import exit_on_error
from artifact_flow.core.base.without_pandas import leave_out_pandas

# In the order in which a user meets them
COMMANDS = (
    verify,
    init,
    predict,
    serve,
    drift,
    track,
    register,
    promote,
    experiment,
    sweep,
    download,
    merge_lock,
    hand_over,
    receive,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that `argv` names and exit with its code."""
    parser = argparse.ArgumentParser(
        prog="artifact-flow",
        description="Reproducible scikit-learn models: your table in, predictions out, and the proof.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args(argv)
    if argv is None and "lean" in arguments:  # as a process of its own, and not when a test calls it
        leave_out_pandas()
    with exit_on_error():
        arguments.run(arguments)
