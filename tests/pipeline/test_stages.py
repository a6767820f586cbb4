"""Each stage, run in this process: what it writes, and what it says of bad input, with earlier outputs intact."""

import importlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from project import OUTPUTS, Project

from artifact_flow.core.base.errors import exit_on_error
from artifact_flow.core.base.params import load_params

REGRESSION = {
    "source: digits": "source: diabetes",
    "stratify: true": "stratify: false",
    "LogisticRegression": "LinearRegression",
    "  C: 1.0": "  fit_intercept: true",
    "  solver: lbfgs": "  tol: 1e-6",
    "  max_iter: 1000": "  n_jobs: null",
    "max_difference: 1.0e-5": "max_difference: 1.0e-4",
}
STAGES = ("data", "train", "infer", "export", "quantize")


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A reproduced project that is the current directory."""
    monkeypatch.chdir(project.root)
    return project


def run_stage(name: str) -> None:
    """Run a stage's main as `python -m` does."""
    with exit_on_error():
        importlib.import_module(f"artifact_flow.stages.{name}").main(load_params(), Path())


def sentence_of(name: str) -> str:
    """Run a stage that must fail and return its sentence."""
    with pytest.raises(SystemExit) as ended:
        run_stage(name)
    sentence = str(ended.value.code)
    assert sentence.startswith("error: ")
    assert "\n" not in sentence
    return sentence


@pytest.mark.slow
def test_the_stages_write_what_dvc_reproduced(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Run by hand on nothing, the stages give the bytes that `dvc repro` gave, and the report."""
    locked = here.hashes()
    for path in OUTPUTS:
        (here.root / path).unlink()
    for stage in STAGES:
        run_stage(stage)
    assert here.hashes() == locked
    printed = capsys.readouterr().out
    assert "digits: 1797 rows, 64 features; 1437 train, 360 test" in printed
    assert "macro avg" in printed
    assert "test: accuracy 0.9611, f1_macro 0.9608" in printed


@pytest.mark.slow
def test_a_regression_goes_through_by_parameters_alone(here: Project) -> None:
    """Another table and a regressor need no other edit."""
    for old, new in REGRESSION.items():
        here.set_param(old, new)
    (here.root / "dvc.lock").unlink()
    for stage in STAGES:
        run_stage(stage)
    metrics = json.loads((here.root / "metrics.json").read_text())
    assert metrics["test"] == {"r2": 0.45260276, "mse": 2900.1936, "mae": 42.794095}
    assert (here.root / "predictions.csv").read_text().splitlines()[1] == "0,test,151,210.74209,"
    assert (here.root / "plots/predicted_actual.csv").read_text().count("\n") == 90
    assert (here.root / "plots/confusion.csv").read_text() == "actual,predicted,rows\n"


def test_a_warning_of_the_estimator_is_told_once(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A fit that did not converge says so in one line, without a source line of scikit-learn."""
    here.set_param("max_iter: 1000", "max_iter: 5")
    run_stage("train")
    warned = capsys.readouterr().err
    assert warned.startswith("warning: The fit in fixed order has not converged after 5 iterations")
    assert warned.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "stage", "sentence"),
    [
        ("C: 1.0", 'C: "one"', "train", "params.yaml: train.C is 'one'; allowed: a float in the range (0.0, inf]"),
        ("C: 1.0", "C: 0", "train", "params.yaml: train.C is 0; allowed: a float"),
        ("max_iter: 1000", "max_iter: 1.5", "train", "params.yaml: train.max_iter is 1.5; allowed: an int"),
        ("C: 1.0", "Cc: 1.0", "train", "params.yaml: train.Cc is not an argument of"),
        ("LogisticRegression", "LogisticRegresion", "train", "has no LogisticRegresion (did you mean"),
        (
            "linear_model.LogisticRegression",
            "preprocessing.StandardScaler",
            "train",
            "is not a classifier or",
        ),
        ("seed: 42", "seed: -1", "data", "params.yaml: data.seed is -1 (a number); allowed: a whole number"),
        ("test_size: 0.2", "test_size: 1.5", "data", "params.yaml: data.test_size is 1.5 (a number); allowed"),
        ("source: digits", "source: digit", "data", "data.source is 'digit' (did you mean digits?); allowed:"),
        ("decimals: 8", "decimal: 8", "infer", "params.yaml: infer.decimals is missing"),
        ("infer:", "infre:", "infer", "params.yaml: infre is not a known key (did you mean infer?)"),
        ("data:", "data: {", "train", "params.yaml, line "),
    ],
)
def test_bad_parameters_change_nothing(here: Project, old: str, new: str, stage: str, sentence: str) -> None:
    """One sentence, and every earlier output as it was."""
    before = here.hashes()
    here.set_param(old, new)
    assert sentence in sentence_of(stage)
    assert here.hashes() == before


def replaced(content: bytes) -> Callable[[Path], object]:
    """Return a spoiler that replaces a file's content."""
    return lambda path: path.write_bytes(content)


def truncated(path: Path) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edited(path: Path) -> None:
    """Change one character of a text."""
    path.write_text(path.read_text().replace("16.0", "17.0", 1))


def without_a_column(path: Path) -> None:
    """Write a table back without one of its columns."""
    pq.write_table(pq.read_table(path).drop_columns(["pixel_0_0"]), path)


def with_another_row_order(path: Path) -> None:
    """Write a table back in another order."""
    table = pq.read_table(path)
    pq.write_table(table.take(list(reversed(range(table.num_rows)))), path)


@pytest.mark.parametrize(
    ("path", "spoil", "stage", "sentence"),
    [
        ("data.parquet", truncated, "infer", "data.parquet is not the table that contract.json names"),
        ("data.parquet", truncated, "train", "data.parquet is damaged or not Parquet ("),
        ("data.parquet", without_a_column, "train", "data.parquet has no column pixel_0_0"),
        ("data.parquet", Path.unlink, "infer", "data.parquet cannot be read (No such file or directory)"),
        ("data.parquet", Path.unlink, "train", "data.parquet is missing"),
        ("data.parquet", with_another_row_order, "infer", "data.parquet is not the table that contract.json names"),
        ("model_train.pkl", truncated, "infer", "model_train.pkl is not the model that contract.json names"),
        ("model_train.pkl", replaced(b"cos\nsystem\n(S'false'\ntR."), "infer", "so it was not opened"),
        ("model_train.pkl", Path.unlink, "infer", "model_train.pkl cannot be read"),
        ("contract.json", edited, "infer", "contract.json is not the one that dvc.lock names (md5 "),
        ("contract.json", Path.unlink, "infer", "contract.json cannot be read"),
        ("params.yaml", Path.unlink, "infer", "params.yaml is missing in "),
    ],
)
def test_a_spoilt_hand_over_stops_the_stage(
    here: Project, path: str, spoil: Callable[[Path], object], stage: str, sentence: str
) -> None:
    """What an earlier step left is checked before it is used; predictions and metrics stay as they were."""
    spoil(here.root / path)
    before = {name: (here.root / name).read_bytes() for name in OUTPUTS if (here.root / name).exists()}
    assert sentence in sentence_of(stage)
    assert {name: (here.root / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(("stage", "size"), [("data", 40_000), ("train", 4_000), ("infer", 20_000)])
@pytest.mark.slow
def test_a_full_disk_changes_nothing(project: Project, stage: str, size: int) -> None:
    """The disk refuses in the middle of a file (here by the limit on a file's size): one sentence, no half file."""
    before = project.hashes()
    done = subprocess.run(
        [sys.executable, "-m", "artifact_flow.core.stage", stage],
        check=False,
        cwd=project.root,
        env=project.environ | {"PYTHONPATH": "src"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write ")
    assert "existing files are unchanged" in done.stderr
    assert done.stderr.count("\n") == 1
    assert project.hashes() == before
    assert project.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize("stage", ["data", "train", "infer"])
@pytest.mark.slow
def test_a_read_only_disk_is_one_sentence(project: Project, stage: str) -> None:
    """Where nothing can be written (here a read-only mount that only the stage sees), it is said in one sentence."""
    alone = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("needs util-linux's unshare and the right to use it: run as root, or allow user namespaces")
    script = 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && exec "$@"'
    done = subprocess.run(
        [*alone, "sh", "-c", script, "sh", sys.executable, "-m", "artifact_flow.core.stage", stage],
        check=False,
        cwd=project.root,
        env=project.environ | {"PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write ")
    assert ": Read-only file system; existing files are unchanged" in done.stderr
    assert done.stderr.count("\n") == 1
