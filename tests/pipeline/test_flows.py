"""The flows: the root's stages once a block, in folders of their own, with the metrics of plain scikit-learn."""

import io
import json
import os
import shutil
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from project import Project
from rich.console import Console
from shipped import needs_shipped
from sklearn import datasets
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.progress import shown_download
from artifact_flow.core.table import builtin
from artifact_flow.proof.surroundings import AS_IT_IS
from artifact_flow.proof.verify import verify_head

ROOT = Path(__file__).resolve().parents[2]
FOLDER = builtin.data_folder(os.environ, ROOT)
STAGES = ("data", "train", "infer", "export", "quantize")

WINE = """
  wine:
    data:
      source: wine
      preprocess: none
      test_size: 0.2
      seed: 1
      stratify: true
    train:
      estimator: sklearn.tree.DecisionTreeClassifier
      threads: 1
      random_state: 0
    infer:
      decimals: 8
    export:
      opset: 17
      max_difference: 1.0e-5

quantize:"""


@pytest.fixture
def flows(project: Project) -> Project:
    """A reproduced project with the flow iris, which needs no network, and nothing of it reproduced."""
    project.add_iris()
    return project


@pytest.fixture
def reproduced(finished: Project, tmp_path: Path) -> Project:
    """The same with iris reproduced and committed."""
    return Project(Path(shutil.copytree(finished.root, tmp_path / "project", symlinks=True)))


def flow_stages(name: str, *stages: str) -> set[str]:
    """Return stage names as DVC shows them."""
    return {f"flows/dvc.yaml:{stage}@{name}" for stage in stages}


@pytest.mark.slow
def test_adding_a_flow_is_adding_a_block(reproduced: Project) -> None:
    """A block more and `dvc repro -P` runs the stages of that flow and no others; a second run does nothing."""
    reproduced.edit("flows/params.yaml", lambda text: text.replace("\nquantize:", WINE, 1))
    assert set(reproduced.repro("-P")) == flow_stages("wine", *STAGES[:-1])
    assert reproduced.repro("-P") == []
    assert reproduced.repro() == []
    for name in ("data.parquet", "model.onnx", "metrics.json", "plots/confusion.csv"):
        assert (reproduced.root / "flows/wine" / name).is_file()


@pytest.mark.slow
def test_a_flow_is_the_roots_model_elsewhere(flows: Project) -> None:
    """The digits as a flow give the bytes that the root gives: one code path."""
    before = flows.hashes()
    digits = (flows.root / "params.yaml").read_text().split("\nquantize:")[0].split("\ndata:")[1]
    block = "  digits:\n    data:" + digits.replace("\n", "\n    ")
    flows.edit("flows/params.yaml", lambda text: text.replace("\nquantize:", f"\n{block}\n\nquantize:", 1))
    flows.repro("flows/dvc.yaml:export@digits", "flows/dvc.yaml:infer@digits")
    for name in ("data.parquet", "model_train.pkl", "contract.json", "model.onnx", "predictions.csv", "metrics.json"):
        md5 = Project(flows.root / "flows/digits").run("md5sum", name).split()[0]
        assert md5 == flows.run("md5sum", name).split()[0], name
    assert flows.hashes() == before


def test_the_gate_of_the_root_stands_before_the_flows(flows: Project) -> None:
    """A failing unit test trains no flow either."""
    flows.edit("tests/unit/test_gate.py", lambda text: text + "\n\ndef test_new() -> None:\n    assert False\n")
    ran = flows.repro("flows/dvc.yaml:train@iris", code=255)
    assert "test" in ran
    assert "flows/dvc.yaml:train@iris" not in ran
    assert not (flows.root / "flows/iris/model_train.pkl").exists()


def test_a_mistake_in_a_flow_names_the_flow(flows: Project) -> None:
    """The sentence says whose parameter it is."""
    flows.edit("flows/params.yaml", lambda text: text.replace("max_iter: 200", "max_iter: many"))
    printed = flows.run("dvc", "repro", "flows/dvc.yaml:train@iris", code=255)
    assert "error: flow iris: params.yaml: train.max_iter is 'many'; allowed: an int" in printed


@pytest.mark.slow
def test_verify_proves_every_lock(reproduced: Project) -> None:
    """Both locks and all their files; a lock that was forged in a flow is found there, and nowhere else."""
    reproduced.edit("flows/iris/predictions.csv", lambda text: text.replace("versicolor", "virginica", 1))
    reproduced.run("dvc", "commit", "--force", "flows/dvc.yaml:infer@iris")
    reproduced.commit("Forged")
    console = Console(file=io.StringIO(), width=200)
    assert not verify_head([AS_IT_IS], repository=reproduced.root, console=console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "33 files, 1 surroundings: 31 same bytes, 2 different" in printed
    found = [line.split() for line in printed.splitlines() if " different " in line]
    assert [line[0] for line in found] == ["flows/dvc.lock", "flows/iris/predictions.csv"]


@pytest.mark.slow
def test_a_set_that_cannot_be_fetched_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without network and without the file: which set, from where, and how to provide it; a progress before."""
    monkeypatch.setenv(builtin.VARIABLE, str(tmp_path))
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the one that it first made, with its proxy
    with pytest.raises(
        DataError, match=r"california_housing is not in .* cannot be fetched from figshare.com"
    ) as error:
        builtin.load_arrays("california_housing", watch=shown_download)
    assert "SCIKIT_LEARN_DATA=/path/to/folder dvc repro" in str(error.value)
    assert "\n" not in str(error.value)
    assert "fetching california_housing from figshare.com into" in capfd.readouterr().err.replace("\n", "")


def test_a_damaged_set_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file cut in half says to remove it."""
    monkeypatch.setenv(builtin.VARIABLE, str(tmp_path))
    (tmp_path / "olivetti_py3.pkz").write_bytes(b"\x80\x04half")
    with pytest.raises(DataError, match=r"\(olivetti_py3.pkz\) cannot be read .*remove that file"):
        builtin.load_arrays("olivetti_faces")


def test_a_relative_folder_starts_at_the_root() -> None:
    """Wherever a stage runs, SCIKIT_LEARN_DATA means one place."""
    assert builtin.data_folder({builtin.VARIABLE: "data/sets"}, Path("/repository")) == Path("/repository/data/sets")
    assert builtin.data_folder({builtin.VARIABLE: "/sets"}, Path("/repository")) == Path("/sets")
    assert builtin.data_folder({}, Path("/repository")) == Path("/repository/.artifact-flow/scikit_learn_data")


def committed(name: str) -> dict[str, float]:
    """Return a shipped flow's committed metrics of the test split."""
    needs_shipped("flows/dvc.yaml", "flows/params.yaml")
    return dict(json.loads((ROOT / "flows" / name / "metrics.json").read_text())["test"])


def test_iris_is_what_plain_scikit_learn_gives() -> None:
    """Five lines give the same accuracy."""
    X, y = datasets.load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    assert LogisticRegression(max_iter=200).fit(X_train, y_train).score(X_test, y_test) == committed("iris")["accuracy"]
    assert committed("iris")["accuracy"] == 1.0


@pytest.mark.needs_data("california_housing")
def test_california_housing_is_what_plain_scikit_learn_gives() -> None:
    """R² and MSE of five lines."""
    X, y = datasets.fetch_california_housing(data_home=FOLDER, return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    model = LinearRegression().fit(X_train, y_train)
    assert committed("california_housing")["r2"] == pytest.approx(model.score(X_test, y_test), abs=1e-6)
    assert committed("california_housing")["mse"] == pytest.approx(mean_squared_error(y_test, model.predict(X_test)))


@pytest.mark.needs_data("olivetti_faces")
def test_olivetti_faces_are_what_plain_scikit_learn_gives() -> None:
    """Accuracy of five lines, which is 0.4333."""
    X, y = datasets.fetch_olivetti_faces(data_home=FOLDER, return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=42, stratify=y)
    tree = DecisionTreeClassifier(max_depth=25, min_samples_leaf=2, random_state=42).fit(X_train, y_train)
    assert round(tree.score(X_test, y_test), 8) == committed("olivetti_faces")["accuracy"]


@pytest.mark.parametrize(
    "folder",
    [
        ".",
        "flows/iris",
        *(
            pytest.param(f"flows/{name}", marks=pytest.mark.needs_flows(name))
            for name in ("california_housing", "olivetti_faces")
        ),
    ],
)
def test_the_portable_model_meets_the_bar(folder: str, finished: Project, tmp_path: Path) -> None:
    """Every row of every flow: equal labels, probabilities within 1e-6, numbers within 1e-4 standard deviations."""
    place = (finished.root if (finished.root / folder).is_dir() else ROOT) / folder
    predicted = {}
    for model in ("model.onnx", "model_train.pkl"):
        out = tmp_path / f"{model}.parquet"
        finished.run(
            "artifact-flow", "predict", str(place / "data.parquet"), "--model", str(place / model), "--out", str(out)
        )
        predicted[model] = datasets_of(out)
    one, two = predicted["model.onnx"], predicted["model_train.pkl"]
    if "probability" in one:
        assert one["prediction"].tolist() == two["prediction"].tolist()
        assert np.abs(one["probability"] - two["probability"]).max() <= 1e-6
    else:
        target = datasets_of(place / "data.parquet")["target"]
        assert np.abs(one["prediction"] - two["prediction"]).max() <= 1e-4 * target.std()


def datasets_of(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a Parquet file that tell predictions from each other."""
    import pyarrow.parquet as pq

    wanted = {"prediction", "probability", "target"}
    table = pq.read_table(path, columns=[name for name in pq.read_schema(path).names if name in wanted])
    return {name: table[name].to_numpy() for name in table.column_names}
