"""A class of one's own in src/own goes from params.yaml to predictions, and a change of it is never overlooked."""

import json

import pytest
from project import Project
from pyarrow import csv

WINSOR = '''"""Winsor: values beyond two quantiles become the quantiles."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from own.limits import SHARE


class Winsor(TransformerMixin, BaseEstimator):
    """Clip each column to its quantiles."""

    def __init__(self, share=SHARE):
        self.share = share

    def fit(self, X, y=None):
        self.low_, self.high_ = np.quantile(X, [self.share, 1 - self.share], axis=0)
        return self

    def transform(self, X):
        return np.clip(X, self.low_, self.high_)
'''
TRAIN = """train:
  estimator: sklearn.pipeline.Pipeline
  threads: 1
  steps:
    - [winsor, {estimator: own.winsor.Winsor, share: 0.05}]
    - [linear, {estimator: sklearn.linear_model.LogisticRegression, max_iter: 5000}]

infer:"""
CLI = ("python", "-m", "artifact_flow.cli")


def predict(project: Project, code: int = 0) -> str:
    """Predict the project's rows with the pickle, in a process whose path of imports has the package, but not `own`."""
    package = project.root.parent / "only/artifact_flow"
    if not package.exists():
        package.parent.mkdir()
        package.symlink_to(project.root / "src/artifact_flow")
    command = [*CLI, "predict", "data.parquet", "--model", "model_train.pkl", "--out", "p.csv"]
    return project.run("env", f"PYTHONPATH={package.parent}", *command, code=code)


@pytest.mark.slow
def test_a_transformer_of_ones_own_is_built_recorded_and_checked(project: Project) -> None:
    """No edit of dvc.yaml; equal predictions; its files are in the contract, and after an edit every stage runs."""
    own = project.root / "src/own"
    (own / "winsor.py").write_text(WINSOR)
    (own / "limits.py").write_text('"""Limits."""\n\nSHARE = 0.01\n')
    project.edit("params.yaml", lambda text: f"{text.partition('train:')[0]}{TRAIN}{text.partition('infer:')[2]}")
    assert project.repro() == ["train", "infer", "export", "quantize"]
    contract = json.loads((project.root / "contract.json").read_text())
    files = {f"src/own/{name}.py" for name in ("__init__", "limits", "winsor")}
    assert {path for path in contract["sha256"] if path.startswith("src/own/")} == files
    assert "cannot be written as ONNX" in json.loads((project.root / "parity.json").read_text())["reason"]
    predict(project)
    found, promised = (csv.read_csv(project.root / name)["prediction"] for name in ("p.csv", "predictions.csv"))
    assert found.equals(promised)

    project.edit("src/own/limits.py", lambda text: text.replace("0.01", "0.02"))
    said = predict(project, code=1)
    assert "error: src/own/limits.py is not the file that model_train.pkl was made with (sha256 " in said
    assert "Traceback" not in said
    assert project.repro() == ["train", "infer", "export", "quantize"]
    predict(project)


def test_own_code_that_fails_is_one_sentence(project: Project) -> None:
    """A class that is not there and a module with a mistake are named by the key of params.yaml."""
    project.edit("params.yaml", lambda text: f"{text.partition('train:')[0]}{TRAIN}{text.partition('infer:')[2]}")
    (project.root / "src/own/winsor.py").write_text("1 / 0\n")
    said = project.run("dvc", "repro", "train", code=255)
    assert (
        "error: params.yaml: train.steps[0].estimator is 'own.winsor.Winsor', but own.winsor cannot be imported: "
        "ZeroDivisionError: division by zero." in said
    )
    (project.root / "src/own/winsor.py").rename(project.root / "src/own/windsor.py")
    said = project.run("dvc", "repro", "train", code=255)
    assert "but there is no module own.winsor (did you mean own.windsor?); allowed" in said
