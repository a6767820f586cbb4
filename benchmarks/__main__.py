"""Measure what README.md and docs/ claim, show it, and write it to .artifact-flow/benchmarks.json.

With --write it also writes a page with pictures, docs/benchmarks.md, and README.md's summary of the bars. A missed bar
is reported and is not an error, because a busy machine misses bars; a command that fails is an error, after the other
groups are measured.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.figure import Meter
from benchmarks.machine import CORES, QUIET_LOAD, QUIET_OTHERS, Watch, describe_machine
from benchmarks.report import draw_bars, pick_series, tabulate_figures, write_section, write_summary
from benchmarks.suite import GROUPS, Measured, choose_groups, count_times, measure_groups
from benchmarks.workspace import ROOT, CommandError, Workspace

RESULTS = ROOT / ".artifact-flow" / "benchmarks.json"
PAGE, PICTURES = ROOT / "docs" / "benchmarks.md", Path("pictures")  # PICTURES is relative to the page's folder
SCRATCH = ROOT / ".artifact-flow" / "bench"
HEAD = """\
# Benchmarks compared with the alternatives

`make bench` writes this page, all of it from one run. {caption} It took {minutes:.0f} minutes.

A cell holds a median and, in parentheses, the lowest and the highest value. A ratio is that of the medians, with the
lowest and the highest ratio of a single turn. Figures that are compared are measured in turn. A figure with a bar is
judged by it and marked *met* or *missed*. The versions of the other tools are locked in `benchmarks/`, each in its own
environment."""


def main() -> None:
    """Measure HEAD, print the table and write the results; then raise CommandError if a command failed."""
    arguments = parse_arguments()
    runs, (groups, skipped) = arguments.runs, choose_groups(arguments.only)
    if skipped and (arguments.write or not groups):
        raise CommandError(
            f"{'--write needs every figure' if arguments.write else 'no group can be measured'}: {skipped}"
        )
    commit = Workspace(ROOT).run("git", "rev-parse", "--short", "HEAD").strip()
    watch, load, progress = Watch(), os.getloadavg()[0], Progress(console=Console(stderr=True))
    if load > QUIET_LOAD:
        progress.print(f"[yellow]warning:[/] load {load:.2f} on {CORES} cores: the machine is not quiet, expect noise")
    if skipped:
        progress.print(f"[yellow]warning:[/] {skipped}")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch, progress:
        task = progress.add_task(f"measuring {commit}", total=count_times(groups, runs))
        measured = measure_groups(groups, Path(scratch), Meter(runs, lambda: progress.advance(task)))
    figures = [figure for one in measured for figure in one.figures]
    others, machine = watch.cores_of_others(), describe_machine()
    quiet = load <= QUIET_LOAD and others <= QUIET_OTHERS
    results = {"commit": commit, "machine": machine, "load": load, "cores_of_others": others, "quiet": quiet}
    results["skipped"] = skipped
    results["groups"] = {
        one.group.name: {
            "seconds": one.seconds,
            "figures": [figure.as_json() for figure in one.figures],
            "error": one.error,
        }
        for one in measured
    }
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    quietness = (
        f"The machine was {'quiet' if quiet else 'not quiet'} (load {load:.2f} at the start; other processes used "
        f"{others:.2f} of {CORES} cores during the run)."
    )
    errors = [f"{one.group.name} ended early: {one.error}" for one in measured if one.error]
    if arguments.write and not errors:
        caption = (
            f"Medians of {runs} runs in turn on {CORES} × {machine['cpu']}, Python {machine['python']}, "
            f"scikit-learn {machine['scikit-learn']}, DVC {machine['dvc']}"
        )
        write_summary(figures, ROOT / "README.md")
        write_page(measured, f"{caption}, commit {commit}. {quietness}")
    console, missed = Console(), sum(not figure.met for figure in figures)
    console.print(tabulate_figures(figures, f"{commit}, {runs} runs each, {CORES} × {machine['cpu']}"))
    console.print(f"{missed} of {len(figures)} bars missed." if missed else "All bars met.")
    if skipped:
        console.print(f"[yellow]{skipped}[/]")
    console.print(quietness if quiet else f"[red]{quietness} Measure again on a quiet machine.[/]")
    if errors:
        raise CommandError("\n".join(errors) + ("\nNo page was written." if arguments.write else ""))


def write_page(measured: Sequence[Measured], caption: str) -> None:
    """Write the page with a section for each group, and the charts."""
    minutes = sum(one.seconds for one in measured) / 60
    sections = [HEAD.format(caption=caption, minutes=minutes)]
    for one in measured:
        picture, group = PICTURES / f"bench-{one.group.name}.png", one.group
        if group.chart:
            (PAGE.parent / picture).write_bytes(draw_bars(pick_series(one.figures, group.chart)))
        sections.append(write_section(group.title, group.about, one.figures, str(picture) if group.chart else None))
    PAGE.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    """Return how often each thing is timed, which groups are measured, and whether the pages are written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="measure each thing N times (default: 3)")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and README.md's summary")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=[group.name for group in GROUPS], help="measure only these groups"
    )
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs is {arguments.runs}; allowed: 1 or more")
    if arguments.write and arguments.only:
        parser.error("--write needs every figure, so it cannot be combined with --only")
    return arguments


if __name__ == "__main__":
    try:
        main()
    except CommandError as error:
        sys.exit(f"error: {error}")
