"""One's own split, metric and threshold through real `dvc repro`; predict and the service then answer the same."""

import csv
import json
import shutil
from pathlib import Path

import published
import pyarrow.parquet as pq
import pytest
from project import Project
from serving.server import Server

COSTS = """\
def saved(y_true, y_pred):
    return sum({"yes": 3, "no": -1}[actual] for actual, told in zip(y_true, y_pred) if told == "yes") / len(y_true)
"""
ROWS = 320


@pytest.fixture
def visits(project: Project) -> Project:
    """A project whose main flow is visits to a hospital, split by patient, with a metric and a threshold."""
    source = published.hospital_visits(project.root)
    assert source.read_bytes() == (project.root / "docs/visits.csv").read_bytes()  # the tutorial's table
    (project.root / "src/own/costs.py").write_text(COSTS)
    artifact_flow(project, "init", "--data", "visits.csv", "--target", "readmitted", "--split-by", "group:patient")
    project.set_param("  threads: 1", "  threshold: {maximize: own.costs.saved}\n  threads: 1")
    wanted = "  metrics: [roc_auc, own.costs.saved]\n  per_class: true\n  costs: {yes: {no: 3}, no: {yes: 1}}\n"
    project.set_param("  decimals: 8", f"{wanted}  cross_validation: 3\n  importance: 2\n  decimals: 8")
    return project


def artifact_flow(project: Project, *arguments: str) -> str:
    """Run a command."""
    return project.run("artifact-flow", *arguments)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_choices_hold_from_the_table_to_the_service(visits: Project, tmp_path: Path) -> None:
    """No patient is in both splits, the metrics are there, and every form of the model says what predictions.csv says.

    Then the same table is split in time: only the parameter changes.
    """
    assert visits.repro() == ["data", "train", "infer", "export", "quantize"]
    rows = read_rows(visits.root / "visits.csv")
    promised = read_rows(visits.root / "predictions.csv")
    split = {row["id"]: row["split"] for row in promised}
    patients = {name: {row["patient"] for row in rows if split[row["visit"]] == name} for name in ("train", "test")}
    assert all(patients.values())
    assert not patients["train"] & patients["test"]

    scores = json.loads((visits.root / "metrics.json").read_text())
    names = {"accuracy", "f1_macro", "log_loss", "roc_auc", "saved", "recall.yes", "precision.no", "cost"}
    assert names <= set(scores["test"])
    assert {"saved", "saved_std", "roc_auc", "cost_std"} <= set(scores["cv"])
    tested = [row for row in promised if row["split"] == "test"]
    saved = sum({"yes": 3, "no": -1}[row["target"]] for row in tested if row["prediction"] == "yes") / len(tested)
    assert scores["test"]["saved"] == pytest.approx(saved, abs=1e-7)
    contract = json.loads((visits.root / "contract.json").read_text())
    threshold = contract["target"]["threshold"]
    assert 0 < threshold < 1
    assert threshold != 0.5
    assert len(read_rows(visits.root / "plots/curves.csv")) > 20
    assert len(read_rows(visits.root / "plots/importance.csv")) == len(contract["features"])

    for model in ("model_train.pkl", "model.onnx"):
        artifact_flow(visits, "predict", "visits.csv", "--model", model, "--out", "found.csv")
        found = read_rows(visits.root / "found.csv")
        assert [row["prediction"] for row in found] == [row["prediction"] for row in promised]
    chances = [float(row["probability"]) for row in promised]
    yes = [chance if row["prediction"] == "yes" else 1 - chance for chance, row in zip(chances, promised, strict=True)]
    assert [row["prediction"] == "yes" for row in promised] == [chance >= threshold for chance in yes]
    assert any((chance >= threshold) != (chance >= 0.5) for chance in yes)

    sent = [
        {name: row[name] for name in ("ward",)}
        | {name: float(row[name]) if row[name] else None for name in ("age", "pressure", "glucose")}
        | {"date": row["date"], "smoker": row["smoker"] == "yes"}
        for row in rows
    ]
    with Server(visits.root / "model.onnx") as server:
        answers = server.post("/predict/batch", sent).document["predictions"]
        assert [answer["class_name"] for answer in answers] == [row["prediction"] for row in promised]
        for place in (0, 7):  # one row takes another path than many
            assert server.post("/predict", sent[place]).document["class_name"] == promised[place]["prediction"]

    visits.set_param("by: group", "by: time")
    visits.set_param("column: patient", "column: date")
    assert visits.repro() == ["data", "train", "infer", "export", "quantize"]
    table = pq.read_table(visits.root / "data.parquet", columns=["id", "split"])
    assert table["split"].to_pylist() == ["train"] * (ROWS - ROWS // 5) + ["test"] * (ROWS // 5)
    shutil.rmtree(visits.root)
