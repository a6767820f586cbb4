"""MLproject: the pipeline by `mlflow run`, an experiment with other parameters, a data set fetched."""

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from tracking.conftest import SOURCE, Tracked
from tracking.test_runs import refusal

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, about its parts


def mlflow_run(tracked: Tracked, *arguments: str, code: int = 0) -> str:
    """Run `mlflow run .` in the repository and return what it printed."""
    return tracked.run(sys.executable, "-m", "mlflow", "run", ".", "--env-manager=local", *arguments, code=code)


def test_main_reproduces_and_tracks(tracked: Tracked) -> None:
    """`mlflow run .` ends with a run in the repository's own database, and a clean tree."""
    (tracked.root / "predictions.csv").unlink()
    said = mlflow_run(tracked)
    assert "digits: run " in said
    assert len(tracked.runs()) == 1
    assert tracked.is_clean()


def test_train_is_a_dvc_experiment_and_a_run(tracked: Tracked) -> None:
    """`-e train -P C=0.5 -P max_iter=300` goes through `dvc exp run`, and its result is logged."""
    mlflow_run(tracked, "-e", "train", "-P", "C=0.5", "-P", "max_iter=300")
    (run,) = tracked.runs()
    expected = {"train.C": "0.5", "train.max_iter": "300", "data.test_size": "0.2", "data.seed": "42"}
    assert expected.items() <= run.data.params.items()
    table = tracked.run("dvc", "exp", "show", "--csv", "--drop", ".*", "--keep", "train.C")
    assert [line.split(",")[-1] for line in table.splitlines()[-2:]].count("0.5") == 1
    tracked.run("dvc", "status", "--quiet")


def test_a_wrong_type_is_one_sentence(tracked: Tracked) -> None:
    """Nothing is changed, nothing runs."""
    said = mlflow_run(tracked, "-e", "train", "-P", "C=abc", code=1)
    assert "error: C is 'abc'; allowed: a number." in said
    assert "Traceback" not in said
    assert refusal(tracked, "experiment", "--max-iter", "2.5") == "error: max_iter is '2.5'; allowed: a whole number.\n"
    assert refusal(tracked, "experiment", "--test-size", "2").startswith(
        "error: params.yaml: data.test_size is 2.0 (a number); allowed: a number between 0 and 1"
    )
    assert tracked.is_clean()


def test_a_value_that_the_estimator_refuses_leaves_the_parameters(tracked: Tracked) -> None:
    """The stage's sentence is shown, and params.yaml is what it was."""
    done = subprocess.run(
        [sys.executable, "-m", "artifact_flow.cli", "experiment", "--C", "-1"],
        check=False,
        cwd=tracked.root,
        env=tracked.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: params.yaml: train.C is -1.0; allowed: a float in the range (0.0, inf]." in done.stderr
    assert done.stderr.endswith("error: `dvc exp run` failed, for the reason above; params.yaml is what it was.\n")
    assert tracked.run("git", "diff", "--stat", "params.yaml") == ""


@pytest.fixture
def address() -> Iterator[str]:
    """A web server with docs/houses.csv."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(SOURCE / "docs"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_data_set_is_fetched_kept_and_logged(tracked: Tracked, address: str) -> None:
    """It lies in data/, DVC knows it, MLflow has it as a data set, and fetching it again adds nothing."""
    given = ["-P", f"file_url={address}/houses.csv", "-P", "artifact_name=houses.csv", "-P", "artifact_type=table"]
    said = mlflow_run(tracked, "-e", "download_data", *given, "-P", "artifact_description=Made-up houses")
    assert (tracked.root / "data/houses.csv").read_bytes() == (SOURCE / "docs/houses.csv").read_bytes()
    (run,) = tracked.runs("data")
    (data,) = run.inputs.dataset_inputs
    assert f"md5: {data.dataset.digest}" in (tracked.root / "data/houses.csv.dvc").read_text()
    assert run.data.tags["mlflow.note.content"] == "Made-up houses"
    assert run.data.tags["artifact_flow.type"] == "table"
    assert run.info.run_id in said
    again = tracked.ask("download", "--url", f"{address}/houses.csv", "--name", "houses.csv")
    assert f"run {run.info.run_id} holds it already" in again
    assert len(tracked.runs("data")) == 1
    assert refusal(tracked, "download", "--url", f"{address}/none.csv", "--name", "n.csv").startswith(
        f"error: {address}/none.csv cannot be fetched ("
    )
    assert "the name '../n.csv' is no file's" in refusal(tracked, "download", "--url", address, "--name", "../n.csv")
    tracked.run("dvc", "status", "--quiet")
    tracked.commit("Houses")
    assert "data/houses.csv.dvc" in tracked.run("git", "ls-files", "data")
