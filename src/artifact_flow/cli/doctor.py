"""`artifact-flow doctor`: what is wrong with the environment, the repository and a service, with the cures."""

import argparse
import sys

from artifact_flow.cli.arguments import Commands
from artifact_flow.cli.project import enter_project


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    doctor = commands.add_parser(
        "doctor",
        help="find what is wrong with the environment, the repository, its results and a service, each with its cure",
        description="Check the Python, its libraries, the machine, git, DVC's cache and remote, parameters, locks, "
        "outputs and a service, and print one sentence and the cure for each fault. It changes nothing. "
        "Exit code 0: no fault, or warnings and notes only; 1: an error.",
    )
    doctor.add_argument("--service", metavar="URL", help="the service to check, such as http://127.0.0.1:8000")
    doctor.add_argument("--json", action="store_true", help="print the report as JSON, for a program to read")
    doctor.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    project = enter_project(arguments.service)
    from artifact_flow.doctor.examination import CHECKS, examine

    report = examine(project, CHECKS)
    print(report.as_json() if arguments.json else report.as_text())
    sys.exit(1 if report.failed else 0)
