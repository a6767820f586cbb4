"""Backend: runs the fits of a search in this process, in other local processes (loky), or on Dask workers.

Results must not depend on the backend, so it is chosen by environment variables, never in params.yaml:
ARTIFACT_FLOW_BACKEND is serial, loky or dask, ARTIFACT_FLOW_WORKERS a number of processes, ARTIFACT_FLOW_SCHEDULER the
address of a Dask scheduler. By default, small searches run in this process and larger ones on loky.
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
SMALL_SECONDS = 5.0  # of remaining work, below which starting processes costs more than it saves
MAX_DEATHS = 3  # worker deaths before the search is stopped; the same as Dask's allowed-failures


@dataclass(frozen=True)
class BackendChoice:
    """The backend that the environment variables choose; None where a variable is not set."""

    backend: str | None = None
    workers: int | None = None
    scheduler: str | None = None


class Backend(Protocol):
    """Runs fits."""

    @property
    def name(self) -> str:
        """Where the last fits ran, as a phrase."""

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield the index of each fit with its outcome, in any order."""


def read_choice(environ: Mapping[str, str]) -> BackendChoice:
    """Return the choice of the environment variables; raise ScaleError when a value is not allowed."""
    backend, workers, scheduler = (environ.get(name, "").strip() or None for name in (BACKEND, WORKERS, SCHEDULER))
    if backend is not None and backend not in BACKENDS:
        raise ScaleError(f"{BACKEND} is {backend!r}{closest(backend, BACKENDS)}; allowed: {', '.join(BACKENDS)}.")
    if workers is not None and not (workers.isascii() and workers.isdigit() and 1 <= int(workers) <= 1024):
        raise ScaleError(f"{WORKERS} is {workers!r}; allowed: a whole number of processes from 1 to 1024.")
    if scheduler is not None and backend not in (None, "dask"):
        raise ScaleError(f"{SCHEDULER} is {scheduler}, but {BACKEND} is {backend}; allowed with a scheduler: dask.")
    return BackendChoice("dask" if scheduler else backend, int(workers) if workers else None, scheduler)


@contextmanager
def open_backend(choice: BackendChoice, threads: int = 1) -> Iterator[Backend]:
    """Yield the backend for fits of `threads` threads each; its processes end when the block ends.

    Raises ScaleError when a requested cluster is not available.
    """
    workers = choice.workers or max(1, joblib.cpu_count() // threads)
    if choice.backend == "serial":
        yield Serial()
    elif choice.backend == "dask":
        with open_cluster(choice.scheduler, workers) as client:
            yield Dask(client)
    else:
        loky = Loky(workers)
        try:
            yield loky if choice.backend else Growing(loky)
        finally:
            loky.close()


class Serial:
    """Runs fits in this process, one after the other."""

    name = "in this process"

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield each outcome in the order of the fits."""
        for place, fit in enumerate(fits):
            yield place, score_fit(bench, fit)


class Loky:
    """Runs fits in local processes, with joblib; fits that a dead process did not finish run again in new ones."""

    def __init__(self, workers: int) -> None:
        """Set the number of processes, which start with the first fits."""
        self.workers = workers
        self.deaths = 0
        self.started = False

    @property
    def name(self) -> str:
        """The kind and number of processes."""
        return f"by loky in {self.workers} processes"

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield outcomes as they complete; raise ScaleError when workers keep dying or memory runs out."""
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
                if self.deaths > MAX_DEATHS:
                    raise ScaleError(_dying(f"{self.deaths} times", self.workers)) from error
            except MemoryError as error:
                raise ScaleError(_short_of_memory()) from error

    def close(self) -> None:
        """End the processes, if they were started."""
        if self.started:
            joblib.externals.loky.get_reusable_executor(self.workers, reuse=True).shutdown(wait=True)


class Growing:
    """Runs fits in this process while little work is left, and on loky otherwise."""

    def __init__(self, loky: Loky) -> None:
        """Keep the backend to switch to."""
        self.loky = loky
        self.grown = False

    @property
    def name(self) -> str:
        """The name of the backend in use."""
        return self.loky.name if self.grown else Serial.name

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield outcomes; switch to loky when the estimated time of the remaining fits is worth starting processes."""
        start, done = time.perf_counter(), 0
        while done < len(fits) and not self.grown:
            yield done, score_fit(bench, fits[done])
            done += 1
            expected = (time.perf_counter() - start) / done * (len(fits) - done)
            self.grown = self.loky.workers > 1 and expected > SMALL_SECONDS
        for place, outcome in self.loky.run(bench, fits[done:]):
            yield done + place, outcome


class Dask:
    """Runs fits on Dask workers; a fit whose worker dies runs again on another, a limited number of times."""

    def __init__(self, client: "Client") -> None:
        """Use a client from `open_cluster`."""
        self.client = client
        self.workers = len(self._workers())

    @property
    def name(self) -> str:
        """The number of workers at the start."""
        return f"by Dask on {self.workers} workers"

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Yield outcomes as they complete; raise ScaleError when workers keep dying, are gone, or are unsuitable."""
        from distributed import KilledWorker  # noqa: PLC0415 - the extra `scale`

        for address, worker in self._workers().items():
            if worker["nthreads"] != 1:
                raise ScaleError(
                    f"worker {address} has {worker['nthreads']} threads, but each fit needs its own process: start "
                    "it with --nthreads 1, and with --nworkers for as many processes."
                )
        # a task, not scattered data: Dask recomputes it if the workers that hold it die
        shared = self.client.submit(pickle.loads, pickle.dumps(bench), pure=False)
        futures = self.client.map(_score, range(len(fits)), fits, bench=shared, pure=False)
        try:
            for _, outcome in gather(self.client, futures, "run the command again"):
                yield outcome
        except TaskError as failed:
            error = failed.__cause__
            if isinstance(error, KilledWorker):
                raise ScaleError(_dying("again and again", self.workers)) from error
            if isinstance(error, MemoryError):
                raise ScaleError(_short_of_memory()) from error
            if isinstance(error, CancelledError):
                raise ScaleError("the Dask scheduler is gone: start it, then run the command again.") from error
            raise

    def _workers(self) -> Mapping[str, Any]:
        return dict(self.client.scheduler_info(n_workers=-1)["workers"])


def _score(place: int, fit: Fit, bench: Bench) -> tuple[int, Outcome]:
    return place, score_fit(bench, fit)


def _dying(times: str, workers: int) -> str:
    return (
        f"a worker process died {times}, so the search was stopped; {workers} fits at once may need more memory than "
        f"there is: set {WORKERS} to less, or {BACKEND}=serial."
    )


def _short_of_memory() -> str:
    return f"a fit ran out of memory, so the search was stopped: set {WORKERS} to less, or {BACKEND}=serial."
