"""`artifact-flow sweep`: try many parameters."""

import argparse
import signal
import sys

from artifact_flow.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    sweep = commands.add_parser(
        "sweep",
        help="try values of parameters as DVC experiments, and compare them",
        description="Queue a DVC experiment for each combination of values, run the queue, and print a table. "
        "Exit code 1: an experiment failed.",
    )
    sweep.add_argument("settings", nargs="+", metavar="KEY=V,V", help="such as train.C=0.01,0.1,1")
    sweep.add_argument("--jobs", type=int, default=1, metavar="N", help="experiments at a time; default: 1")
    sweep.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base.errors import TrackError
    from artifact_flow.tracking.sweep import list_experiments, run_sweep, tabulate

    if not 1 <= arguments.jobs <= 64:
        raise TrackError(f"--jobs is {arguments.jobs}: give 1 to 64.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = {row.name for row in list_experiments() if row.state == "failed"}
    try:
        run_sweep(arguments.settings, arguments.jobs)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    rows = list_experiments()
    print(tabulate(rows))
    lost = [row.name for row in rows if not row.finished and row.name not in before]
    if lost:
        raise TrackError(f"no result of {', '.join(lost)}: `dvc queue logs {lost[0]}` says why.")
