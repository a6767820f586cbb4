"""MLproject: `mlflow run` for the pipeline, for an experiment with other parameters, and for a data set."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tracking.conftest import SOURCE, Tracked
from tracking.test_runs import refusal

from artifact_flow.core.base.errors import ParamsError
from artifact_flow.tracking.experiment import run_experiment

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, about its parts


def mlflow_run(tracked: Tracked, *arguments: str, code: int = 0) -> str:
    """Run `mlflow run .` in the repository and return what it printed."""
    return tracked.run(sys.executable, "-m", "mlflow", "run", ".", "--env-manager=local", *arguments, code=code)


@pytest.mark.slow
def test_main_reproduces_and_tracks(tracked: Tracked) -> None:
    """`mlflow run .` leaves a run in the embedded database and a clean working tree."""
    (tracked.root / "predictions.csv").unlink()
    said = mlflow_run(tracked)
    assert "digits: run " in said
    assert len(tracked.runs()) == 1
    assert tracked.is_clean()


@pytest.mark.slow
def test_train_is_a_dvc_experiment_and_a_run(tracked: Tracked) -> None:
    """`-e train -P C=0.5` runs `dvc exp run`, logs the result, and changes one line of params.yaml."""
    before = (tracked.root / "params.yaml").read_text()
    mlflow_run(tracked, "-e", "train", "-P", "C=0.5")
    (run,) = tracked.runs()
    expected = {"train.C": "0.5", "train.max_iter": "1000", "data.test_size": "0.2", "data.seed": "42"}
    assert expected.items() <= run.data.params.items()
    assert (tracked.root / "params.yaml").read_text() == before.replace("C: 1.0", "C: 0.5")
    table = tracked.run("dvc", "exp", "show", "--csv", "--drop", ".*", "--keep", "train.C")
    assert [line.split(",")[-1] for line in table.splitlines()[-2:]].count("0.5") == 1
    tracked.run("dvc", "status", "--quiet")


@pytest.mark.slow
def test_a_wrong_type_is_one_sentence(tracked: Tracked) -> None:
    """The error is one sentence; nothing is changed and nothing runs."""
    said = mlflow_run(tracked, "-e", "train", "-P", "C=abc", code=1)
    assert "error: C is 'abc'; allowed: a number." in said
    assert "Traceback" not in said
    assert refusal(tracked, "experiment", "--max-iter", "2.5") == "error: max_iter is '2.5'; allowed: a whole number.\n"
    assert refusal(tracked, "experiment", "--test-size", "2").startswith(
        "error: params.yaml: data.test_size is 2.0 (a number); allowed: a number between 0 and 1"
    )
    assert tracked.is_clean()


@pytest.mark.slow
def test_a_value_that_the_estimator_refuses_does_not_change_params_yaml(tracked: Tracked) -> None:
    """The stage's error is shown, and params.yaml is unchanged."""
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
    assert done.stderr.endswith("error: `dvc exp run` failed for the reason above; params.yaml is unchanged.\n")
    assert tracked.run("git", "diff", "--stat", "params.yaml") == ""


@pytest.mark.parametrize(
    ("block", "values", "reason"),
    [
        (
            {"estimator": "sklearn.tree.DecisionTreeClassifier"},
            {"C": "1"},
            "train.C is not an argument of sklearn.tree.",
        ),
        (
            {"search": {"strategy": "grid", "space": {"C": [1.0]}}},
            {"C": "2"},
            "train.search.space.C lists the values to try",
        ),
        ({}, {"C": "nan"}, "C is 'nan'; allowed: a number."),
    ],
)
def test_a_value_without_effect_is_refused(
    block: dict[str, Any], values: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument unknown to the estimator, a searched argument, or NaN: one sentence, and no change."""
    document = YAML(typ="safe").load(SOURCE / "tests/unit/params.yaml")
    document["train"] = {"estimator": "sklearn.linear_model.LogisticRegression", "threads": 1} | block
    params = tmp_path / "params.yaml"
    YAML().dump(document, params)
    before = params.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=re.escape(reason)):
        run_experiment({"test_size": None, "max_iter": "", **values})
    assert params.read_bytes() == before


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A web server with docs/houses.csv, also in an archive."""
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copy(SOURCE / "docs/houses.csv", folder)
    with tarfile.open(folder / "houses.tgz", "w:gz") as archive:
        archive.add(folder / "houses.csv", "set/houses.csv")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_a_data_set_is_downloaded_tracked_and_logged(tracked: Tracked, address: str) -> None:
    """The file is in data/, in DVC, and in MLflow as a data set; a second download adds nothing."""
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
    assert f"run {run.info.run_id} already contains it" in again
    assert len(tracked.runs("data")) == 1
    assert tracked.refuse("download", "--url", f"{address}/none.csv", "--name", "n.csv").startswith(
        f"error: {address}/none.csv cannot be downloaded ("
    )
    assert "'../n.csv' is not a file name" in tracked.refuse("download", "--url", address, "--name", "../n.csv")
    tracked.run("dvc", "status", "--quiet")
    tracked.run("sh", "-e", "-c", again.splitlines()[2])
    staged = tracked.run("git", "diff", "--staged", "--name-only").splitlines()
    assert staged == ["data/.gitignore", "data/houses.csv.dvc"]


@pytest.mark.slow
def test_the_commands_printed_after_a_download_work(tracked: Tracked, address: str) -> None:
    """They unpack an archive, add the files to git, make the table the main flow, and reproduce it."""
    said = tracked.ask("download", "--url", f"{address}/houses.tgz")
    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert commands == [
        "git add data/houses.tgz.dvc data/houses.csv.dvc data/.gitignore",
        "artifact-flow init --data data/houses.csv --target price",
        "dvc repro",
    ]
    for command in commands:
        said = tracked.run("sh", "-e", "-c", command)
        if "init" in command:  # and what it advises: git refuses the table itself, which DVC keeps
            (advice,) = re.findall(r"Now: (.*), then make", said)
            tracked.run("sh", "-e", "-c", advice)
    assert "r2" in (tracked.root / "metrics.json").read_text()
    tracked.commit("Houses")
    tracked.run("dvc", "status", "--quiet", "dvc.yaml")


@pytest.mark.slow
def test_an_untracked_file_is_not_overwritten(tracked: Tracked, address: str) -> None:
    """A file in data/ that DVC does not track stays; a password in an address is neither logged nor shown."""
    own = tracked.root / "data/houses.csv"
    own.parent.mkdir()
    own.write_text("mine")
    said = tracked.refuse("download", "--url", f"{address}/houses.csv")
    assert said.startswith("error: data/houses.csv exists already and DVC does not track it: move it, then run")
    assert own.read_text() == "mine"
    secret = address.replace("://", "://someone:secret@")
    said = tracked.refuse("download", "--url", f"{secret}/none.csv?key=hidden")
    assert "secret" not in said
    assert "hidden" not in said
