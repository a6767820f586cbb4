"""Arguments: what several commands add to the command line, and how it is checked."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from artifact_flow.core.base.errors import ArtifactFlowError, TrackError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

MODEL = "a file, or a registered version such as models:/iris@champion; default: model.onnx"
PARCELS = "the JSON that `hand-over` printed in the previous job; default: none"
MOST_PROCESSES = 64


def add_flows(parser: argparse.ArgumentParser) -> None:
    """Add the flows that a command works on."""
    parser.add_argument(
        "flows",
        nargs="*",
        type=Path,
        default=[Path()],
        metavar="FLOW",
        help="the folder of a flow, such as flows/iris; default: the main flow",
    )


def add_registered_name(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a registered model."""
    parser.add_argument("--name", help="the name of the registered model; default: the name of the flow")


def refuse_shared(flows: Sequence[Path], option: str, value: str | None) -> None:
    """Raise TrackError when an option with one value is given for several flows."""
    if value is not None and len(flows) > 1:
        raise TrackError(f"{option} {value} cannot apply to {len(flows)} flows: name one flow, or omit {option}.")


def add_threshold(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the number of keys that must agree."""
    parser.add_argument("--threshold", type=int, default=2, metavar="N", help=f"how many {what}; default: 2")


def check_threshold(number: int, error: type[ArtifactFlowError]) -> None:
    """Raise `error` unless a number of keys is at least 1."""
    if number < 1:
        raise error(f"--threshold is {number}: give 1 or more.")


def check_processes(option: str, number: int | None, error: type[ArtifactFlowError]) -> None:
    """Raise `error` unless a number of processes is from 1 to MOST_PROCESSES; None means that none was given."""
    if number is not None and not 1 <= number <= MOST_PROCESSES:
        raise error(f"{option} is {number}: give 1 to {MOST_PROCESSES}.")
