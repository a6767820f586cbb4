"""A forest in 8 bits is predicted with and served as its float model is, and says the same."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import csv
from serving.server import Server, lock_for, make_builtin
from serving.test_api import predictions, raw_rows

from artifact_flow.cli import main


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model.onnx of a random forest of the digits, after all stages."""
    folder = tmp_path_factory.mktemp("forest") / "digits"
    return make_builtin(
        folder, "digits", estimator="sklearn.ensemble.RandomForestClassifier", n_estimators=20, random_state=0
    )


def test_the_service_says_the_same_with_both(forest: Path) -> None:
    """Every class of every row is the same, in answers to many rows and to one."""
    rows = raw_rows(forest.parent)
    with Server(forest) as server:
        many = [
            server.post(f"/predict/batch?weights={weights}", rows).document["predictions"]
            for weights in ("float", "8bit")
        ]
        one = [server.post(f"/predict?weights={weights}", rows[7]).document for weights in ("float", "8bit")]
    labels = [[answer["class_name"] for answer in answers] for answers in many]
    assert labels[0] == labels[1] == [line["prediction"] for line in predictions(forest.parent)]
    assert one[0]["class_name"] == one[1]["class_name"] == labels[0][7]


def test_predict_says_the_same_with_both(forest: Path, tmp_path: Path) -> None:
    """The command writes the same predictions, and probabilities that are equal but for float32's last digits."""
    lock_for(forest.parent, "model_quantized.onnx")
    found = []
    for name in ("model.onnx", "model_quantized.onnx"):
        out = tmp_path / f"{name}.csv"
        rows, model = (str(forest.with_name(file)) for file in ("data.parquet", name))
        main(["predict", rows, "--model", model, "--out", str(out)])
        found.append(csv.read_csv(out))
    assert found[0]["prediction"].equals(found[1]["prediction"])
    assert np.allclose(*(one["probability"].to_numpy() for one in found), atol=1e-6)
