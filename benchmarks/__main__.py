"""Measure what the README claims of time, show it, and write it to .artifact-flow/benchmarks.json.

With --write the table goes into README.md too. A missed bar is told and is no error, since a busy machine misses
bars; a command that fails is one.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.figure import Meter
from benchmarks.machine import CORES, QUIET_LOAD, QUIET_OTHERS, Watch, describe_machine
from benchmarks.report import tabulate_figures, write_figures
from benchmarks.suite import GROUPS, choose_groups, count_times, measure_groups
from benchmarks.workspace import ROOT, CommandError, Workspace

RESULTS = ROOT / ".artifact-flow" / "benchmarks.json"
SCRATCH = ROOT / ".artifact-flow" / "bench"


def main() -> None:
    """Measure HEAD, show the table and write the results; raise CommandError when something cannot be measured."""
    arguments = parse_arguments()
    runs, (groups, skipped) = arguments.runs, choose_groups(arguments.only)
    if skipped and (arguments.write or not groups):
        raise CommandError(f"{'--write needs every figure' if arguments.write else 'nothing is left'}: {skipped}")
    commit = Workspace(ROOT).run("git", "rev-parse", "--short", "HEAD").strip()
    watch, load, progress = Watch(), os.getloadavg()[0], Progress(console=Console(stderr=True))
    if load > QUIET_LOAD:
        progress.print(f"[yellow]warning:[/] load {load:.2f} on {CORES} cores: not quiet, expect noise")
    if skipped:
        progress.print(f"[yellow]warning:[/] {skipped}")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch, progress:
        task = progress.add_task(f"measuring {commit}", total=count_times(groups, runs))
        figures = measure_groups(groups, Path(scratch), Meter(runs, lambda: progress.advance(task)))
    others, machine = watch.cores_of_others(), describe_machine()
    quiet = load <= QUIET_LOAD and others <= QUIET_OTHERS
    results = {"commit": commit, "machine": machine, "load": load, "cores_of_others": others, "quiet": quiet}
    results["skipped"] = skipped
    results["figures"] = [figure.as_json() for figure in figures]
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.write:
        caption = (
            f"Medians of {runs} runs in turn on {CORES} × {machine['cpu']}, Python {machine['python']}, "
            f"scikit-learn {machine['scikit-learn']}, DVC {machine['dvc']}:"
        )
        write_figures(figures, caption, ROOT / "README.md")
    console, missed = Console(), sum(not figure.met for figure in figures)
    console.print(tabulate_figures(figures, f"{commit}, {runs} runs each, {CORES} × {machine['cpu']}"))
    console.print(f"{missed} of {len(figures)} bars missed." if missed else "Every bar met.")
    if skipped:
        console.print(f"[yellow]{skipped}[/]")
    console.print(
        f"The machine was {'quiet' if quiet else '[red]not quiet: measure again when it is[/]'} "
        f"(load {load:.2f} at the start; others used {others:.2f} of {CORES} cores meanwhile)."
    )


def parse_arguments() -> argparse.Namespace:
    """Return how often each thing is timed, which groups are, and whether the README is to be written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="time each thing N times (default: 5)")
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=[group.name for group in GROUPS], help="measure these groups alone"
    )
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs is {arguments.runs}; allowed: 1 or more")
    if arguments.write and arguments.only:
        parser.error("--write needs every figure, so it goes without --only")
    return arguments


if __name__ == "__main__":
    try:
        main()
    except CommandError as error:
        sys.exit(f"error: {error}")
