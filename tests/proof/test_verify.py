"""The verdict on each file, its likely cause, and the tolerances that count where bytes are not promised."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artifact_flow.core.base.lock import output_hashes
from artifact_flow.proof.clone import Reproduction
from artifact_flow.proof.compare import likely_cause, metrics_alike, predictions_alike
from artifact_flow.proof.surroundings import AS_IT_IS, CHANGES, EVERYTHING

LOCK: dict[str, dict[str, Any]] = {
    "train": {
        "cmd": "fit",
        "deps": [{"path": "models.py", "md5": "a1"}],
        "params": {"params.yaml": {"train": {"C": 1.0}}},
        "outs": [{"path": "model.pkl", "md5": "a2"}],
    },
    "infer": {
        "cmd": "predict",
        "deps": [{"path": "model.pkl", "md5": "a2"}, {"path": "scoring.py", "md5": "a3"}],
        "outs": [{"path": "predictions.csv", "md5": "a4"}],
    },
}


def reproduction(lock: dict[str, Any] = LOCK, name: int = 0, **hashes: str) -> Reproduction:
    """Return what one clone left, some outputs with other hashes."""
    return Reproduction((AS_IT_IS, *CHANGES)[name], Path(), lock, output_hashes(LOCK) | hashes)


def changed(stage: str, key: str, value: Any) -> dict[str, Any]:
    """Return the lock with one entry of one stage changed."""
    lock = copy.deepcopy(LOCK)
    lock[stage][key] = value
    return lock


@pytest.mark.parametrize(
    ("lock", "cause"),
    [
        (changed("train", "cmd", "fit better"), "command of train"),
        (changed("train", "params", {"params.yaml": {"train": {"C": 0.5}}}), "params.yaml (train)"),
        (changed("train", "deps", [{"path": "models.py", "md5": "b1"}]), "models.py"),
        (changed("infer", "deps", [{"path": "model.pkl", "md5": "b2"}]), "scoring.py"),
    ],
)
def test_the_cause_of_a_stale_lock_is_its_changed_input(lock: dict[str, Any], cause: str) -> None:
    """A changed input upstream explains the difference of every file after it."""
    other = reproduction(lock)
    assert likely_cause("predictions.csv", LOCK, [other], [other]) == (
        f"dvc.lock was made with a different {cause}: run `dvc repro` and commit the lock"
    )


def test_a_changed_input_downstream_is_not_the_cause() -> None:
    """An input that only `infer` reads cannot have changed the model."""
    other = reproduction(changed("infer", "deps", [{"path": "scoring.py", "md5": "b3"}]))
    assert likely_cause("model.pkl", LOCK, [other], [other]).startswith("all runs agree on different bytes")
    assert "a different scoring.py" in likely_cause("dvc.lock", LOCK, [other], [other])


def test_one_surrounding_that_differs_is_named() -> None:
    """If the bytes differ only where the threads change, the cause is "depends on: threads"."""
    runs = [reproduction(), reproduction(name=2)]
    assert likely_cause("model.pkl", LOCK, runs, runs[1:]) == "depends on: threads"


def test_runs_that_all_differ_are_not_deterministic() -> None:
    """If no two runs agree, the cause is a pipeline that is not deterministic."""
    runs = [reproduction(**{"model.pkl": "b1"}), reproduction(**{"model.pkl": "b2"})]
    assert likely_cause("model.pkl", LOCK, runs, runs) == "not deterministic: each run gives different bytes"


def test_runs_that_agree_against_the_lock_mean_a_forged_lock() -> None:
    """If all clones agree with each other but not with the lock, the lock is wrong."""
    runs = [reproduction(**{"predictions.csv": "b4"}), reproduction(**{"predictions.csv": "b4"})]
    assert "forged with `dvc commit -f`" in likely_cause("predictions.csv", LOCK, runs, runs)
    assert likely_cause("dvc.lock", LOCK, runs, runs) == "names other outputs than this commit produces"


def test_the_quick_proof_contains_every_change() -> None:
    """The second run of the quick proof combines all changes of the full one."""
    for change in CHANGES:
        assert change.environ.items() <= EVERYTHING.environ.items()
    assert EVERYTHING.directory == CHANGES[-1].directory != AS_IT_IS.directory
    assert len(CHANGES) >= 5


@pytest.mark.parametrize(
    ("found", "alike"),
    [
        ({"test": {"accuracy": 0.951, "mse": 3000.0}}, True),
        ({"test": {"accuracy": 0.96, "mse": 3029.0}}, True),
        ({"test": {"accuracy": 0.97, "mse": 3000.0}}, False),
        ({"test": {"accuracy": 0.95, "mse": 3031.0}}, False),
        ({"test": {"accuracy": 0.95}}, False),
        ({"train": {"accuracy": 0.95, "mse": 3000.0}}, False),
        ({}, False),
    ],
)
def test_metrics_agree_within_a_hundredth(found: dict[str, Any], alike: bool) -> None:
    """The same names, with values within 0.01, or within 1 % above 1."""
    assert metrics_alike({"test": {"accuracy": 0.951, "mse": 3000.0}}, found) is alike


CLASSES = "id,split,target,prediction,probability\n0,train,a,a,0.9\n1,test,b,a,0.6\n"
NUMBERS = "id,split,target,prediction,probability\n0,train,1.0,1.0,\n1,test,3.0,3.0,\n"


@pytest.mark.parametrize(
    ("committed", "old", "new", "alike"),
    [
        (CLASSES, "0.6", "0.64", True),
        (CLASSES, "0.6", "0.66", False),
        (CLASSES, "b,a,", "b,b,", False),
        (CLASSES, "test", "train", False),
        (CLASSES, "1,test", "2,test", False),
        (CLASSES, "1,test,b,a,0.6\n", "", False),
        (CLASSES, "probability", "confidence", False),
        (NUMBERS, "3.0,3.0", "3.0,3.04", True),
        (NUMBERS, "3.0,3.0", "3.0,3.06", False),
    ],
)
def test_predictions_agree_row_by_row(tmp_path: Path, committed: str, old: str, new: str, alike: bool) -> None:
    """The same rows and labels, with probabilities within 0.05 and numbers within 0.05 standard deviations."""
    assert old in committed
    (tmp_path / "one.csv").write_text(committed)
    (tmp_path / "two.csv").write_text(committed.replace(old, new))
    assert predictions_alike(tmp_path / "one.csv", tmp_path / "two.csv") is alike


def test_a_file_that_no_run_produces_is_reported() -> None:
    """For example, if a matrix stage was deleted, which only DVC can find out."""
    runs = [replace(run, hashes={}) for run in (reproduction(), reproduction(name=1))]
    assert likely_cause("predictions.csv", LOCK, runs, runs).startswith("no run produces it: dvc.lock has a stage")
