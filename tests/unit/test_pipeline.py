"""Which stages a dvc.yaml has and what they write, and that a lock's other entries count for nothing."""

from pathlib import Path

import pytest

from artifact_flow.core.base.errors import LockError, ModelError
from artifact_flow.core.base.lock import Way, locked_md5, read_lock, walk_stages
from artifact_flow.core.base.pipeline import Pipeline, parse_pipeline, read_pipeline
from artifact_flow.core.model.artifacts import open_portable

DVC_YAML = b"""\
stages:
  train:
    cmd: fit
    outs:
      - model_train.pkl: {persist: true}
    metrics: [metrics.json]
  fit:
    foreach: ${flows}
    do:
      cmd: fit ${key}
      outs: ["${key}/model.onnx"]
  each:
    foreach: [1, two]
    do: {cmd: "echo ${item}", wdir: sub, plots: ["${item}.csv"]}
  grid:
    matrix: {a: [1, 2], b: [x]}
    cmd: echo
    outs: ["${item.a}.txt"]
"""
VALUES = b"flows: {iris: {}, wine: {}}\n"
LOCK = """\
schema: '2.0'
stages:
  train:
    cmd: fit
    outs: [{path: model_train.pkl, md5: a1}]
  export:
    cmd: export
    outs: [{path: model.onnx, md5: a2}]
  fit@iris:
    cmd: fit iris
    outs: [{path: iris/model.onnx, md5: a3}]
  fit@gone:
    cmd: fit gone
    outs: [{path: gone/model.onnx, md5: a4}]
"""


@pytest.fixture
def pipeline() -> Pipeline:
    return parse_pipeline(DVC_YAML, VALUES)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock beside its dvc.yaml, which has lost a stage and a flow."""
    (tmp_path / "dvc.yaml").write_bytes(DVC_YAML)
    (tmp_path / "params.yaml").write_bytes(VALUES)
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path / "dvc.lock"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        *((name, True) for name in ("train", "fit@iris", "fit@wine", "each@1", "each@two", "grid@1-x")),
        *((name, False) for name in ("export", "fit", "fit@gone", "each@0", "each", "train@iris")),
    ],
)
def test_a_stage_is_there_or_not(pipeline: Pipeline, name: str, there: bool) -> None:
    """Plain ones, those of a flow that params.yaml holds, those of a list; of a matrix any."""
    assert (pipeline.find(name) is not None) is there


@pytest.mark.parametrize(
    ("path", "made"),
    [
        *((path, True) for path in ("model_train.pkl", "metrics.json", "iris/model.onnx", "sub/two.csv", "1.txt")),
        *((path, False) for path in ("model.onnx", "gone/model.onnx", "two.csv", "params.yaml")),
    ],
)
def test_a_file_is_made_or_not(pipeline: Pipeline, path: str, made: bool) -> None:
    """Outputs, metrics and plots, in the place where their stage runs."""
    assert pipeline.makes(path) is made


def test_a_lock_tells_of_the_stages_that_there_are(lock: Path) -> None:
    """What DVC leaves of a stage or a flow that has gone is not read."""
    assert list(read_lock(lock)) == ["train", "fit@iris"]
    assert locked_md5(lock.with_name("model_train.pkl"), lock) == "a1"
    assert locked_md5(lock.with_name("model.onnx"), lock) is None
    assert locked_md5(lock.parent / "gone/model.onnx", lock) is None
    lock.with_name("params.yaml").write_text("flows: {}\n")
    assert list(read_lock(lock)) == ["train"]


def test_a_lock_alone_is_taken_whole(lock: Path) -> None:
    """An image holds the lock without the dvc.yaml."""
    lock.with_name("dvc.yaml").unlink()
    assert len(read_lock(lock)) == 4
    assert read_pipeline(lock.parent) is None


@pytest.mark.parametrize(
    "content", [b"<<<<<<< HEAD\nstages: {}\n", b"\xff", b"- a\n", b"stages: 1\n", b"stages: {a: 1}"]
)
def test_a_damaged_pipeline_is_one_sentence(content: bytes) -> None:
    """The marks of a conflict, bytes that are no text, something else than stages."""
    with pytest.raises(LockError, match=r"dvc.yaml or the params.yaml next to it is damaged .*: fix it") as error:
        parse_pipeline(content, b"")
    assert "\n" not in str(error.value)


def test_a_model_that_nothing_makes_is_told_so(lock: Path) -> None:
    """The sentence names the models that there are instead; where a stage makes it, it says so."""
    folder = lock.parent
    with pytest.raises(ModelError) as error:
        open_portable(folder / "model.onnx", folder / "contract.json", lock)
    assert str(error.value) == (
        f"{folder}/model.onnx cannot be read (No such file or directory): no stage of {folder}/dvc.yaml makes it: "
        f"predict with another file (--model {folder}/model_train.pkl); only an ONNX file can be served."
    )
    with pytest.raises(ModelError, match="`dvc repro` makes it"):
        open_portable(folder / "iris/model.onnx", folder / "iris/contract.json", lock)


@pytest.mark.parametrize(
    ("way", "start", "found"),
    [
        ("before", ["infer"], ["infer", "train", "data"]),
        ("after", ["data"], ["data", "train", "infer"]),
        ("before", ["data", "data"], ["data"]),
        ("after", ["alone"], ["alone"]),
    ],
)
def test_stages_are_walked_along_what_they_make_and_read(way: Way, start: list[str], found: list[str]) -> None:
    """A file in a folder that a stage makes counts as the folder, and a folder as the files that are made in it."""

    def stage(deps: list[str], outs: list[str]) -> dict[str, list[dict[str, str]]]:
        return {"deps": [{"path": path} for path in deps], "outs": [{"path": path} for path in outs]}

    stages = {
        "data": stage(["rows.csv"], ["tables"]),
        "train": stage(["tables/train.csv"], ["models/a.pkl", "models/b.pkl"]),
        "infer": stage(["models"], ["predictions.csv"]),
        "alone": stage(["tables_of_others"], ["model"]),
    }
    assert sorted(walk_stages(stages, start, way)) == sorted(found)
