"""Suite: the groups of figures, the repositories they are measured in, and their requirements."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.adoption import compare_init
from benchmarks.batches import compare_batches
from benchmarks.eight_bit import compare_eight_bit
from benchmarks.figure import Figure, Meter
from benchmarks.fits import compare_fits
from benchmarks.load import lacks_load
from benchmarks.pipelines import compare_pipelines
from benchmarks.repro import compare_flows_with_toy, compare_main_with_toy, compare_with_commands
from benchmarks.search import compare_searches
from benchmarks.serving import THINGS, compare_services
from benchmarks.surroundings import compare_surroundings
from benchmarks.throughput import compare_predict, compare_stage_data
from benchmarks.tracks import compare_tracks
from benchmarks.workspace import CommandError, Workspace, clone_head, make_toy, missing_data


@dataclass(frozen=True)
class Grounds:
    """The repositories that groups share, created on first use in `scratch`, an existing, empty directory."""

    scratch: Path

    @cached_property
    def project(self) -> Workspace:
        """A clone with its main flow reproduced."""
        project = clone_head(self.scratch / "project")
        project.run("dvc", "repro")
        return project

    @cached_property
    def flows(self) -> Workspace:
        """The same clone with every flow reproduced."""
        self.project.run("dvc", "repro", "-P")
        return self.project

    @cached_property
    def toy(self) -> Workspace:
        """A DVC project of two stages that do nothing."""
        return make_toy(self.scratch / "toy")

    def folder(self, name: str) -> Path:
        """Return a new, empty directory."""
        (self.scratch / name).mkdir()
        return self.scratch / name


@dataclass(frozen=True)
class Group:
    """Figures that are measured together, with their explanation and the unit of their chart."""

    name: str
    title: str
    about: str
    things: int  # number of measurements in each run
    measure: Callable[[Grounds, Meter], Iterable[Figure]]
    lacks: tuple[Callable[[], str], ...] = ()  # each returns a missing requirement, or ""
    chart: str | None = None


@dataclass(frozen=True)
class Measured:
    """The figures of a group, the wall time of all its measurements in seconds, and what ended them early, or ""."""

    group: Group
    figures: list[Figure]
    seconds: float
    error: str = ""


def lacks_data() -> str:
    """Return the missing data sets of scikit-learn, or "": the benchmarks do not download them."""
    missing = missing_data()
    return f"missing {' and '.join(missing)}; set SCIKIT_LEARN_DATA to the folder that contains them" if missing else ""


def measure_promise(grounds: Grounds, meter: Meter) -> Iterable[Figure]:
    """Yield the time that pinning, hashing and checking add to a pipeline."""
    yield compare_with_commands(grounds.scratch, meter)
    yield compare_main_with_toy(grounds.project, grounds.toy, meter)
    yield from compare_fits(grounds.project, meter)
    yield compare_flows_with_toy(grounds.flows, grounds.toy, meter)


GROUPS = (
    Group(
        "pipelines",
        "A pipeline compared with other ways",
        "Digits, from the source to metrics in new folders, then the same command again with nothing left to do: "
        "three stages of this project, whose unit tests have passed before (the others have no tests), compared "
        "with three plain scripts run by hand, by make, by `mlflow run`, and in a DVC project with default "
        "settings. This project also types and hashes the table, writes a contract, and checks each hand-over.",
        10,
        lambda grounds, meter: compare_pipelines(grounds.folder("pipelines"), meter),
        chart="s",
    ),
    Group(
        "surroundings",
        "The same bytes",
        "Model, predictions and metrics of both projects, reproduced under what `artifact-flow verify` changes: "
        "hash seed, threads, BLAS kernel, CPU features, locale and time zone, directory name, and all of them at "
        "once.",
        0,
        lambda grounds, meter: compare_surroundings(grounds.folder("surroundings")),
    ),
    Group(
        "repro",
        "What equal bytes cost a pipeline",
        "`dvc repro` of the main flow in a fresh clone, including its unit tests, compared with the stages' "
        "commands run by hand; the same with nothing to do, compared with a two-stage toy; a fit on one pinned "
        "thread, compared with a fit on the threads that BLAS chooses, on idle and on busy cores.",
        10,
        measure_promise,
        (lacks_data,),
    ),
    Group(
        "predict",
        "Batch scoring",
        "Whole processes on one core, the same `model.onnx` (mlflow: the pickle as its scikit-learn model), 8 "
        "columns. artifact-flow also hashes the input and checks each value's type and range; of the others only "
        "the bare loop does.",
        16,
        lambda grounds, meter: compare_predict(grounds.flows, grounds.folder("predict"), meter),
        (lacks_data,),
        "M rows/s",
    ),
    Group(
        "batch",
        "Batch scoring by two workers",
        "A folder of files on both cores, including the start and the end of the workers. A single process already "
        "hashes on two threads and predicts on one.",
        4,
        lambda grounds, meter: compare_batches(grounds.flows, meter),
        (lacks_data,),
    ),
    Group(
        "data",
        "Reading a table",
        "Stage `data` on a CSV file of 100 MB, typed, split and written, compared with Arrow's own reader and writer.",
        2,
        lambda grounds, meter: [compare_stage_data(clone_head(grounds.scratch / "own"), meter)],
    ),
    Group(
        "init",
        "Adopting a table",
        "`artifact-flow init`, which reads a table, decides what its columns are, tries the estimator and looks for "
        "leaks: on a CSV file of 100 MB, compared with stage `data`, and on a very wide one.",
        3,
        lambda grounds, meter: compare_init(clone_head(grounds.scratch / "adopted"), meter),
    ),
    Group(
        "search",
        "A search",
        "200 fits of a logistic regression on the digits, run in four ways: 40 candidates, 5 folds. Every way gives "
        "the same model, byte for byte, which is checked.",
        4,
        lambda grounds, meter: compare_searches(grounds.project, meter),
        chart="s",
    ),
    Group(
        "track",
        "Tracking",
        "`artifact-flow track` of a finished flow into an existing database, without the time to import MLflow.",
        4,
        lambda grounds, meter: compare_tracks(grounds.flows, meter),
        (lacks_data,),
    ),
    Group(
        "eight_bit",
        "Eight bits",
        "The linear model of California housing with 8-bit weights: the distance of its predictions on the test "
        "split from the float model's (root mean square), and the size of the files. onnxruntime's quantizers run "
        "with their defaults on a product of rows and weights; they also quantize the rows, whose columns have very "
        "different ranges. Rounding writes no file.",
        0,
        lambda grounds, meter: compare_eight_bit(grounds.flows, grounds.folder("eight_bit")),
        (lacks_data,),
    ),
    Group(
        "serving",
        "Serving",
        "One worker on its own core, with requests from `wrk` on the other. artifact-flow writes its log and its "
        "metrics and returns probabilities; the others return labels.",
        THINGS,
        lambda grounds, meter: compare_services(grounds.flows, grounds.folder("serving"), meter),
        (lacks_data, lacks_load),
        "/s",
    ),
)


def choose_groups(names: Sequence[str]) -> tuple[list[Group], str]:
    """Return the groups with these names (default: all) that can be measured here, and why the others cannot."""
    chosen = [group for group in GROUPS if not names or group.name in names]
    reasons = {group.name: "; ".join(filter(None, (lacks() for lacks in group.lacks))) for group in chosen}
    skipped = "; ".join(f"skipped {name}: {reason}" for name, reason in reasons.items() if reason)
    return [group for group in chosen if not reasons[group.name]], skipped and f"{skipped}."


def count_times(groups: Sequence[Group], runs: int) -> int:
    """Return the total number of measurements."""
    return sum(group.things for group in groups) * runs


def measure_groups(groups: Sequence[Group], scratch: Path, meter: Meter) -> list[Measured]:
    """Measure the groups and return the results; `scratch` is an existing, empty directory.

    A command that fails ends its group, whose figures before it are kept, and not the other groups.
    """
    grounds, measured = Grounds(scratch), []
    for group in groups:
        start, figures, failure = time.monotonic(), list[Figure](), ""
        try:
            for figure in group.measure(grounds, meter):
                figures.append(figure)
        except CommandError as error:
            failure = str(error)
        measured.append(Measured(group, figures, time.monotonic() - start, failure))
    return measured
