"""Batches over Dask: processes of this machine or of a scheduler give the parts of one process, whoever is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import psutil
import pytest
from dask import config
from distributed import Client
from predict.rows import contents, die, fail, start, write_many
from unit.own import Flow

from artifact_flow.core.base.errors import ModelError, ScaleError
from artifact_flow.predict import batch
from artifact_flow.predict.batch import Job, run_job
from artifact_flow.predict.partition import Shipped
from artifact_flow.scale import cluster
from artifact_flow.scale.cluster import open_cluster

SCHEDULER = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")


@pytest.fixture(scope="module")
def rows(flow: Flow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that take some seconds to predict."""
    return write_many(flow, tmp_path_factory.mktemp("many") / "rows", files=16, copies=1500)


@pytest.fixture(scope="module")
def expected(flow: Flow, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process that nobody disturbs makes of them."""
    out = tmp_path_factory.mktemp("expected")
    run_job(Job([str(rows)], flow.folder / "model.onnx", str(out)))
    return contents(out)


def wait_for(what: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a file is there, or a process has ended."""
    deadline = time.monotonic() + 60
    while not what.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def address_in(file: Path, scheduler: "subprocess.Popen[bytes]") -> str:
    """Return the address in a scheduler's file, which exists before it is complete."""
    wait_for(file, scheduler)
    while not file.read_text().endswith("}"):
        assert scheduler.poll() is None
        time.sleep(0.05)
    return str(json.loads(file.read_text())["address"])


def finish(process: "subprocess.Popen[bytes]", code: int = 0) -> str:
    """Return what a process said, once it has ended as it should."""
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said.decode()
    return said.decode()


def kill_worker(pid: int) -> None:
    """Kill a worker of a process, one that is alive."""
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is none
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                return
    raise AssertionError("no worker is alive")


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "two workers"])
@pytest.mark.slow
def test_a_killed_job_resumes_to_the_same_bytes(
    flow: Flow, rows: Path, expected: dict[str, bytes], tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """After kills at random moments, the same command ends with the parts of an undisturbed run, byte for byte."""
    moments = np.random.default_rng(7)
    command = (str(rows), "--out", str(tmp_path / "out"), *workers)
    for part in sorted(moments.choice(range(1, 8), 2, replace=False).tolist()):
        process = start(flow, *command)
        wait_for(tmp_path / f"out/part-{part:05}.json", process)
        time.sleep(moments.random() / 20)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "out/manifest.json").exists()
    said = finish(start(flow, *command))
    assert "parts of an earlier run were unchanged and kept" in said
    assert contents(tmp_path / "out") == expected


@pytest.mark.slow
def test_the_part_of_a_killed_worker_is_repeated(
    flow: Flow, rows: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """Another worker repeats its part, and the result is the same."""
    process = start(flow, str(rows), "--out", str(tmp_path / "out"), "--workers", "2")
    for part in (1, 5):
        wait_for(tmp_path / f"out/part-{part:05}.json", process)
        kill_worker(process.pid)
    finish(process)
    assert contents(tmp_path / "out") == expected


def test_workers_that_die_during_startup_are_one_sentence() -> None:
    """For example, if they are killed before they have connected."""
    ended = Event()

    def kill() -> None:
        while not ended.is_set():
            with suppress(AssertionError):
                kill_worker(os.getpid())

    with ThreadPoolExecutor(1) as thread:
        thread.submit(kill)
        said = r"^the workers did not start \(.*\): run the same command again\.$"
        try:
            with pytest.raises(ScaleError, match=said), open_cluster(None, 1):
                pass
        finally:
            ended.set()


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still does something."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_stops_the_workers_too(flow: Flow, rows: Path, tmp_path: Path) -> None:
    """The signal reaches every process at once, but only one line is printed and no worker remains."""
    process = start(flow, str(rows), "--out", str(tmp_path / "out"), "--workers", "2")
    wait_for(tmp_path / "out/part-00002.json", process)
    children = psutil.Process(process.pid).children()
    os.killpg(process.pid, signal.SIGINT)
    assert finish(process, code=130) == "stopped: finished parts are kept; run the same command again to resume\n"
    deadline = time.monotonic() + 10
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_says_how_to_resume(flow: Flow, rows: Path, tmp_path: Path, signal_: signal.Signals) -> None:
    """Ctrl-C or SIGTERM leaves the finished parts and prints one line without a traceback."""
    process = start(flow, str(rows), "--out", str(tmp_path / "out"))
    wait_for(tmp_path / "out/part-00002.json", process)
    process.send_signal(signal_)
    assert finish(process, code=130) == "stopped: finished parts are kept; run the same command again to resume\n"


@contextmanager
def dask(*arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a Dask command in a process of its own."""
    command = [Path(sys.executable).with_name("dask"), *arguments]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A scheduler in a process of its own: its address."""
    port, file = "0", tmp_path / "scheduler.json"
    with dask(
        "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--scheduler-file", str(file)
    ) as one:
        yield address_in(file, one)


def wait_for_workers(scheduler: str, number: int) -> None:
    """Return when so many workers have joined, which can take longer than a job waits for the first."""
    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(number, timeout=60)


def worker_of(scheduler: str, folder: Path) -> tuple[str, ...]:
    """Return the command of a worker that computes as this process does."""
    pinned = ("--preload", "artifact_flow.core.base.determinism")
    return (
        "worker",
        scheduler,
        "--nthreads",
        "1",
        "--no-dashboard",
        "--local-directory",
        str(folder / "dask"),
        *pinned,
    )


@pytest.mark.slow
def test_an_external_cluster_gives_the_same_parts(
    flow: Flow, rows: Path, expected: dict[str, bytes], tmp_path: Path, scheduler: str
) -> None:
    """Its workers receive the model from the client, not from a path; one of them may die meanwhile."""
    worker = worker_of(scheduler, tmp_path)
    with dask(*worker), dask(*worker, "--no-nanny") as doomed:
        wait_for_workers(scheduler, 2)
        process = start(flow, str(rows), "--out", str(tmp_path / "out"), "--scheduler", scheduler)
        wait_for(tmp_path / "out/part-00003.json", process)
        doomed.kill()
        finish(process)
    assert contents(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_cluster_that_loses_its_workers_is_one_sentence(
    flow: Flow, rows: Path, tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job does not wait forever, and the finished parts are kept."""
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "LOST_SECONDS", 2)
    with dask(*worker_of(scheduler, tmp_path), "--no-nanny") as worker, ThreadPoolExecutor(1) as thread:

        def kill() -> None:
            wait_for(tmp_path / "out/part-00001.json", worker)
            worker.kill()

        wait_for_workers(scheduler, 1)
        thread.submit(kill)
        with pytest.raises(ScaleError, match=r"^the cluster has had no worker for 2 s: start workers, then run the"):
            run_job(Job([str(rows)], flow.folder / "model.onnx", str(tmp_path / "out"), scheduler=scheduler))
    assert (tmp_path / "out/part-00001.json").exists()


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_job(flow: Flow, rows: Path, tmp_path: Path) -> None:
    """The job soon fails with one sentence, and the finished parts are kept."""
    file = tmp_path / "scheduler.json"
    with dask(*SCHEDULER, "--scheduler-file", str(file)) as doomed:
        address = address_in(file, doomed)
        with dask(*worker_of(address, tmp_path), "--no-nanny"):
            wait_for_workers(address, 1)
            process = start(flow, str(rows), "--out", str(tmp_path / "out"), "--scheduler", address)
            wait_for(tmp_path / "out/part-00001.json", process)
            doomed.kill()
            said = finish(process, code=1)
    assert said.startswith("error: ")
    assert "the same command" in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_an_input_that_kills_or_fails_every_worker_is_one_sentence(flow: Flow) -> None:
    """The sentence names the input, and the job does not retry forever."""
    shipped = Shipped.of(flow.folder / "model.onnx")
    with config.set({"distributed.scheduler.allowed-failures": 1}), open_cluster(None, 1) as client:
        runner = batch._Runner(client, shipped)
        with pytest.raises(
            ScaleError, match=r"^rows.csv: the cluster failed \(RuntimeError: no luck\): look at its log"
        ):
            list(runner.each(fail, ["rows.csv"], str))
        with pytest.raises(ScaleError, match=r"^rows.csv: 2 workers died while predicting it: give workers more"):
            list(runner.each(die, ["rows.csv"], str))


def test_a_model_that_changed_in_transit_is_not_opened(flow: Flow) -> None:
    """A worker opens only the model whose hash the client checked."""
    shipped = Shipped.of(flow.folder / "model.onnx")
    with pytest.raises(ModelError, match=r"^model.onnx reached a worker with different bytes, so it was not opened"):
        replace(shipped, model=shipped.model + b"x").open()


def test_an_unreachable_scheduler_is_one_sentence(
    flow: Flow, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the address."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    job = Job([str(rows)], flow.folder / "model.onnx", str(tmp_path / "out"), scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ScaleError, match=r"tcp://127\.0\.0\.1:1"):
        run_job(job)
    assert not (tmp_path / "out").exists()
