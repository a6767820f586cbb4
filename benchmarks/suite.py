"""Suite: the groups of figures, what each is measured on, and which of them can be measured here."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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

    def folder(self, name: str) -> Path:
        """Return a new, empty directory."""
        (self.scratch / name).mkdir()
        return self.scratch / name


@dataclass(frozen=True)
class Group:
    """Figures that are measured together, with the words above them and the unit that their picture shows."""

    name: str
    title: str
    about: str
    things: int  # that are measured in each run
    measure: Callable[[Grounds, Meter], Iterable[Figure]]
    lacks: tuple[Callable[[], str], ...] = ()  # each says what it needs and is not here, "" where it is
    chart: str | None = None


@dataclass(frozen=True)
class Measured:
    """The figures of a group, and the wall time that all of it took, in seconds."""

    group: Group
    figures: list[Figure]
    seconds: float


def lacks_data() -> str:
    """Return which data sets that scikit-learn fetches are not here: the benchmarks fetch nothing."""
    missing = missing_data()
    return f"no {' and no '.join(missing)}; SCIKIT_LEARN_DATA names the folder that holds them" if missing else ""


def measure_promise(grounds: Grounds, meter: Meter) -> Iterable[Figure]:
    """Yield what pins, hashes and hand-overs cost a pipeline in time."""
    yield compare_with_commands(grounds.scratch, meter)
    yield compare_main_with_toy(grounds.project, grounds.toy, meter)
    yield from compare_fits(grounds.project, meter)
    yield compare_flows_with_toy(grounds.flows, grounds.toy, meter)


GROUPS = (
    Group(
        "pipelines",
        "A pipeline beside other ways",
        "Digits from the source to metrics in new folders, then the same command where nothing is left to do: three "
        "stages of this project, whose gate of unit tests has passed before (the others have none), beside three plain "
        "scripts by hand, by make, by `mlflow run`, and in a DVC project without settings. Ours types and hashes the "
        "table, writes a contract, and checks each hand-over.",
        10,
        lambda grounds, meter: compare_pipelines(grounds.folder("pipelines"), meter),
        chart="s",
    ),
    Group(
        "surroundings",
        "The same bytes",
        "Model, predictions and metrics of both projects, made again under what `artifact-flow verify` changes: a hash "
        "seed, threads, the BLAS kernel, the CPU's features, locale and time zone, the directory's name, all at once.",
        0,
        lambda grounds, meter: compare_surroundings(grounds.folder("surroundings")),
    ),
    Group(
        "repro",
        "What the promise costs a pipeline",
        "`dvc repro` of the main flow in a fresh clone, its gate too, beside the stages' commands by hand; the same "
        "with nothing to do beside a toy of two stages; a fit on one pinned thread beside one with what BLAS chooses, "
        "on idle and on busy cores.",
        10,
        measure_promise,
        (lacks_data,),
    ),
    Group(
        "predict",
        "Batch scoring",
        "Whole processes on one core, the same `model.onnx` (mlflow: the pickle as its scikit-learn model), 8 columns. "
        "Ours hashes the input and checks each value's type and range meanwhile; of the others the bare loop does.",
        16,
        lambda grounds, meter: compare_predict(grounds.flows, grounds.folder("predict"), meter),
        (lacks_data,),
        "M rows/s",
    ),
    Group(
        "batch",
        "Batch scoring by two workers",
        "A folder of files on both cores, with the start and the end of the workers. One process hashes by two threads "
        "already, and predicts by one.",
        4,
        lambda grounds, meter: compare_batches(grounds.flows, meter),
        (lacks_data,),
    ),
    Group(
        "data",
        "A table taken in",
        "Stage `data` on one's own CSV of 100 MB, typed, split and written, beside Arrow's own reader and writer.",
        2,
        lambda grounds, meter: [compare_stage_data(clone_head(grounds.scratch / "own"), meter)],
    ),
    Group(
        "search",
        "A search",
        "200 fits of a logistic regression on the digits, four times over: 40 candidates, 5 folds. Every way gives the "
        "same model, byte for byte, which is checked.",
        4,
        lambda grounds, meter: compare_searches(grounds.project, meter),
        chart="s",
    ),
    Group(
        "track",
        "Tracking",
        "`artifact-flow track` of a finished flow into a database that is there, less the import of MLflow.",
        4,
        lambda grounds, meter: compare_tracks(grounds.flows, meter),
        (lacks_data,),
    ),
    Group(
        "eight_bit",
        "Eight bits",
        "The houses' linear model with 8-bit weights: how far its predictions of the test split lie from the float "
        "model's (root mean square), and the bytes of the files. onnxruntime's quantizers have their defaults and see "
        "a product of rows and weights; they quantize the rows too, whose columns have very different ranges. "
        "Rounding writes no file.",
        0,
        lambda grounds, meter: compare_eight_bit(grounds.flows, grounds.folder("eight_bit")),
        (lacks_data,),
    ),
    Group(
        "serving",
        "Serving",
        "One worker on a core of its own, asked by `wrk` from the other. Ours writes its log and its meters and "
        "answers probabilities; the others answer labels.",
        THINGS,
        lambda grounds, meter: compare_services(grounds.flows, grounds.folder("serving"), meter),
        (lacks_data, lacks_load),
        "/s",
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


def measure_groups(groups: Sequence[Group], scratch: Path, meter: Meter) -> list[Measured]:
    """Return what was measured of the groups; `scratch` is an existing, empty directory."""
    grounds, measured = Grounds(scratch), []
    for group in groups:
        start = time.monotonic()
        figures = list(group.measure(grounds, meter))
        measured.append(Measured(group, figures, time.monotonic() - start))
    return measured
