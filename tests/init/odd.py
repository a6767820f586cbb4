"""Tables as people have them: each is adopted, trained and scored in this process, and compared with scikit-learn.

The comparison does not use the project's reader: a test states the values that the file means, and plain scikit-learn
is fitted on these, on the rows that stage `data` put into the train split.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from artifact_flow.cli import main
from artifact_flow.core.base.params import PARAMS, Params, Task, load_params
from artifact_flow.core.table.tables import DATA, Table, read_table
from artifact_flow.predict.files import predict_files
from artifact_flow.stages import data, export, infer, train

SOURCE = Path(__file__).resolve().parents[2]
Values = Mapping[str, Sequence[Any]]  # column → its values, None where one is missing; dates as days since 1970


@dataclass(frozen=True)
class Adopted:
    """What became of a table: what `init` printed, the parameters it wrote, and the stages' table and scores."""

    printed: str
    params: Params
    table: Table
    scores: Mapping[str, Mapping[str, float]]

    @property
    def roles(self) -> dict[str, str]:
        """The role of each column of the file but the target."""
        assert self.params.data.table
        return dict(self.params.data.table.columns)

    @property
    def task(self) -> Task:
        """What the target was taken for."""
        return self.table.roles.task


def adopt(folder: Path, content: str | bytes, *arguments: str, name: str = "t.csv") -> Adopted:
    """Run `init` on a table, then the stages data, train and infer, as functions, in a folder of their own."""
    _write(folder, name, content)
    with contextlib.chdir(folder):
        printed = _init(name, arguments)
        params = load_params()
        for stage in (data, train, infer):
            with contextlib.redirect_stdout(io.StringIO()):
                stage.main(params, Path())
        return Adopted(printed, params, read_table(DATA), json.loads(Path("metrics.json").read_text()))


def refuse(folder: Path, content: str | bytes, *arguments: str, name: str = "t.csv") -> str:
    """Return the sentence with which `init` refuses a table; nothing is written."""
    _write(folder, name, content)
    before = (folder / PARAMS).read_bytes()
    with contextlib.chdir(folder), pytest.raises(SystemExit) as ended:
        _init(name, arguments)
    sentence = str(ended.value.code)
    assert sentence.startswith("error: ")
    assert "\n" not in sentence
    assert str(folder) not in sentence, "paths are relative"
    assert (folder / PARAMS).read_bytes() == before
    return sentence.removeprefix("error: ")


def predict(folder: Path, content: str | bytes, name: str = "rows.csv") -> list[str]:
    """Return the predictions of rows by the exported model of a folder in which a table was adopted."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with contextlib.chdir(folder):
        if not Path("model.onnx").exists():
            with contextlib.redirect_stdout(io.StringIO()):
                export.main(load_params(), Path())
        predict_files([Path(name)], Path("model.onnx"), Path("out.csv"))
        return [line.split(",")[1] for line in Path("out.csv").read_text().splitlines()[1:]]


def _write(folder: Path, name: str, content: str | bytes) -> None:
    """Write the shipped parameters and pipeline, and the table."""
    shutil.copy(SOURCE / "tests/unit/params.yaml", folder / PARAMS)
    shutil.copy(SOURCE / "tests/pipeline.yaml", folder / "dvc.yaml")
    for mark in (".git", ".dvc"):  # make it the root of a repository, wherever it lies
        (folder / mark).mkdir(exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def _init(name: str, arguments: Sequence[str]) -> str:
    """Run the command and return what it printed, each line as one."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "400")  # the terminal's width
        main(["init", "--data", name, *arguments])
    return printed.getvalue()


def plain_score(table: Table, features: Values, y: Sequence[Any]) -> float:
    """Return accuracy or R² on the test split of plain scikit-learn, fitted on the stated values of the train split.

    Numbers: median for missing values, then standardised. Texts: one column for each value, and one for missing.
    """
    test = table.split == "test"
    numbers = [place for place, values in enumerate(features.values()) if not _is_text(values)]
    texts = [place for place in range(len(features)) if place not in numbers]
    filled = [
        ["(missing)" if value is None else value for value in values]
        if _is_text(values)
        else [np.nan if value is None else float(value) for value in values]
        for values in features.values()
    ]
    X, target = np.array(filled, dtype=object).T, np.array(y)
    prepared = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
        ]
    )
    classes = table.roles.task == "classification"
    model = make_pipeline(prepared, LogisticRegression(max_iter=1000) if classes else Ridge())
    model.fit(X[~test], target[~test])
    found = model.predict(X[test])
    return float(accuracy_score(target[test], found) if classes else r2_score(target[test], found))


def check_score(adopted: Adopted, features: Values, y: Sequence[Any]) -> None:
    """Check that the table has these features and values, and that its test score is plain scikit-learn's."""
    assert list(adopted.table.roles.features) == list(features)
    assert adopted.table.columns.num_rows == len(y)
    found = adopted.scores["test"]["accuracy" if adopted.task == "classification" else "r2"]
    assert found == pytest.approx(plain_score(adopted.table, features, y), abs=2e-5)


def _is_text(values: Sequence[Any]) -> bool:
    return any(isinstance(value, str) for value in values)
