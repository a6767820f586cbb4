"""A column of free text from a table of one's own to the service, through real DVC."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from project import Project
from serving.server import Server

from artifact_flow.cli import main

SOURCE = Path(__file__).resolve().parents[2]
STAGES = ("data", "train", "infer", "export", "quantize")
LINES = {
    "spam": [
        "WIN £1000 cash now, call {} today!",
        "Free prize for you: claim code {} at http://x.y",
        "STOP {} and İÇ ΣΑΣ",
    ],
    "ham": [
        "I'll be late, see you at {} then",
        "did you\nread page {} of it, naïve as I am?",
        "lunch at {} or so, 日本 語",
    ],
}


def write_messages(path: Path, rows: int = 240) -> list[dict[str, str]]:
    """Write a table of messages, some empty, that are spam or not, and return its rows."""
    rng = np.random.default_rng(5)
    messages = []
    for place in range(rows):
        kind = "spam" if place % 3 == 0 else "ham"
        text = "" if place % 40 == 7 else LINES[kind][rng.integers(3)].format(rng.integers(1000))
        hour = "" if place % 50 == 3 else str(rng.integers(24))
        messages.append({"message": text, "hour": hour, "sender": "abc"[rng.integers(3)], "kind": kind})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(messages[0]))
        writer.writeheader()
        writer.writerows(messages)
    return messages


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the shipped parameters, pipeline and code, whose gate has passed, as the current directory."""
    project = Project(tmp_path / "project")
    (project.root / ".dvc").mkdir(parents=True)
    (project.root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (project.root / "requirements").mkdir()
    for name, source in {
        "params.yaml": "tests/unit/params.yaml",
        "dvc.yaml": "tests/pipeline.yaml",
        ".dvcignore": ".dvcignore",
        "requirements/lean.txt": "requirements/lean.txt",
    }.items():
        shutil.copy(SOURCE / source, project.root / name)
    shutil.copytree(SOURCE / "src", project.root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (project.root / "tests.json").write_text('{"passed":true}\n')
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.commit("Shipped")
    monkeypatch.chdir(project.root)
    return project


def read_predictions(path: str) -> dict[str, str]:
    """Return id → prediction of a CSV of predictions."""
    with Path(path).open() as file:
        return {row["id"]: row["prediction"] for row in csv.DictReader(file)}


@pytest.mark.slow
def test_messages_go_from_init_to_the_service(mine: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """`init` says which column is text; the stages give equal bytes twice; each model, from CSV and Parquet, and the
    service, from JSON and CSV, predict what predictions.csv says; the drift is of the texts' lengths.
    """
    messages = write_messages(mine.root / "messages.csv")
    main(["init", "--data", "messages.csv", "--target", "kind"])
    assert "free text of 8 words" in capsys.readouterr().out
    for stage in STAGES:
        assert mine.repro("--single-item", stage) == [stage]
    made = mine.hashes()
    for stage in STAGES:
        mine.repro("--single-item", "--force", stage)
    assert mine.hashes() == made

    promised = read_predictions("predictions.csv")
    pq.write_table(pa.Table.from_pylist(messages), "messages.parquet")
    for model in ("model_train.pkl", "model.onnx", "model_quantized.onnx"):
        for name in ("messages.csv", "messages.parquet"):
            main(["predict", name, "--model", model, "--out", "out.csv"])
            assert read_predictions("out.csv") == promised, (model, name)

    features = {feature["name"]: feature for feature in json.loads(Path("contract.json").read_text())["features"]}
    longest = max(len(row["message"]) for row in messages)
    assert 0 < features["message"]["min"] < features["message"]["max"] <= longest
    rows = [
        {"message": row["message"], "hour": float(row["hour"]) if row["hour"] else None, "sender": row["sender"]}
        for row in messages
    ]
    lines = io.StringIO()
    writer = csv.DictWriter(lines, ["message", "hour", "sender"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(messages)
    with Server(Path("model.onnx"), cwd=mine.root) as server:
        for content, kind in ((rows, "application/json"), (lines.getvalue().encode(), "text/csv")):
            answers = server.post("/predict/batch", content, kind).document["predictions"]
            assert [answer["class_name"] for answer in answers] == list(promised.values())
        assert server.post("/predict", {"sender": "a"}).status == 200  # a missing text is empty
        part = server.post("/explain", rows[0]).document["contributions"]
        assert list(part) == list(features)
        assert part["message"] != 0
        assert server.post("/predict", {"message": ["a"]}).detail == 'message is ["a"]: send text.'
        drift = {column["name"]: column for column in server.get("/drift").document["columns"]}
        assert drift["message"]["status"] == "ok"
        assert drift["message"]["missing"] == pytest.approx(features["message"]["missing"], abs=0.01)
        schemas = server.get("/openapi.json").document["components"]["schemas"]
        (message,) = (schema["properties"]["message"] for name, schema in schemas.items() if name.endswith("Row"))
        assert {"type": "string"} in message["anyOf"]
        assert "characters" in message["description"]
