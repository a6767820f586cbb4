"""Estimators of all families pass the stages from params.yaml alone, and docs/estimators.md says what each one has."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from unit.own import write_lock

from artifact_flow.cli import main
from artifact_flow.core.base.params import Params, parse_params

SOURCE = Path(__file__).resolve().parents[2]
ESTIMATORS = YAML(typ="safe").load((SOURCE / "scripts/estimators.yaml").read_text())
CASES = [(task, name) for task in ESTIMATORS for name in ESTIMATORS[task]]
SOURCES = {"classification": "breast_cancer", "regression": "diabetes"}


def read_table() -> dict[str, list[str]]:
    """Return the table of docs/estimators.md: estimator → its cells."""
    lines = (SOURCE / "docs/estimators.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0].strip("`"): row[1:] for row in rows[1:]}


def params_of(task: str, train: dict[str, Any]) -> Params:
    """Return the parameters of a flow with this estimator, with the gates that `init` sets."""
    split = {"test_size": 0.2, "seed": 42, "stratify": task == "classification"}
    return parse_params(
        {
            "data": {"source": SOURCES[task], "preprocess": "auto", **split},
            "train": {"threads": 1, **train},
            "infer": {"decimals": 8},
            "export": {"opset": 17, "max_difference": 1e-4},
            "quantize": {"max_quality_loss": 0.01, "min_agreement": 0.98},
        }
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The data of each task, made once."""
    folders = {}
    for task in SOURCES:
        folders[task] = tmp_path_factory.mktemp(task)
        importlib.import_module("artifact_flow.stages.data").main(
            params_of(task, {"estimator": "unused"}), folders[task]
        )
    return folders


def test_the_table_names_each_estimator() -> None:
    """It has a row for each of at least 25 estimators."""
    assert [name for _, name in CASES] == list(read_table())
    assert len(CASES) >= 25


@pytest.mark.parametrize(("task", "name"), CASES)
@pytest.mark.slow
def test_an_estimator_passes_every_stage(
    data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, name: str
) -> None:
    """The model files that are not empty are those of the table, and one of them predicts every row."""
    (tmp_path / "data.parquet").symlink_to(data[task] / "data.parquet")
    monkeypatch.chdir(tmp_path)
    params = params_of(task, ESTIMATORS[task][name])
    for stage in ("train", "infer", "export", "quantize"):
        importlib.import_module(f"artifact_flow.stages.{stage}").main(params, Path())
    found = []
    for model, record in (("model.onnx", "parity.json"), ("model_quantized.onnx", "quantization.json")):
        applies = json.loads(Path(record).read_text()).get("applies", True)
        assert (Path(model).stat().st_size > 0) is applies
        found.append("yes" if applies else "no")
    assert [cell.partition(":")[0] for cell in read_table()[name][1:3]] == found
    write_lock(Path(), "model_train.pkl")
    main(
        [
            "predict",
            "data.parquet",
            "--model",
            "model_train.pkl" if "no" in found[:1] else "model.onnx",
            "--out",
            "p.csv",
        ]
    )
    assert len(Path("p.csv").read_text().splitlines()) == len(Path("predictions.csv").read_text().splitlines())
