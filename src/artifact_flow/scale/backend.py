"""Backend: where the fits of a search run: in this process, in others of this machine (loky), or on Dask's workers.

The environment chooses, never params.yaml, because a result may not depend on it: ARTIFACT_FLOW_BACKEND is serial, loky
or dask, ARTIFACT_FLOW_WORKERS a number of processes, ARTIFACT_FLOW_SCHEDULER the address of a Dask scheduler. Without
them small work stays in this process and more goes to loky.
"""

import os
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import joblib

from artifact_flow.core.base.errors import ScaleError, closest
from artifact_flow.core.model.search import Bench, Fit, Outcome, score_fit
from artifact_flow.scale.cluster import TaskError, gather, open_cluster
from artifact_flow.scale.worker import begin

if TYPE_CHECKING:
    from distributed import Client

BACKEND, WORKERS, SCHEDULER = "ARTIFACT_FLOW_BACKEND", "ARTIFACT_FLOW_WORKERS", "ARTIFACT_FLOW_SCHEDULER"
BACKENDS = ("serial", "loky", "dask")
SMALL = 5.0  # seconds of work below which starting processes costs more than it saves
DEATHS = 3  # of workers that are survived; as Dask's allowed-failures


@dataclass(frozen=True)
class Settings:
    """What the environment says; None where it says nothing."""

    backend: str | None = None
    workers: int | None = None
    scheduler: str | None = None


class Backend(Protocol):
    """A place where fits run."""

    @property
    def name(self) -> str:
        """Where the last fits ran, in words."""

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield the place of each fit in the sequence with its outcome, in any order."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return what the variables say; raise ScaleError when they say what is not allowed."""
    backend, workers, scheduler = (environ.get(name, "").strip() or None for name in (BACKEND, WORKERS, SCHEDULER))
    if backend is not None and backend not in BACKENDS:
        raise ScaleError(f"{BACKEND} is {backend!r}{closest(backend, BACKENDS)}; allowed: {', '.join(BACKENDS)}.")
    if workers is not None and not (workers.isascii() and workers.isdigit() and 1 <= int(workers) <= 1024):
        raise ScaleError(f"{WORKERS} is {workers!r}; allowed: a whole number of processes from 1 to 1024.")
    if scheduler is not None and backend not in (None, "dask"):
        raise ScaleError(f"{SCHEDULER} is {scheduler}, but {BACKEND} is {backend}; allowed with a scheduler: dask.")
    return Settings("dask" if scheduler else backend, int(workers) if workers else None, scheduler)


@contextmanager
def open_backend(settings: Settings, threads: int = 1) -> Iterator[Backend]:
    """Yield where to run fits of `threads` threads each; its processes end with the block.

    Raises ScaleError when a cluster is asked for and cannot be had.
    """
    workers = settings.workers or max(1, joblib.cpu_count() // threads)
    if settings.backend == "serial":
        yield Serial()
    elif settings.backend == "dask":
        with open_cluster(settings.scheduler, workers) as client:
            yield Dask(client)
    else:
        loky = Loky(workers)
        try:
            yield loky if settings.backend else Growing(loky)
        finally:
            loky.close()


class Serial:
    """Fits in this process, one after the other."""

    name = "in this process"

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield each outcome in the order of the fits."""
        for place, fit in enumerate(fits):
            yield place, score_fit(bench, fit)


class Loky:
    """Processes of this machine, by joblib. What a dead one did not finish is tried again in new ones."""

    def __init__(self, workers: int) -> None:
        """Take a number of processes, which start with the first fits."""
        self.workers = workers
        self.deaths = 0
        self.started = False

    @property
    def name(self) -> str:
        """How many processes of which kind."""
        return f"by loky in {self.workers} processes"

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield outcomes as they come; raise ScaleError when workers keep dying, or memory is short."""
        left = dict(enumerate(fits))
        while left:
            self.started = True
            parallel = joblib.Parallel(
                self.workers,
                backend="loky",
                return_as="generator_unordered",
                initializer=begin,
                initargs=(os.getpid(),),
            )
            try:
                for place, outcome in parallel(joblib.delayed(_score)(*item, bench) for item in [*left.items()]):
                    del left[place]
                    yield place, outcome
            except BrokenProcessPool as error:
                self.deaths += 1
                if self.deaths > DEATHS:
                    raise ScaleError(_dying(f"{self.deaths} times", self.workers)) from error
            except MemoryError as error:
                raise ScaleError(_short_of_memory()) from error

    def close(self) -> None:
        """End the processes, where there are some."""
        if self.started:
            joblib.externals.loky.get_reusable_executor(self.workers, reuse=True).shutdown(wait=True)


class Growing:
    """Fits in this process while little is left to do, by loky from there on."""

    def __init__(self, loky: Loky) -> None:
        """Take the processes that may be needed."""
        self.loky = loky
        self.grown = False

    @property
    def name(self) -> str:
        """That of where it came to."""
        return self.loky.name if self.grown else Serial.name

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield outcomes; the time of each fit tells whether the others are worth starting processes for."""
        start, done = time.perf_counter(), 0
        while done < len(fits) and not self.grown:
            yield done, score_fit(bench, fits[done])
            done += 1
            expected = (time.perf_counter() - start) / done * (len(fits) - done)
            self.grown = self.loky.workers > 1 and expected > SMALL
        for place, outcome in self.loky.run(bench, fits[done:]):
            yield done + place, outcome


class Dask:
    """The workers of a Dask cluster. A fit that kills its worker is tried again on another, a few times."""

    def __init__(self, client: "Client") -> None:
        """Take a client, as `open_cluster` gives it."""
        self.client = client
        self.workers = len(self._workers())

    @property
    def name(self) -> str:
        """How many workers there were at first."""
        return f"by Dask on {self.workers} workers"

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield outcomes as they come; raise ScaleError when workers keep dying, are all gone, or are unfit."""
        from distributed import KilledWorker  # noqa: PLC0415 - the extra `scale`

        for address, worker in self._workers().items():
            if worker["nthreads"] != 1:
                raise ScaleError(
                    f"worker {address} has {worker['nthreads']} threads, and a fit needs a process of its own: start "
                    "it with --nthreads 1, and --nworkers for as many processes."
                )
        # a task, which can be done again, not scattered data, which dies with the workers that hold it
        shared = self.client.submit(pickle.loads, pickle.dumps(bench), pure=False)
        futures = self.client.map(_score, range(len(fits)), fits, bench=shared, pure=False)
        try:
            for _, outcome in gather(self.client, futures, "run the same again"):
                yield outcome
        except TaskError as failed:
            error = failed.__cause__
            if isinstance(error, KilledWorker):
                raise ScaleError(_dying("again and again", self.workers)) from error
            if isinstance(error, MemoryError):
                raise ScaleError(_short_of_memory()) from error
            if isinstance(error, CancelledError):
                raise ScaleError("the Dask scheduler is gone: start it, then run the same again.") from error
            raise

    def _workers(self) -> Mapping[str, Any]:
        return dict(self.client.scheduler_info(n_workers=-1)["workers"])


def _score(place: int, fit: Fit, bench: Bench) -> tuple[int, Outcome]:
    return place, score_fit(bench, fit)


def _dying(times: str, workers: int) -> str:
    return (
        f"a worker process died {times}, so the search is given up; often {workers} fits at once need more memory than "
        f"there is: set {WORKERS} to less, or {BACKEND}=serial."
    )


def _short_of_memory() -> str:
    return f"a fit does not find enough memory, so the search is given up: set {WORKERS} to less, or {BACKEND}=serial."
