"""What a stage reads is found in dvc.yaml, and a change of it is told; what it does not read may change."""

import json
import os
import sys
import types
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from artifact_flow.core import stage
from artifact_flow.core.base.errors import ChangedError
from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.fingerprint import (
    LARGE,
    Fingerprint,
    compare_params,
    read_inputs,
    take_fingerprint,
    unchanged_inputs,
)
from artifact_flow.core.base.params import Params

DEFAULTS = Path(__file__).with_name("params.yaml")
PIPELINE = """
vars:
  - folder: src
stages:
  train:
    cmd: x
    params:
      - train
      - other.yaml:
          - a.b
      - whole.yaml:
    deps:
      - data.csv
      - ${folder}
      - ${data.source}
      - s3://bucket/far
    outs: [model]
  each:
    foreach: ${flows}
    do:
      cmd: x
      params: ["flows.${key}.train"]
      deps: ["${key}/data.csv", "${item.source}"]
  listed:
    foreach: [one, two]
    do:
      cmd: x
      deps: ["${item}.csv"]
  crossed:
    matrix: {kind: [a, b]}
    cmd: x
    deps: ["${item.kind}.csv", data.csv]
  unknown:
    cmd: x
    deps: ["${no.such}", data.csv]
"""
PARAMS = """
train: {C: 1.0, names: [a, b]}
infer: {decimals: 8}
data: {source: rows.csv}
flows:
  iris: {source: iris.csv, train: {C: 1}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a pipeline and its files, which is the current directory."""
    for folder in (".dvc", "src/__pycache__", "src/serving", "iris"):
        (tmp_path / folder).mkdir(parents=True)
    files = {
        "dvc.yaml": PIPELINE,
        "params.yaml": PARAMS,
        "other.yaml": "a: {b: 1, c: 2}",
        "whole.yaml": "a: 1",
        ".dvcignore": "__pycache__/\n# a comment\n/src/serving/\n",
        "data.csv": "1",
        "rows.csv": "1",
        "iris.csv": "1",
        "iris/data.csv": "1",
        "src/one.py": "1",
        "src/serving/app.py": "1",
        "src/__pycache__/one.pyc": "1",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fingerprint_of(stage: str) -> Fingerprint:
    """Return the fingerprint of a stage that DVC runs."""
    found = take_fingerprint({"DVC_STAGE": stage})
    assert found is not None
    return found


def change(path: str, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        ("params.yaml", "C: 1.0", "C: 0.5", "params.yaml: train.C"),
        ("params.yaml", "C: 1.0", "C: 1", "params.yaml: train.C"),
        ("params.yaml", "C: 1.0", "C: true", "params.yaml: train.C"),
        ("params.yaml", "C: 1.0, ", "", "params.yaml: train.C"),
        ("params.yaml", "C: 1.0", "C: 1.0, D: 2", "params.yaml: train.D"),
        ("params.yaml", "[a, b]", "[b, a]", "params.yaml: train.names"),
        ("params.yaml", "train: {C: 1.0", "trane: {C: 1.0", "params.yaml: train"),
        ("params.yaml", "train: {C: 1.0", "train: {C: {1.0", "params.yaml"),
        ("other.yaml", "b: 1", "b: 2", "other.yaml: a.b"),
        ("whole.yaml", "a: 1", "a: 2", "whole.yaml: a"),
        ("data.csv", "1", "2", "data.csv"),
        ("rows.csv", "1", "12", "rows.csv"),
        ("src/one.py", "1", "2", "src/one.py"),
    ],
)
def test_a_change_of_what_is_read_is_told(root: Path, path: str, old: str, new: str, told: str) -> None:
    """Values of parameters by their names, files by theirs; the sentence says what to do."""
    before = fingerprint_of("train")
    change(path, old, new)
    with pytest.raises(ChangedError) as raised:
        before.check()
    assert str(raised.value) == (
        f"{told} changed while stage train ran, so dvc.lock would record inputs that the stage did not use: "
        "run `dvc repro` again."
    )


def test_files_that_come_and_go_are_told(root: Path) -> None:
    """A new module in a folder, one that is gone, and a file that is gone; many changes are counted."""
    before = fingerprint_of("train")
    (root / "src/two.py").write_text("2")
    (root / "src/one.py").unlink()
    (root / "data.csv").unlink()
    with pytest.raises(ChangedError, match=r"^data\.csv, src/one\.py, src/two\.py changed while"):
        before.check()
    for number in range(9):
        (root / f"src/m{number}.py").write_text("")
    with pytest.raises(ChangedError, match=r"^data\.csv, src/m0\.py, .*, src/m3\.py and 7 more changed while"):
        before.check()


def test_what_is_not_read_may_change(root: Path) -> None:
    """Comments, other blocks, other keys, what DVC ignores, a touched file, one that is written again as it was."""
    before = fingerprint_of("train")
    change("params.yaml", "decimals: 8", "decimals: 7")
    change("params.yaml", "infer", "# a comment\ninfer")
    change("other.yaml", "c: 2", "c: 3")
    for path in ("src/serving/app.py", "src/__pycache__/two.pyc", "iris.csv", "dvc.yaml"):
        (root / path).write_text("2")
    os.utime("data.csv", ns=(1, 1))
    (root / "src/one.py").unlink()
    (root / "src/one.py").write_text("1")
    before.check()


def test_a_large_file_is_told_by_its_stat(root: Path) -> None:
    """It is not read, so a touched one counts as changed: what is refused in vain is run again."""
    with (root / "data.csv").open("wb") as file:
        file.truncate(LARGE + 1)
    before = fingerprint_of("train")
    before.check()
    os.utime("data.csv", ns=(1, 1))
    with pytest.raises(ChangedError, match=r"^data\.csv changed while"):
        before.check()


@pytest.mark.parametrize(
    ("address", "deps", "params"),
    [
        ("train", ("data.csv", "src", "rows.csv", "s3://bucket/far"), ["params.yaml", "other.yaml", "whole.yaml"]),
        ("each@iris", ("iris/data.csv", "iris.csv"), ["params.yaml"]),
        ("sub/dvc.yaml:each@iris", ("iris/data.csv", "iris.csv"), ["params.yaml"]),
        ("listed@two", ("two.csv",), []),
    ],
)
def test_templates_are_filled_in(root: Path, address: str, deps: tuple[str, ...], params: list[str]) -> None:
    """By params.yaml, by `vars`, and by the key and item of a foreach."""
    inputs = read_inputs(address, root)
    assert inputs is not None
    assert inputs.deps == deps
    assert list(inputs.params) == params
    if "each" in address:
        assert inputs.params["params.yaml"] == ("flows.iris.train",)


@pytest.mark.parametrize(("stage", "template"), [("unknown", "${no.such}"), ("crossed@a", "${item.kind}.csv")])
def test_a_template_that_cannot_be_filled_in_is_told(
    root: Path, capsys: pytest.CaptureFixture[str], stage: str, template: str
) -> None:
    """The stage runs, and what is not watched stands on stderr."""
    inputs = read_inputs(stage, root)
    assert inputs is not None
    assert inputs.deps == ("data.csv",)
    assert (
        f"warning: dvc.yaml: {template} of stage {stage} takes a value from a source other than"
        in capsys.readouterr().err
    )


def test_a_stage_may_run_in_a_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `wdir` its dvc.yaml lies above it; none is looked for above the repository."""
    monkeypatch.chdir("src")
    assert read_inputs("train", root) is not None
    assert read_inputs("train", root / "src") is None


@pytest.mark.parametrize("address", ["", "other", "each", "each@iris:"])
def test_without_a_stage_there_is_nothing_to_compare(root: Path, address: str) -> None:
    """Run by hand, a stage writes no lock."""
    assert take_fingerprint({"DVC_STAGE": address}) is None


@pytest.mark.parametrize("broken", ["", "[]", "stages: []", "stages: {train: 1}", "stages: {train: {deps: 3", ": ["])
def test_a_broken_pipeline_is_left_to_dvc(root: Path, broken: str) -> None:
    """DVC has read it before, and says what is wrong with it."""
    (root / "dvc.yaml").write_text(broken)
    assert take_fingerprint({"DVC_STAGE": "train"}) is None


def test_parameters_in_another_format_are_compared_by_their_bytes() -> None:
    """Only YAML and JSON are read."""
    assert list(compare_params("a.toml", b"a = 1", b"a = 1 # one", ["a"])) == ["a.toml"]
    assert list(compare_params("a.json", b'{"a": 1}', b'{"a":1}', ["a"])) == []


@pytest.mark.parametrize("late", [False, True])
def test_a_stage_puts_nothing_in_place_once_its_inputs_changed(root: Path, late: bool) -> None:
    """Before its outputs are in place nothing is written; after them, the stage fails all the same."""

    def write() -> None:
        if not late:
            Path("data.csv").write_text("2")
        with replace_files(Path("model")) as (part,):
            part.write_text("model")
        Path("data.csv").write_text("2")

    with (
        pytest.raises(ChangedError, match=r"^data\.csv changed while stage train ran"),
        unchanged_inputs(fingerprint_of("train")),
    ):
        write()
    assert (root / "model").exists() == late


@pytest.mark.parametrize(("flow", "folder"), [("iris", "iris"), ("", ".")])
def test_a_stage_is_given_the_parameters_and_the_folder_of_its_flow(
    root: Path, monkeypatch: pytest.MonkeyPatch, flow: str, folder: str
) -> None:
    """Without a flow they are those of the main one; a stage without parameters, as the gate is, gets the folder."""
    given: list[object] = []
    values = YAML(typ="safe").load(DEFAULTS)
    document = {"flows": {flow: values}} if flow else values
    (root / "params.yaml").write_text(json.dumps(document))
    monkeypatch.setitem(sys.modules, "artifact_flow.stages.own", own := types.ModuleType("own"))

    def main(params: Params, folder: Path) -> None:
        given.extend((params.data.source, folder))

    monkeypatch.setattr(own, "main", main, raising=False)
    stage.run("own", flow)
    monkeypatch.setattr(own, "main", given.append)
    stage.run("own", flow)
    assert given == ["digits", Path(folder), Path(folder)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "the following arguments are required: NAME"),
        (["trian"], "there is no stage trian: write src/artifact_flow/stages/trian.py, or correct the name"),
        (["../train"], "there is no stage ../train"),
        (["train", "iris", "wine"], "unrecognized arguments: wine"),
    ],
)
def test_a_stage_that_is_not_there_is_one_sentence(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt command in dvc.yaml ends with a reason, not with a traceback."""
    with pytest.raises(SystemExit) as ended:
        stage.parse_arguments(arguments)
    assert ended.value.code == 2
    assert f"stage: error: {reason}" in capsys.readouterr().err
