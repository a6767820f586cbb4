"""Drift, measured on rows whose distance is known, and told from log files."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.server import Server, command
from unit.own import draw_rows
from unit.tables import text_column

from artifact_flow.contract import Feature, describe_features
from artifact_flow.encoding import Column, encode_rows
from artifact_flow.params import Type
from artifact_flow.serving.drift import ColumnDrift, Drift, measure_drift

TYPES: dict[str, Type] = {
    "size": "number",
    "colour": "category",
    "flag": "boolean",
    "same": "number",
    "switch": "number",
}
COLOURS = ["blue", "green", "red"]


def draw(rows: int, seed: int, **moved: Any) -> dict[str, Column]:
    """Return columns of one distribution, except those that are moved."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Column] = {
        "size": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        "colour": text_column(list(rng.choice(COLOURS, rows, p=[0.5, 0.3, 0.2]))),
        "flag": (rng.random(rows) < 0.3).astype(float),
        "same": np.full(rows, 7.0),
        "switch": (rng.random(rows) < 0.5).astype(float),
    }
    return columns | moved


@pytest.fixture(scope="module")
def features() -> list[Feature]:
    """Five columns, described from 2000 rows."""
    return describe_features(TYPES, draw(2000, 0))


def measure(features: list[Feature], columns: dict[str, Column]) -> Drift:
    """Return the drift of columns from the described ones."""
    return measure_drift(features, encode_rows(features, columns, np.float32)[0], 2000)


def column(drift: Drift, name: str) -> ColumnDrift:
    """Return one column's drift."""
    return next(column for column in drift.columns if column.name == name)


def test_rows_of_the_same_distribution_are_ok(features: list[Feature]) -> None:
    """At the smallest number of rows and at many, a hundred times over: an alert in none."""
    for rows in (100, 1000):
        found = [measure(features, draw(rows, seed)).status for seed in range(1, 51)]
        assert set(found) == {"ok"}


def test_few_rows_say_nothing(features: list[Feature]) -> None:
    """However far they lie."""
    drift = measure(features, draw(99, 1, size=np.full(99, 50.0)))
    assert (drift.status, drift.rows) == ("few rows", 99)
    assert measure(features, draw(0, 1)).status == "few rows"


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("size", np.random.default_rng(5).normal(1.0, size=500)),
        ("size", np.where(np.arange(500) % 2, np.nan, np.random.default_rng(5).normal(size=500))),
        ("colour", text_column(["red"] * 250 + ["blue"] * 250)),
        ("colour", text_column(["violet"] * 200 + ["blue"] * 300)),
        ("colour", text_column([None] * 250 + ["blue"] * 250)),
        ("flag", np.ones(500)),
        ("same", np.full(500, 8.0)),
        ("switch", (np.arange(500) % 20 > 0).astype(float)),
    ],
)
def test_a_column_that_moved_alerts_and_no_other(features: list[Feature], name: str, moved: Column) -> None:
    """A mean, missing shares, categories, an unseen one, a constant, a number of two values: that column only."""
    drift = measure(features, draw(500, 3, **{name: moved}))
    assert (drift.status, drift.columns[0].name) == ("alert", name)
    assert {found.status for found in drift.columns[1:]} == {"ok"}


def test_shares_of_missing_and_unseen_rows_are_told(features: list[Feature]) -> None:
    """Numbers out of the training range and categories that training never saw, as shares of all rows."""
    size = np.concatenate([np.full(50, 99.0), np.full(150, np.nan), np.zeros(300)])
    drift = measure(features, draw(500, 3, size=size, colour=text_column(["violet"] * 100 + ["blue"] * 400)))
    assert column(drift, "size").unseen == 0.1
    assert column(drift, "size").missing == 0.3
    assert column(drift, "size").missing_reference == pytest.approx(0.1, abs=0.02)
    assert column(drift, "colour").unseen == 0.2
    assert column(drift, "colour").bins == [*COLOURS, "unseen", "missing"]


def test_the_index_is_that_of_the_formula(features: list[Feature]) -> None:
    """Σ (p - q) ln(p / q) over the bins, each half a row fuller."""
    found = column(measure(features, draw(1000, 2, flag=np.repeat([0.0, 1.0], 500))), "flag")
    share = next(feature for feature in features if feature.name == "flag").mean or 0.0
    expected = (0.5 - share) * np.log(0.5 / share) + (0.5 - (1 - share)) * np.log(0.5 / (1 - share))
    assert found.psi == pytest.approx(expected, abs=0.01)


def test_the_p_value_is_that_of_the_chi_squared_test(features: list[Feature]) -> None:
    """Within a twentieth of scipy's, before the correction for five columns."""
    from scipy.stats import chi2_contingency

    columns = draw(400, 9, colour=text_column(["red"] * 105 + ["blue"] * 175 + ["green"] * 120))
    found = column(measure(features, columns), "colour")
    reference = np.array(next(feature for feature in features if feature.name == "colour").shares) * 2000
    expected = chi2_contingency([reference, [175, 120, 105]], correction=False).pvalue
    assert found.p_value / 5 == pytest.approx(expected, rel=0.05)


def ask(server: Server, folder: Path, change: dict[str, Any]) -> Path:
    """Ask for rows with some values changed, stop the server, and return its log."""
    names = ("size", "open", "since", "colour")
    rows = [{name: row[name] for name in names if row[name] is not None} | change for row in draw_rows()]
    server.post("/predict/batch", rows * 3)
    server.post("/predict", {"size": "x"})
    server.stop()
    log = folder / "served.jsonl"
    log.write_bytes(Path(server.log_file.name).read_bytes())
    return log


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    """Run the command and return what it says."""
    done = subprocess.run(command("drift", *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_the_same_is_told_from_log_files(models: dict[str, Path], tmp_path: Path) -> None:
    """A table, a page that needs nothing else, and an exit code to act on; a line cut off is counted."""
    model = ("--model", str(models["own"]))
    with Server(models["own"]) as server:
        usual = ask(server, tmp_path, {})
    with usual.open("ab") as file:
        file.write(b'{"timestamp":"2026')
    out, left = run(str(usual), *model, "--fail-on", "alert")
    assert out.splitlines()[-1].endswith("240 rows against 60 of the training")
    assert left == "left aside: 1 damaged lines\n"
    with Server(models["own"]) as server:
        moved = ask(server, tmp_path, {"colour": "violet"})
    page = tmp_path / "drift.html"
    out, _ = run(str(moved), *model, "--out", str(page), "--fail-on", "alert", code=1)
    assert out.splitlines()[1].startswith("colour  alert ")
    text = page.read_text()
    assert "unseen: 0.0% in training, 100.0% now" in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("<figure>") == 4


def test_logs_that_hold_no_row_say_so(models: dict[str, Path], tmp_path: Path) -> None:
    """No file, another model's lines, inputs left out: one sentence each, and no page."""
    _, absent = run("absent.jsonl", "--model", str(models["own"]), code=1)
    assert absent.startswith("error: absent.jsonl cannot be read: No such file or directory: name a log of")
    log = tmp_path / "other.jsonl"
    log.write_text(json.dumps({"prediction": {}, "model_sha256": "0", "input": {"size": 1}}) + "\n")
    _, other = run(str(log), "--model", str(models["own"]), "--out", str(tmp_path / "page.html"), code=1)
    assert "no row of this model in it (1 lines about other models, 0 without their input, 0 damaged)" in other
    assert not (tmp_path / "page.html").exists()
