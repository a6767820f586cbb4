"""The command line, `artifact-flow COMMAND`: one module for each command, which imports its code when it runs.

A module has `add`, which adds the command to the parser, and `run`. Imports in `run` keep `artifact-flow --help` fast.
"""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext

from artifact_flow.cli import (
    attest,
    card,
    doctor,
    download,
    drift,
    experiment,
    explain,
    hand_over,
    init,
    merge_lock,
    predict,
    promote,
    receive,
    register,
    reproduce,
    serve,
    sweep,
    track,
    trust,
    verify,
)
from artifact_flow.cli.completion import add_completion
from artifact_flow.cli.process import exits_at_once
from artifact_flow.core.base.errors import exit_on_error
from artifact_flow.core.base.without_pandas import leave_out_pandas

# In the order in which a user needs them
COMMANDS = (
    doctor,
    explain,
    verify,
    attest,
    reproduce,
    trust,
    init,
    predict,
    serve,
    drift,
    track,
    register,
    promote,
    card,
    experiment,
    sweep,
    download,
    merge_lock,
    hand_over,
    receive,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command in `argv`, by default the process's arguments; exit with its code."""
    parser = argparse.ArgumentParser(
        prog="artifact-flow",
        description="Reproducible scikit-learn models: from your table to predictions, with proof.",
    )
    add_completion(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args(argv)
    lean = argv is None and "lean" in arguments  # in a separate process, not when a test calls this function
    if lean:
        leave_out_pandas()
    with exits_at_once() if lean else nullcontext(), exit_on_error():
        arguments.run(arguments)
