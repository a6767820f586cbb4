"""`artifact-flow promote`: make the challenger the champion."""

import argparse
import sys
from pathlib import Path

from artifact_flow.cli.commands import Commands
from artifact_flow.cli.flows import FLOW, refuse_shared


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    promote = commands.add_parser(
        "promote",
        help="make the challenger the champion, where it is no worse",
        description="Compare the challenger with the champion, and make it the champion where the test split's "
        "accuracy or R² is at most promote.max_loss (params.yaml) lower on the same test rows, and a commit gives it. "
        "Exit code 1: not so.",
    )
    promote.add_argument("flows", nargs="*", type=Path, default=[Path()], metavar="FLOW", help=FLOW)
    promote.add_argument("--name", help="of the registered model; default: the flow's")
    promote.add_argument("--version", help="this one instead of the challenger, as to roll back")
    promote.add_argument("--force", action="store_true", help="whatever the comparison says; a tag keeps the reason")
    promote.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.tracking.client import Server
    from artifact_flow.tracking.registry import Registry
    from artifact_flow.tracking.result import find_flow

    refuse_shared(arguments.flows, "--name", arguments.name)
    refuse_shared(arguments.flows, "--version", arguments.version)
    gates = {flow: flow.load_params() for flow in map(find_flow, arguments.flows)}
    registry = Registry(Server())
    promoted = True
    for flow, params in gates.items():
        name = flow.name if arguments.name is None else arguments.name
        compared = registry.promote(name, params.promote.max_loss, arguments.version, arguments.force)
        print(compared.table())
        print(compared.verdict())
        promoted = promoted and compared.promoted
    sys.exit(0 if promoted else 1)
