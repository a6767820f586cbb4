"""The registry: registering, promoting, rolling back, and serving and predicting from it."""

import sqlite3
from pathlib import Path

import pytest
from proof.voices import make_keys, say
from pyarrow import csv, parquet
from serving.server import Server
from serving.test_reload import reload
from tracking.conftest import Tracked
from tracking.test_runs import refusal

from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import hash_file
from artifact_flow.tracking.fetch import fetch

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, about its parts


def version(tracked: Tracked, alias: str) -> str:
    """Return the number of the version that an alias names."""
    return str(tracked.client().get_model_version_by_alias("digits", alias).version)


@pytest.mark.slow
def test_only_what_is_no_worse_is_promoted(tracked: Tracked) -> None:
    """Uncommitted and worse versions are refused; force promotes with a tag; roll-back and max_loss work."""
    assert tracked.refuse("register").startswith("error: no run at sqlite:///")
    tracked.ask("track")
    tracked.ask("register")
    assert tracked.refuse("promote", "--version", "7").endswith(
        "has no version 7 of digits: `make register` creates one."
    )
    tracked.ask("promote")
    assert version(tracked, "champion") == "1"

    tracked.set_param("C: 1.0", "C: 0.00001")
    tracked.repro()
    tracked.ask("track")
    tracked.ask("register")
    assert version(tracked, "challenger") == "2"
    assert "is not promoted: no commit reproduces it: commit, then run `make register`" in tracked.ask(
        "promote", code=1
    )
    tracked.commit("Worse")
    tracked.ask("track")
    tracked.ask("register")
    said = tracked.ask("promote", code=1)
    assert "test.accuracy" in said
    assert "more than 0 below the champion's 0.9611" in said
    assert version(tracked, "champion") == "1"
    assert "version 2 is the champion, promoted with --force: test.accuracy is" in tracked.ask("promote", "--force")
    assert version(tracked, "champion") == "2"
    tags = tracked.client().get_model_version("digits", "2").tags
    assert tags["artifact_flow.forced"].startswith("test.accuracy is 0.")

    tracked.ask("promote", "--version", "1")
    assert version(tracked, "champion") == "1"
    with Server(Path("models:/digits@champion"), cwd=tracked.root, MLFLOW_TRACKING_URI=tracked.database) as server:
        first = server.get("/model").headers["x-model-sha256"]
        tracked.edit("params.yaml", lambda text: text.replace("max_loss: 0.0 ", "max_loss: 0.9 "))
        assert tracked.ask("promote").endswith("digits: version 2 is the champion\n")
        (said,) = reload(server, "reloaded: ")  # SIGHUP asks the registry again
        second = server.get("/model").headers["x-model-sha256"]
        assert said == f"reloaded: digits {first[:12]} → {second[:12]}"
        assert (
            first != second == tracked.client().get_model_version("digits", "2").tags["artifact_flow.sha256.model.onnx"]
        )
    assert len(tracked.client().search_model_versions("name = 'digits'")) == 2


@pytest.mark.slow
def test_a_registered_version_is_served_and_predicts(tracked: Tracked, tmp_path: Path) -> None:
    """`serve` and `predict` accept models:/digits@champion and predict the same as the files in the workspace."""
    tracked.ask("track")
    tracked.ask("register")
    tracked.ask("promote")
    rows = tmp_path / "rows.csv"
    csv.write_csv(parquet.read_table(tracked.root / "data.parquet").slice(0, 20), rows)
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    tracked.ask("predict", str(rows), "--out", str(here))
    said = tracked.ask("predict", str(rows), "--model", "models:/digits@champion", "--out", str(there))
    assert "models:/digits@champion: version 1, each file as it was registered" in said
    assert here.read_bytes() == there.read_bytes()
    told = {"MLFLOW_TRACKING_URI": tracked.database}
    with Server(Path("models:/digits/1"), cwd=tracked.root, **told) as server:
        card = server.get("/model").document
        assert card["name"] == "digits"
        assert card["weights"] == ["float", "8bit"]
        assert server.post("/predict", card["example"]).status == 200


@pytest.mark.slow
def test_a_replaced_file_is_refused(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed model, contract or pickle in the store is not opened, nor a version that `register` did not create."""
    tracked.ask("track")
    tracked.ask("register")
    found = tracked.client().get_model_version("digits", "1")
    model = tracked.client().get_logged_model(found.source.removeprefix("models:/"))
    files = Path(model.artifact_location.removeprefix("file://")) / "data/files"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.database)
    monkeypatch.chdir(tracked.root)
    for name in ("model.onnx", "model_train.pkl", "contract.json"):
        before = (files / name).read_bytes()
        (files / name).write_bytes(before + b" ")
        said = "so it was replaced after registration and was not opened"
        with pytest.raises(TrackError, match=rf"^models:/digits/1 \(version 1\): {name} has the sha256 .*{said}"):
            fetch("models:/digits/1")
        if name == "model.onnx":
            assert said in refusal(tracked, "predict", "-", "--model", "models:/digits/1")
        (files / name).write_bytes(before)
    fetched = fetch("models:/digits/1")
    assert {name: hash_file(fetched.folder / name) for name in fetched.sha256} == fetched.sha256
    assert fetch("models:/digits/1") == fetched
    tracked.client().create_registered_model("theirs")
    tracked.client().create_model_version("theirs", found.source, model_id=model.model_id)
    said = refusal(tracked, "predict", "-", "--model", "models:/theirs/1")
    assert "has no hashes of its files, so `make register` did not create it" in said
    assert refusal(tracked, "serve", "models:/digits").startswith(
        "error: models:/digits does not name a version of a model"
    )


@pytest.mark.slow
def test_invalid_model_names_are_reported(tracked: Tracked) -> None:
    """A slash, a colon or an empty name gives MLflow's reason in one sentence; one name for two flows is refused."""
    tracked.ask("track")
    for name in ("a/b", "a:b", ""):
        assert "rejected the request (" in tracked.refuse("register", "--name", name)
    assert tracked.client().search_registered_models() == []
    assert tracked.refuse("register", ".", "flows/iris", "--name", "one").startswith(
        "error: --name one cannot apply to 2 flows"
    )
    assert "one: version 1 registered" in tracked.ask("register", "--name", "one")


@pytest.mark.slow
def test_a_deleted_experiment_is_reported(tracked: Tracked) -> None:
    """An experiment that was deleted in the MLflow page is not created again."""
    tracked.ask("track")
    tracked.client().delete_experiment(tracked.runs()[0].info.experiment_id)
    assert "the experiment digits was deleted: restore it with `mlflow experiments restore" in tracked.refuse("track")
    with sqlite3.connect(tracked.root / ".artifact-flow/mlflow/mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (1,)
    database.close()


@pytest.mark.slow
def test_a_version_that_too_few_reproduced_is_not_promoted(tracked: Tracked) -> None:
    """promote.min_rebuilders counts the statements about exactly the version's file; --force overrides it."""
    tracked.set_param("max_loss: 0.0", "max_loss: 0.0\n  min_rebuilders: 2")
    tracked.commit("Two must reproduce it")
    tracked.ask("track")
    tracked.ask("register")
    assert "trusted cannot be read" in tracked.refuse("promote")
    keys = make_keys(tracked.root / "trusted", "ada", "bob")
    model = tracked.root / "model.onnx"
    say(model, keys[0])
    said = tracked.ask("promote", code=1)
    assert "is not promoted: model.onnx is reproduced by 1 of the 2 keys that are required" in said
    say(model, keys[1], "DIVERGED")
    assert "is not promoted: model.onnx is reproduced by 1 of the 2 keys" in tracked.ask("promote", code=1)
    say(model, keys[1])
    assert "version 1 is the champion" in tracked.ask("promote")
