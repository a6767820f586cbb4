"""`artifact-flow explain`: why a stage will run."""

import argparse

from artifact_flow.cli.arguments import Commands
from artifact_flow.cli.project import enter_project


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    explain = commands.add_parser(
        "explain",
        help="say why `dvc repro` will run a stage: which parameter, dependency or output changed, and by what",
        description="Print which parts of a stage are not as dvc.lock has them: parameters with their old and new "
        "values, dependencies with the files that changed, the command, and outputs; also the earlier stages that "
        "will run, and the later ones that may. DVC decides; this reads its status. "
        "Exit code 0: explained, whether the stage will run or not; 1: there is no such stage, or a lock is damaged.",
    )
    explain.add_argument(
        "stage", metavar="STAGE", help="DVC's name of a stage, such as train or flows/dvc.yaml:train@iris"
    )
    explain.add_argument("--json", action="store_true", help="print the explanation as JSON, for a program to read")
    explain.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    project = enter_project()
    from artifact_flow.doctor.changes import explain_stage

    explanation = explain_stage(project, arguments.stage)
    print(explanation.as_json() if arguments.json else explanation.as_text())
