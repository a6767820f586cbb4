"""`artifact-flow sweep`: compare many values of parameters."""

import argparse

from artifact_flow.cli.arguments import Commands, check_processes
from artifact_flow.cli.process import exits_on_interrupt


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    sweep = commands.add_parser(
        "sweep",
        help="run a DVC experiment for each combination of parameter values, and compare the results",
        description="Queue a DVC experiment for each combination of values, run the queue, and print a table. "
        "Exit code 0: every experiment has a result; 1: an experiment failed.",
    )
    sweep.add_argument("settings", nargs="+", metavar="KEY=V,V", help="such as train.C=0.01,0.1,1")
    sweep.add_argument("--jobs", type=int, default=1, metavar="N", help="number of concurrent experiments; default: 1")
    sweep.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.errors import TrackError
    from artifact_flow.tracking.sweep import list_experiments, run_sweep, tabulate

    check_processes("--jobs", arguments.jobs, TrackError)
    with exits_on_interrupt():
        before = {row.name for row in list_experiments() if row.state == "failed"}
        run_sweep(arguments.settings, arguments.jobs)
    rows = list_experiments()
    print(tabulate(rows))
    lost = [row.name for row in rows if not row.finished and row.name not in before]
    if lost:
        raise TrackError(f"no result of {', '.join(lost)}: `dvc queue logs {lost[0]}` shows why.")
