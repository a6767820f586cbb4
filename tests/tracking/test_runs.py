"""Runs: their content, one run per result, and the errors when a result cannot be logged."""

import http.server
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from serving.server import command
from tracking.conftest import Tracked
from tracking.stores import free_port

from artifact_flow.core.base.files import hash_file

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, about its parts


def refusal(tracked: Tracked, *arguments: str, **environ: str) -> str:
    """Run a command that must fail, in a process of its own, and return its error: one sentence, no traceback."""
    done = subprocess.run(
        command(*arguments),
        check=False,
        cwd=tracked.root,
        env=tracked.environ | environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.slow
def test_a_run_contains_the_result(tracked: Tracked) -> None:
    """Parameters, metrics, files byte for byte, hashes, pictures, the data set, the commit, the model's signature."""
    tracked.ask("track")
    (run,) = tracked.runs()
    client = tracked.client()
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    assert run.info.status == "FINISHED"
    assert params["train.C"] == "1.0"
    assert params["data.source"] == "digits"
    assert params["quantize.max_quality_loss"] == "0.003"
    assert metrics["test.accuracy"] == pytest.approx(0.96111111)
    assert tags["git.dirty"] == "false"
    assert tags["mlflow.source.git.commit"] == tracked.run("git", "rev-parse", "HEAD").strip()
    assert tags["git.branch"] == "main"

    (data,) = run.inputs.dataset_inputs
    lock = (tracked.root / "dvc.lock").read_text()
    assert f"path: data.parquet\n      hash: md5\n      md5: {data.dataset.digest}\n" in lock
    assert "pixel_0_0" in data.dataset.schema

    kept = {file.path for folder in (None, "plots") for file in client.list_artifacts(run.info.run_id, folder)}
    assert kept >= {
        "predictions.csv",
        "metrics.json",
        "contract.json",
        "params.yaml",
        "dvc.lock",
        "plots/confusion.png",
    }
    assert "data.parquet" not in kept
    folder = Path(client.download_artifacts(run.info.run_id, ""))
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    files = Path(model.artifact_location.removeprefix("file://")) / "data/files"
    for name in ("predictions.csv", "metrics.json", "plots/confusion.csv"):
        assert hash_file(folder / name) == hash_file(tracked.root / name) == tags[f"artifact_flow.sha256.{name}"]
    for name in ("model_train.pkl", "model.onnx", "model_quantized.onnx", "contract.json"):
        assert hash_file(files / name) == hash_file(tracked.root / name) == tags[f"artifact_flow.sha256.{name}"]
    picture = (folder / "plots/confusion.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert {metric.key for metric in model.metrics} == set(metrics)


@pytest.mark.slow
def test_the_same_result_is_one_run_whichever_commit_gives_it(tracked: Tracked) -> None:
    """A run of uncommitted work is tagged as dirty until the same result is tracked from a commit."""
    tracked.edit("README.md", lambda text: text + "\n")
    assert "not in commit " in tracked.ask("track")
    (run,) = tracked.runs()
    assert run.data.tags["git.dirty"] == "true"
    before = run.info.run_name
    assert before.split()[1].endswith("-dirty")
    tracked.commit("Now it is")
    assert "not in commit " not in tracked.ask("track")
    (run,) = tracked.runs()
    assert run.data.tags["git.dirty"] == "false"
    assert run.data.tags["mlflow.source.git.commit"] == tracked.run("git", "rev-parse", "HEAD").strip()
    assert run.info.run_name == before.replace(
        before.split()[1], tracked.run("git", "rev-parse", "--short=7", "HEAD").strip()
    )


@pytest.mark.slow
def test_another_result_is_another_run(tracked: Tracked) -> None:
    """Reproducing with a changed parameter gives a second run with its own name."""
    tracked.ask("track")
    tracked.set_param("decimals: 8", "decimals: 6")
    tracked.repro()
    tracked.ask("track")
    assert len({run.info.run_name for run in tracked.runs()}) == 2
    assert {run.data.params["infer.decimals"] for run in tracked.runs()} == {"6", "8"}
    assert len(tracked.runs()) == 2


@pytest.mark.slow
def test_concurrent_processes_make_one_run_and_one_version(untracked: Tracked) -> None:
    """Three processes track and then register the same result at once, and all report the same run and version."""

    def at_once(name: str) -> list[str]:
        processes = [
            subprocess.Popen(
                command(name), cwd=untracked.root, env=untracked.environ, stdout=subprocess.PIPE, text=True
            )
            for _ in range(3)
        ]
        said = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        return said

    runs = {said.split()[2] for said in at_once("track")}
    assert {run.info.run_id for run in untracked.runs()} == runs
    (run,) = untracked.runs()
    models = untracked.client().search_logged_models([run.info.experiment_id])
    assert len(models) == 1
    assert all(said.startswith("digits: version ") for said in at_once("register"))
    assert len(untracked.client().search_model_versions("name = 'digits'")) == 1


@pytest.mark.slow
def test_an_interrupted_run_is_completed(tracked: Tracked) -> None:
    """The next process completes the run of a killed process; nothing is logged twice."""
    tracked.client()  # which makes the tables
    killed = subprocess.Popen(command("track"), cwd=tracked.root, env=tracked.environ, stdout=subprocess.DEVNULL)
    while killed.poll() is None:
        if (tracked.root / ".artifact-flow/mlflow/mlflow.db").is_file() and any(
            run.inputs.dataset_inputs for run in tracked.runs()
        ):
            killed.kill()
            killed.wait()
    (left,) = tracked.runs()
    if left.info.status == "RUNNING":  # makes the run look old, so that no process waits for it
        with sqlite3.connect(tracked.root / ".artifact-flow/mlflow/mlflow.db") as database:
            database.execute("update runs set start_time = start_time - 100000")
    tracked.ask("track")
    (run,) = tracked.runs()
    assert run.info.run_id == left.info.run_id
    assert run.info.status == "FINISHED"
    assert tracked.client().get_metric_history(run.info.run_id, "test.accuracy")[1:] == []


@pytest.mark.slow
def test_outputs_that_differ_from_the_lock_are_not_logged(tracked: Tracked) -> None:
    """A missing, an edited and a damaged output are each reported, and no run is created."""
    (tracked.root / "plots/confusion.csv").unlink()
    assert tracked.refuse("track").startswith("error: plots/confusion.csv cannot be read (No such file")
    tracked.run("dvc", "checkout", "--quiet")
    tracked.edit("metrics.json", lambda text: text.replace("0.961", "0.999"))
    assert tracked.refuse("track").startswith("error: metrics.json is not the one that dvc.lock names (md5 ")
    tracked.run("git", "checkout", "metrics.json")
    (tracked.root / "model_train.pkl").write_bytes(b"other")
    assert tracked.refuse("track").startswith("error: model_train.pkl is not the one that dvc.lock names")
    assert tracked.refuse("track", "flows/none").startswith(
        "error: flows/none is not a folder: give the folder of a dvc.yaml"
    )
    assert tracked.refuse("track", "docs").startswith("error: no dvc.lock lists an output in ")
    assert tracked.runs() == []


def test_an_unavailable_server_is_reported(tracked: Tracked) -> None:
    """No server, rejected credentials, another kind of server; the password in an address is not shown."""
    down = f"http://someone:secret@127.0.0.1:{free_port()}"
    said = tracked.refuse("track", MLFLOW_TRACKING_URI=down, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert "does not answer: start it (`make mlflow` starts one on this machine)" in said
    assert "secret" not in said

    class Refuses(http.server.BaseHTTPRequestHandler):
        status = 401

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        said = tracked.refuse("track", MLFLOW_TRACKING_URI=here)
        assert "rejects the credentials: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said
        Refuses.status = 404
        said = tracked.refuse("track", MLFLOW_TRACKING_URI=here)
        assert "is not an MLflow server, or is older than version 3" in said
        server.shutdown()


@pytest.mark.slow
def test_an_unusable_database_is_reported(tracked: Tracked) -> None:
    """Locked, of another MLflow version, or not a database; afterwards the same command works."""
    tracked.client().search_experiments()
    path = tracked.root / ".artifact-flow/mlflow/mlflow.db"
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("begin exclusive")
        assert "is locked by another process" in refusal(tracked, "track")
        database.execute("rollback")
        (version,) = database.execute("select version_num from alembic_version").fetchone()
        database.execute("update alembic_version set version_num = 'from the future'")
    database.close()
    assert "has the tables of another MLflow version" in refusal(tracked, "track")
    with sqlite3.connect(path) as database:
        database.execute("update alembic_version set version_num = ?", (version,))
    database.close()
    tracked.ask("track")
    other = replace(tracked, uri=f"sqlite:///{tracked.root}/README.md")
    assert "file is not a database" in other.refuse("track")


@pytest.mark.slow
def test_a_full_disk_is_reported_and_a_retry_completes(tracked: Tracked) -> None:
    """A full disk gives one sentence; with free space, the same command completes the same run."""
    tracked.client().search_experiments()
    store = tracked.root / ".artifact-flow/mlflow/artifacts"
    size = ["-t", "tmpfs", "-o", "size=16k", "tmpfs", str(store)]
    store.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", *size], check=False, capture_output=True).returncode:
        pytest.skip("needs root and the right to mount, for a disk that is full")
    try:
        assert "has no space left" in tracked.refuse("track")
    finally:
        subprocess.run(["umount", str(store)], check=True)
    tracked.ask("track")
    (run,) = tracked.runs()
    assert run.info.status == "FINISHED"


@pytest.mark.slow
def test_only_the_configured_server_is_contacted(tracked: Tracked) -> None:
    """Tracking, registering, promoting and mirroring offline open no network connection, as seen by the kernel."""
    traced = tracked.root.parent / "calls"
    strace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(traced)]
    if subprocess.run(["which", "strace"], check=False, capture_output=True).returncode:
        pytest.skip("needs strace: apt-get install strace")
    for arguments in (("track", "--sink", "mlflow", "--sink", "wandb"), ("register",), ("promote",)):
        done = subprocess.run(
            [*strace, sys.executable, "-m", "artifact_flow.cli", *arguments],
            check=False,
            cwd=tracked.root,
            env=tracked.environ,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        called = [line for line in traced.read_text().splitlines() if "AF_INET" in line and "127.0.0.1" not in line]
        assert called == []


@pytest.mark.slow
def test_no_stage_imports_mlflow() -> None:
    """The stages do not import tracking, MLflow or W&B."""
    stages = ", ".join(f"artifact_flow.stages.{name}" for name in ("data", "train", "infer", "export", "quantize"))
    heavy = "{'mlflow', 'wandb', 'artifact_flow.tracking'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {stages}; print({heavy} & set(sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "set()\n"
