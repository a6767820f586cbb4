"""`artifact-flow register`: register a result as a version of a model."""

import argparse

from artifact_flow.cli.arguments import Commands, add_flows, add_registered_name, refuse_shared


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    register = commands.add_parser(
        "register",
        help="register a tracked result as a version of a model, the challenger",
        description="Register the model that `track` logged, with its signature and the hash of each file. A result "
        "is registered only once.",
    )
    add_flows(register)
    add_registered_name(register)
    register.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.tracking.client import Server
    from artifact_flow.tracking.registry import Registry
    from artifact_flow.tracking.result import read_result

    refuse_shared(arguments.flows, "--name", arguments.name)
    results = [read_result(folder) for folder in arguments.flows]
    registry = Registry(Server())
    for result in results:
        version = registry.register(result, arguments.name)
        state = "is this result, and" if version.found else "registered, and"
        print(f"{version.name}: version {version.version} {state} the challenger")
