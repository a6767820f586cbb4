"""A search is the same wherever it runs, and where a process dies it ends well or in one sentence; it never hangs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from project import Project
from scale.estimators import Killer, Pinned, Sleeper

from artifact_flow.core.base.determinism import is_reference_cpu
from artifact_flow.core.base.errors import ScaleError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.params import SearchParams
from artifact_flow.core.model.search import Bench, Fit, prepare_bench
from artifact_flow.scale.backend import BackendChoice, open_backend
from artifact_flow.scale.cluster import open_cluster

Process: TypeAlias = "subprocess.Popen[bytes]"
LOKY, DASK = BackendChoice("loky", workers=2), BackendChoice("dask", workers=2)
both = pytest.mark.parametrize("settings", [LOKY, DASK], ids=lambda settings: settings.backend)
UNTRIMMED = {"DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON": "{'MALLOC_TRIM_THRESHOLD_': None}"}  # as docs/search.md says
CANDIDATES, FOLDS, ROWS = 6, 2, 40
RESULTS = ("model_train.pkl", "contract.json", "plots/search.csv")

# Unseeded, so that a worker's own random numbers would show; halving, so that rounds follow each other.
FOREST = """\
  estimator: sklearn.ensemble.RandomForestClassifier
  threads: 1
  n_estimators: 3
  search:
    strategy: halving
    space:
      max_depth: [2, 4, 8, null]
      min_samples_leaf: [1, 5]
    cv: 3

infer:"""
BY_HAND = """\
  estimator: sklearn.ensemble.RandomForestClassifier
  threads: 1
  n_estimators: 3
{best}

infer:"""

# What a person at a terminal runs, and then kills.
CLIENT = """
import sys
from scale.estimators import Sleeper
from scale.test_search import BackendChoice, make_bench, make_fits, open_backend
if __name__ == "__main__":
    backend, folder = sys.argv[1:]
    with open_backend(BackendChoice(backend, workers=2)) as opened:
        list(opened.run(make_bench(), make_fits(lambda number: Sleeper(folder, 0.2, number)) * 500))
"""


def make_bench() -> Bench:
    """Return a few rows of two classes in two folds."""
    X, y = np.arange(2.0 * ROWS).reshape(ROWS, 2), np.arange(ROWS) % 2
    search = SearchParams(strategy="grid", space={"number": [*range(CANDIDATES)]}, cv=FOLDS)
    return prepare_bench(search, "classification", X, y, threads=1)


def make_fits(make: Callable[[int], Any]) -> list[Fit]:
    """Return the fits of the estimators that a function makes."""
    return [Fit(make(number), fold, ROWS) for number in range(CANDIDATES) for fold in range(FOLDS)]


def scores_of(settings: BackendChoice, make: Callable[[int], Any]) -> list[float]:
    """Return what the estimators score where the settings say, in the order of the fits."""
    with open_backend(settings) as backend:
        outcomes = dict(backend.run(make_bench(), make_fits(make)))
    return [outcomes[place].score for place in range(len(outcomes))]


def sentence_of(settings: BackendChoice, make: Callable[[int], Any]) -> str:
    """Return how a search that must fail says so."""
    with pytest.raises(ScaleError) as error:
        scores_of(settings, make)
    assert "\n" not in str(error.value)
    return str(error.value)


def wait_until(claim: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until a claim is true."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs, also one that is nobody's child here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@both
@pytest.mark.skipif(not is_reference_cpu(), reason="kernels are pinned on x86-64 Linux with AVX2 and FMA")
@pytest.mark.slow
def test_a_worker_is_pinned_like_the_main_process(settings: BackendChoice) -> None:
    """A worker has one thread, the pinned kernel, and no allocator settings, which double the time of numpy's work."""
    assert scores_of(settings, lambda number: Pinned(number, os.getpid())) == [1.0] * CANDIDATES * FOLDS


def train(project: Project, **environ: str) -> dict[str, str]:
    """Run stage train as DVC does, and return the hashes of what it wrote."""
    said = {f"ARTIFACT_FLOW_{name}": value for name, value in environ.items()}
    done = subprocess.run(
        [sys.executable, "-m", "artifact_flow.core.stage", "train"],
        check=False,
        cwd=project.root,
        env=project.environ | {"PYTHONPATH": "src"} | said,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert {"loky": "by loky in ", "dask": "by Dask on "}.get(environ.get("BACKEND"), "in this process") in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return {name: hash_file(project.root / name) for name in RESULTS}


@pytest.mark.slow
def test_every_backend_gives_the_same_bytes(project: Project) -> None:
    """Model, contract and scores are equal for every backend and number of workers; so is the model by hand."""
    defaults = (project.root / "params.yaml").read_text()
    head, tail = defaults.split("  # Reserved:")[0], defaults.split("\ninfer:")[1]
    (project.root / "params.yaml").write_text(head + FOREST + tail)
    expected = train(project, BACKEND="serial")
    for environ in (
        {"BACKEND": "loky", "WORKERS": "2"},
        {"BACKEND": "loky", "WORKERS": "3"},
        {"BACKEND": "dask", "WORKERS": "2"},
    ):
        assert train(project, **environ) == expected, environ
    rows = (project.root / "plots/search.csv").read_text().splitlines()
    assert len(rows) == 1 + 8 + 3
    best = next(row.split(",")[2] for row in rows if row.split(",")[5] == "1")
    keys = best.replace("=", ": ").replace("; ", "\n  ")
    (project.root / "params.yaml").write_text(head + BY_HAND.format(best=f"  {keys}") + tail)
    run = Project(project.root).run
    run(sys.executable, "-m", "artifact_flow.core.stage", "train")
    assert hash_file(project.root / "model_train.pkl") == expected["model_train.pkl"]
    assert (project.root / "plots/search.csv").read_text().count("\n") == 1


@both
@pytest.mark.slow
def test_the_fits_of_a_killed_worker_are_repeated(settings: BackendChoice, tmp_path: Path) -> None:
    """Another worker repeats the unfinished fits, with the same outcomes."""
    expected = scores_of(BackendChoice("serial"), lambda number: Killer(str(tmp_path), 1, os.getpid(), number))
    assert scores_of(settings, lambda number: Killer(str(tmp_path), 1, os.getpid(), number)) == expected
    assert list(tmp_path.iterdir())


@both
@pytest.mark.slow
def test_a_fit_that_always_kills_its_worker_ends_the_search(settings: BackendChoice, tmp_path: Path) -> None:
    """After a few dead workers the search fails, and its sentence says what may help."""
    sentence = sentence_of(settings, lambda number: Killer(str(tmp_path), 1000, os.getpid(), number))
    assert sentence.startswith("a worker process died ")
    assert "set ARTIFACT_FLOW_WORKERS to less, or ARTIFACT_FLOW_BACKEND=serial." in sentence


@both
@pytest.mark.slow
def test_a_killed_client_leaves_no_worker_behind(settings: BackendChoice, tmp_path: Path) -> None:
    """The worker processes end soon after the client, for whatever reason it ended."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    marks = tmp_path / "marks"
    marks.mkdir()
    with subprocess.Popen([sys.executable, str(script), str(settings.backend), str(marks)], env=environ) as client:
        try:
            wait_until(lambda: len(list(marks.iterdir())) == 2 or client.poll() is not None, 60, "two workers at work")
            workers = [int(mark.name) for mark in marks.iterdir()]
            assert all(map(is_alive, workers))
        finally:
            client.kill()
    wait_until(lambda: not any(map(is_alive, workers)), 30, "the workers are gone")


@contextmanager
def started(
    tmp_path: Path, *command: str, environ: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a process of Dask's command line."""
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | (environ or {})
    with (tmp_path / "dask.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command], env=surroundings, stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, Process]]:
    """A Dask scheduler of its own, and its address."""
    told = tmp_path / "scheduler.json"
    command = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told))
    with started(tmp_path, *command) as process:
        wait_until(lambda: told.is_file() and told.read_bytes().endswith(b"}"), 60, "the scheduler listens")
        yield json.loads(told.read_bytes())["address"], process


@contextmanager
def joined(tmp_path: Path, *command: str, environ: dict[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a worker that its scheduler knows; its start can take longer than a search waits for a worker."""
    with started(tmp_path, *command, environ=environ) as process:
        wait_until(lambda: b"Registered to:" in (tmp_path / "dask.log").read_bytes(), 60, "the worker has joined")
        yield process


def worker(address: str, *options: str) -> tuple[str, ...]:
    """Return the command of a worker, which has one thread unless told otherwise."""
    return ("worker", address, "--nthreads", "1", "--no-dashboard", *options)


def run_slowly(settings: BackendChoice, folder: Path, after_each: Callable[[], object]) -> None:
    """Run fits that take their time, and do something after each."""
    with open_backend(settings) as backend:
        for _ in backend.run(make_bench(), make_fits(lambda number: Sleeper(str(folder), 0.3, number))):
            after_each()


@pytest.mark.slow
def test_an_external_cluster_gives_the_same_scores(scheduler: tuple[str, Any], tmp_path: Path) -> None:
    """Its workers are pinned regardless of their shell's settings, and a lost scheduler is one sentence."""
    address, process = scheduler
    hostile = {"OPENBLAS_NUM_THREADS": "4", "OPENBLAS_CORETYPE": "Prescott"} | UNTRIMMED
    with joined(tmp_path, *worker(address, "--preload", "artifact_flow.core.base.determinism"), environ=hostile):
        settings = BackendChoice("dask", scheduler=address)
        assert scores_of(settings, lambda number: Pinned(number, os.getpid())) == [1.0] * CANDIDATES * FOLDS
        with pytest.raises(ScaleError, match="the Dask scheduler is gone: start it, then run the command again"):
            run_slowly(settings, tmp_path, process.kill)


@pytest.mark.slow
def test_a_cluster_that_loses_all_workers_is_one_sentence(
    scheduler: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search does not wait forever for a new worker."""
    monkeypatch.setattr("artifact_flow.scale.cluster.LOST_SECONDS", 2)
    monkeypatch.setattr("artifact_flow.scale.cluster.POLL_SECONDS", 0.5)
    said = "the cluster has had no worker for 2 s: start workers, then run the command again"
    with joined(tmp_path, *worker(scheduler[0])) as process, pytest.raises(ScaleError, match=said):
        run_slowly(BackendChoice("dask", 1, scheduler[0]), tmp_path, process.terminate)


@pytest.mark.slow
def test_a_worker_with_another_library_version_is_refused(scheduler: tuple[str, Any], tmp_path: Path) -> None:
    """A worker with another scipy is refused before any work, and the sentence has both versions."""
    folder = tmp_path / "packages/scipy-9.9.9.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 9.9.9\n")
    environ = {"PYTHONPATH": os.pathsep.join([str(folder.parent), *sys.path])}
    with joined(tmp_path, *worker(scheduler[0]), environ=environ):
        sentence = sentence_of(BackendChoice("dask", scheduler=scheduler[0]), lambda number: Pinned(number, 0))
    assert " has scipy 9.9.9, but this process has " in sentence
    assert sentence.startswith("worker tcp://127.0.0.1:")


@pytest.mark.skipif(not is_reference_cpu(), reason="kernels are pinned on x86-64 Linux with AVX2 and FMA")
@pytest.mark.slow
def test_a_worker_with_another_blas_kernel_is_refused(scheduler: tuple[str, Any], tmp_path: Path) -> None:
    """If a worker loaded numpy before it was pinned, the sentence has the command that starts it correctly."""
    environ = {"OPENBLAS_CORETYPE": "Sandybridge"}
    with joined(tmp_path, *worker(scheduler[0], "--preload", "sklearn"), environ=environ):
        sentence = sentence_of(BackendChoice("dask", scheduler=scheduler[0]), lambda number: Pinned(number, 0))
    assert " has the BLAS kernel Sandybridge, but this process has Haswell: " in sentence
    assert f"`dask worker {scheduler[0]} --nthreads 1 " in sentence


@pytest.mark.slow
def test_a_worker_with_several_threads_is_refused(scheduler: tuple[str, Any], tmp_path: Path) -> None:
    """Two fits in one process would share one random generator."""
    with joined(tmp_path, "worker", scheduler[0], "--nthreads", "2", "--no-dashboard"):
        sentence = sentence_of(BackendChoice("dask", scheduler=scheduler[0]), lambda number: Pinned(number, 0))
    assert " has 2 threads, but each fit needs its own process: start it with --nthreads 1" in sentence


@pytest.mark.slow
def test_a_scheduler_without_workers_is_one_sentence(scheduler: tuple[str, Any]) -> None:
    """The sentence contains the command that starts a worker."""
    said = r"has no workers: start some, each with `dask worker tcp://"
    with pytest.raises(ScaleError, match=said), open_cluster(scheduler[0]):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "http://127.0.0.1:9"])
@pytest.mark.slow
def test_an_unreachable_scheduler_is_one_sentence(address: str) -> None:
    """A wrong or silent address fails within a few seconds."""
    start = time.monotonic()
    said = f"no Dask scheduler answers at {address} within 10 s: start one"
    with pytest.raises(ScaleError, match=said), open_cluster(address):
        pass
    assert time.monotonic() - start < 25
