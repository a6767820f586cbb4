"""Suite: the groups of figures, what each is measured on, and which of them can be measured here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.batches import compare_batches
from benchmarks.figure import Figure, Meter
from benchmarks.fits import compare_fits
from benchmarks.load import lacks_load
from benchmarks.repro import compare_flows_with_toy, compare_main_with_toy, compare_with_commands
from benchmarks.search import compare_searches
from benchmarks.serving import THINGS, compare_services
from benchmarks.throughput import compare_predict, compare_stage_data
from benchmarks.tracks import compare_tracks
from benchmarks.workspace import Workspace, clone_head, make_toy, missing_data


@dataclass(frozen=True)
class Grounds:
    """What groups share, each made when first needed in `scratch`, an existing, empty directory."""

    scratch: Path

    @cached_property
    def project(self) -> Workspace:
        """A clone with its main flow reproduced."""
        project = clone_head(self.scratch / "project")
        project.run("dvc", "repro")
        return project

    @cached_property
    def flows(self) -> Workspace:
        """That clone with every flow reproduced."""
        self.project.run("dvc", "repro", "-P")
        return self.project

    @cached_property
    def toy(self) -> Workspace:
        """A DVC project of two stages that do nothing."""
        return make_toy(self.scratch / "toy")

    @cached_property
    def serving(self) -> Path:
        """An empty directory for what services say and keep."""
        (self.scratch / "serving").mkdir()
        return self.scratch / "serving"


@dataclass(frozen=True)
class Group:
    """Figures that are measured together, on so many `things` in turn."""

    name: str
    things: int
    measure: Callable[[Grounds, Meter], Iterable[Figure]]
    lacks: tuple[Callable[[], str], ...] = ()  # each says what it needs and is not here, "" where it is


def lacks_data() -> str:
    """Return which data sets that scikit-learn fetches are not here: the benchmarks fetch nothing."""
    missing = missing_data()
    return f"no {' and no '.join(missing)}; SCIKIT_LEARN_DATA names the folder that holds them" if missing else ""


GROUPS = (
    Group("repro", 2, lambda grounds, meter: [compare_with_commands(grounds.scratch, meter)]),
    Group("noop", 2, lambda grounds, meter: [compare_main_with_toy(grounds.project, grounds.toy, meter)]),
    Group("fit", 4, lambda grounds, meter: compare_fits(grounds.project, meter)),
    Group(
        "flows", 2, lambda grounds, meter: [compare_flows_with_toy(grounds.flows, grounds.toy, meter)], (lacks_data,)
    ),
    Group("predict", 8, lambda grounds, meter: compare_predict(grounds.flows, meter), (lacks_data,)),
    Group("batch", 4, lambda grounds, meter: compare_batches(grounds.flows, meter), (lacks_data,)),
    Group("data", 2, lambda grounds, meter: [compare_stage_data(clone_head(grounds.scratch / "own"), meter)]),
    Group("search", 4, lambda grounds, meter: compare_searches(grounds.project, meter)),
    Group("track", 4, lambda grounds, meter: compare_tracks(grounds.flows, meter), (lacks_data,)),
    Group(
        "serving",
        THINGS,
        lambda grounds, meter: compare_services(grounds.flows, grounds.serving, meter),
        (lacks_data, lacks_load),
    ),
)


def choose_groups(names: Sequence[str]) -> tuple[list[Group], str]:
    """Return the groups of these names (all where there are none) that can be measured here, and why others cannot."""
    chosen = [group for group in GROUPS if not names or group.name in names]
    reasons = {group.name: "; ".join(filter(None, (lacks() for lacks in group.lacks))) for group in chosen}
    skipped = "; ".join(f"skipped {name}: {reason}" for name, reason in reasons.items() if reason)
    return [group for group in chosen if not reasons[group.name]], skipped and f"{skipped}."


def count_times(groups: Sequence[Group], runs: int) -> int:
    """Return how many times are taken in all."""
    return sum(group.things for group in groups) * runs


def measure_groups(groups: Sequence[Group], scratch: Path, meter: Meter) -> list[Figure]:
    """Return the figures of the groups; `scratch` is an existing, empty directory."""
    grounds = Grounds(scratch)
    return [figure for group in groups for figure in group.measure(grounds, meter)]
