"""`artifact-flow register`: make a result a version of a registered model."""

import argparse
from pathlib import Path

from artifact_flow.cli.commands import Commands
from artifact_flow.cli.flows import FLOW, refuse_shared


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    register = commands.add_parser(
        "register",
        help="make a tracked result a version of a registered model, the challenger",
        description="Register the model that `track` logged, with its signature and the hash of each file. The same "
        "result is registered once.",
    )
    register.add_argument("flows", nargs="*", type=Path, default=[Path()], metavar="FLOW", help=FLOW)
    register.add_argument("--name", help="of the registered model; default: the flow's")
    register.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.tracking.client import Server
    from artifact_flow.tracking.registry import Registry
    from artifact_flow.tracking.result import read_result

    refuse_shared(arguments.flows, "--name", arguments.name)
    results = [read_result(folder) for folder in arguments.flows]
    registry = Registry(Server())
    for result in results:
        version = registry.register(result, arguments.name)
        what = "is this result, and" if version.found else "registered, and"
        print(f"{version.name}: version {version.version} {what} the challenger")
