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

from artifact_flow.core.base.contract import Contract, Feature, Target, describe_features
from artifact_flow.core.base.encoding import Column, encode_rows
from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.params import DataParams, TableParams, Type, load_params
from artifact_flow.core.table.datasets import load_own, load_source
from artifact_flow.core.table.tables import Table, split_rows
from artifact_flow.serving.drift import ColumnDrift, Drift, measure_drift
from artifact_flow.serving.history import POINTS, History
from artifact_flow.serving.rows import Rows
from artifact_flow.serving.window import Window

ROOT = Path(__file__).resolve().parents[2]

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


def test_few_rows_have_no_verdict(features: list[Feature]) -> None:
    """However different they are."""
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
def test_only_the_changed_column_alerts(features: list[Feature], name: str, moved: Column) -> None:
    """A mean, a missing share, categories, an unseen one, a constant, a column of two values: only that column."""
    drift = measure(features, draw(500, 3, **{name: moved}))
    assert (drift.status, drift.columns[0].name) == ("alert", name)
    assert {found.status for found in drift.columns[1:]} == {"ok"}


def test_shares_of_missing_and_unseen_rows_are_reported(features: list[Feature]) -> None:
    """Numbers outside the training range and unseen categories, as shares of all rows."""
    size = np.concatenate([np.full(50, 99.0), np.full(150, np.nan), np.zeros(300)])
    drift = measure(features, draw(500, 3, size=size, colour=text_column(["violet"] * 100 + ["blue"] * 400)))
    assert column(drift, "size").unseen == 0.1
    assert column(drift, "size").missing == 0.3
    assert column(drift, "size").missing_reference == pytest.approx(0.1, abs=0.02)
    assert column(drift, "colour").unseen == 0.2
    assert column(drift, "colour").bins == [*COLOURS, "unseen", "missing"]


def test_the_psi_equals_its_formula(features: list[Feature]) -> None:
    """Σ (p - q) ln(p / q) over the bins, with half a row added to each bin."""
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


ROWS = 2000
RNG = np.random.default_rng(7)
UNIFORM, NORMAL, EVEN = RNG.random(ROWS), RNG.normal(size=ROWS), np.arange(ROWS)
ANY = RNG.integers(0, 2**64, 3 * ROWS, dtype=np.uint64).view(np.float64)
COLUMNS: dict[str, np.ndarray] = {
    "unix seconds over an hour": 1.7e9 + np.floor(UNIFORM * 3600),
    "unix seconds with fractions": 1.7e9 + UNIFORM * 3600,
    "unix seconds over a day": 1.7e9 + np.floor(UNIFORM * 86_400),
    "unix milliseconds over a year": 1.7e12 + np.floor(UNIFORM * 3.15e10),
    "ids from 1e9": 1e9 + EVEN,
    "ids from 1e15": 1e15 + EVEN,
    "twenty ids from 1e9": 1e9 + EVEN % 20,
    "latitude": 48.8566 + (UNIFORM - 0.5) * 1e-4,
    "latitude, rounded": np.round(48.8566 + (UNIFORM - 0.5) * 1e-4, 6),
    "constant but for one row": np.where(EVEN == 7, 5.0, 0.0),
    "constant but for one low row": np.where(EVEN == 7, -1e6, 3.0),
    "large and constant but for one row": np.where(EVEN == 7, 1e9 + 1, 1e9),
    "two values": (UNIFORM < 0.5).astype(float),
    "mostly zero": np.where(UNIFORM < 0.85, 0.0, np.exp(NORMAL)),
    "mostly the greatest": np.where(UNIFORM < 0.95, 5.0, UNIFORM),
    "ties that are no short decimals": np.array([0.1, 0.123456789, 1 / 3, 2 / 3, 7.0])[EVEN % 5],
    "integers": np.floor(UNIFORM * 7),
    "heavy tails": np.tan((UNIFORM - 0.5) * 3.14159),
    "heavier tails": np.exp(12 * NORMAL),
    "negative": -np.exp(10 + NORMAL),
    "tiny": NORMAL * 1e-30,
    "gaps": np.where(UNIFORM < 0.3, np.nan, NORMAL),
    "all gaps": np.full(ROWS, np.nan),
    "constant": np.full(ROWS, 0.1),
    "large constant": np.full(ROWS, 1.7e9 + 1),
}
# beyond what a service takes: a model takes float32
EXTREME: dict[str, np.ndarray] = {
    "denormal": UNIFORM * 1e-310,
    "a few denormals": np.floor(UNIFORM * 4) * 5e-324,
    "the largest": np.sign(NORMAL) * UNIFORM * np.finfo(float).max,
    "the two largest": np.sign(NORMAL) * np.finfo(float).max,
    "1e300": NORMAL * 1e300,
    "of any size": 10.0 ** (600 * UNIFORM - 300),
    "any bits": ANY[np.isfinite(ANY)][:ROWS],
}


def numbers(columns: dict[str, np.ndarray]) -> list[Feature]:
    """Return the references of columns of numbers."""
    return describe_features(dict.fromkeys(columns, "number"), columns)


def served_rows(features: list[Feature], columns: dict[str, np.ndarray], folder: Path | None) -> np.ndarray:
    """Return the rows that a service's window holds after they were sent as JSON, one by one and in batches."""
    params = {"data": {"source": "x", "preprocess": "auto"}}
    target = Target(name="y", task="regression", classes=[])
    contract = Contract(
        version=2, target=target, id=None, rows={}, params=params, sha256={}, libraries={}, features=features
    )
    rows, window = Rows(contract, ROWS), Window("x", len(features), folder)
    values = np.column_stack(list(columns.values())).tolist()
    sent = [{n: v for n, v in zip(columns, row, strict=True) if not np.isnan(v)} for row in values]
    for row in sent[:100]:
        window.add(rows.encode([rows.parse_one(json.dumps(row).encode())]))
    window.add(rows.read_many(json.dumps(sent[100:]).encode())[1])
    return window.all_rows()


@pytest.mark.parametrize("name", [*COLUMNS, *EXTREME])
def test_training_rows_do_not_drift_from_themselves(name: str) -> None:
    """Whatever the column's offset, range, ties and tails: equal rows, equal shares, none out of range."""
    values = (COLUMNS | EXTREME)[name]
    features = numbers({name: values})
    found = measure_drift(features, values[:, np.newaxis], ROWS).columns[0]
    assert (found.status, found.unseen) == ("ok", 0.0)
    assert found.psi < 1e-6
    json.dumps(features[0].model_dump(), allow_nan=False)


@pytest.mark.parametrize("in_file", [False, True])
def test_training_rows_that_are_served_do_not_drift(tmp_path: Path, in_file: bool) -> None:
    """The same, through JSON and a worker's window, in memory or in a file."""
    features = numbers(COLUMNS)
    drift = measure_drift(features, served_rows(features, COLUMNS, tmp_path if in_file else None), ROWS)
    assert drift.rows == ROWS
    assert [(found.name, found.psi) for found in drift.columns if found.status != "ok" or found.psi > 1e-6] == []
    assert {found.unseen for found in drift.columns} == {0.0}


def test_rows_of_float32_do_not_drift(features: list[Feature]) -> None:
    """A client that works in single precision sends 0.10000000149, which counts as the 0.1 that it was."""
    columns = {"prices": np.array([0.1, 0.2, 0.3, 0.7, 1.1, 9.99])[EVEN % 6], "constant": np.full(ROWS, 0.1)}
    columns["normal"] = NORMAL
    found = measure_drift(numbers(columns), np.column_stack(list(columns.values())).astype(np.float32), ROWS)
    assert [(column.status, column.unseen, round(column.psi, 4)) for column in found.columns] == [("ok", 0.0, 0.0)] * 3


@pytest.mark.parametrize("sign", [1, -1])
def test_rows_shifted_by_a_standard_deviation_alert(sign: int) -> None:
    """In every column that is not constant, also if most rows have one value, and through JSON."""
    features = [feature for feature in numbers(COLUMNS) if feature.std]
    moved = {feature.name: COLUMNS[feature.name] + sign * (feature.std or 0.0) for feature in features}
    drift = measure_drift(features, served_rows(features, moved, None), ROWS)
    assert len(drift.columns) == len(COLUMNS) - 3
    assert [(found.name, found.psi) for found in drift.columns if found.status != "alert"] == []


@pytest.mark.parametrize("name", ["constant", "large constant"])
def test_a_changed_constant_alerts(name: str) -> None:
    """Even if the change is small compared with the value."""
    features = numbers({name: COLUMNS[name]})
    for factor in (1 + 1e-6, 1 - 1e-6):
        assert measure_drift(features, COLUMNS[name][:, np.newaxis] * factor, ROWS).status == "alert"


def test_bins_have_distinct_names() -> None:
    """Seconds of one hour, and a value that most rows have."""
    features = numbers(COLUMNS)
    X = np.column_stack(list(COLUMNS.values()))
    for found in measure_drift(features, X, ROWS).columns:
        assert len(set(found.bins)) == len(found.bins)
        assert len(found.bins) == len(found.reference) == len(found.current)
    names = column(measure_drift(features, X, ROWS), "mostly zero").bins
    assert names[:2] == ["below -0.01", "-0.01 to 0"]


def flow_table(name: str) -> Table:
    """Return the table of a flow, of the main one, or of the example table."""
    if name == "houses.csv":
        roles = {"house": "id", "garden": "boolean", "district": "category", "heating": "category", "sold": "date"}
        numbers = dict.fromkeys(("area", "rooms", "built"), "number")
        own = TableParams(target="price", task="regression", columns={**roles, **numbers})  # type: ignore[dict-item]
        block = {"preprocess": "auto", "test_size": 0.2, "seed": 42, "stratify": False}
        return split_rows(load_own(DataParams(source=str(ROOT / "docs/houses.csv"), table=own, **block)))
    if name != "digits" and not (ROOT / "flows/params.yaml").is_file():
        pytest.skip("this project has no flows")
    if name == "digits":
        return split_rows(load_source(DataParams(source="digits", test_size=0.2, seed=42, stratify=True)))
    try:
        return split_rows(load_source(load_params(ROOT / "flows/params.yaml", name).data))
    except ParamsError:
        pytest.skip(f"this project has no flow {name}")


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "iris",
        "houses.csv",
        *(pytest.param(name, marks=pytest.mark.needs_data(name)) for name in ("california_housing", "olivetti_faces")),
    ],
)
def test_training_rows_of_the_flows_do_not_drift(name: str) -> None:
    """Every column of every model that is shipped, and of the example table."""
    table = flow_table(name)
    X, _ = encode_rows(table.describe(), table.part("train").raw)
    drift = measure_drift(table.describe(), X, len(X))
    assert {(found.status, found.unseen) for found in drift.columns} == {("ok", 0.0)}
    assert drift.columns[0].psi < 1e-6


def test_held_out_rows_of_the_digits_do_not_alert() -> None:
    """Pixels that are mostly zero, a hundred rows at a time: of 50 such windows of 64 columns none alerts."""
    table = flow_table("digits")
    features, trained = table.describe(), table.count("train")
    X, _ = encode_rows(features, table.part("test").raw)
    rng = np.random.default_rng(0)
    found = [measure_drift(features, X[rng.permutation(len(X))[:100]], trained).status for _ in range(50)]
    assert set(found) == {"ok"}


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


@pytest.mark.slow
def test_log_files_give_the_same_drift(models: dict[str, Path], tmp_path: Path) -> None:
    """A table, a page without external files, and an exit code; truncated lines are counted."""
    model = ("--model", str(models["own"]))
    with Server(models["own"]) as server:
        usual = ask(server, tmp_path, {})
    with usual.open("ab") as file:
        file.write(b'{"timestamp":"2026')
    out, left = run(str(usual), *model, "--fail-on", "alert")
    assert out.splitlines()[-1].endswith("240 rows compared with 60 training rows")
    assert left == "skipped: 1 damaged lines\n"
    with Server(models["own"]) as server:
        moved = ask(server, tmp_path, {"colour": "violet"})
    page = tmp_path / "drift.html"
    out, _ = run(str(moved), *model, "--out", str(page), "--fail-on", "alert", code=1)
    assert out.splitlines()[1].startswith("colour  alert ")
    text = page.read_text()
    assert "unseen: 0.0% in training, 100.0% now" in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("<figure>") == 4


def test_logs_without_rows_are_one_sentence(models: dict[str, Path], tmp_path: Path) -> None:
    """No file, another model's lines, omitted inputs: one sentence each, and no page."""
    _, absent = run("absent.jsonl", "--model", str(models["own"]), code=1)
    assert absent.startswith("error: absent.jsonl cannot be read: No such file or directory: name a log of")
    log = tmp_path / "other.jsonl"
    log.write_text(json.dumps({"prediction": {}, "model_sha256": "0", "input": {"size": 1}}) + "\n")
    _, other = run(str(log), "--model", str(models["own"]), "--out", str(tmp_path / "page.html"), code=1)
    assert "no rows of this model (1 lines about other models, 0 without their input, 0 damaged)" in other
    assert not (tmp_path / "page.html").exists()


def point(history: History, now: float, psi: float, added: int) -> bool:
    """Add a point if one is due; return whether it was."""
    if not history.claim(now, added):
        return False
    found = [ColumnDrift(name, "ok", value, 1.0, 0, 0, 0, [], [], []) for name, value in (("b", psi), ("a", 0.01))]
    history.add(now, added, Drift("ok", min(added, 500), 100, found), {"a": 0, "b": 1})
    return True


def told(history: History) -> dict[str, Any]:
    """Return the history of a document of the column b."""
    return history.complete({"columns": [{"name": "b"}]}, {"a": 0, "b": 1})


@pytest.mark.parametrize("shared", [False, True])
def test_the_history_keeps_the_whole_time_in_a_fixed_number_of_points(tmp_path: Path, shared: bool) -> None:
    """A day of a point a minute, then a quiet hour; what one worker adds, another one tells."""
    folder = tmp_path if shared else None
    one = History("x", 2, folder)
    other = History("x", 2, folder) if shared else one
    assert told(other) == {"columns": [{"name": "b", "history": []}], "history": []}
    sizes = []
    for minute in range(24 * 60):
        point((one, other)[minute % 2], 1e9 + 60 * minute, minute / 1000, 100 + minute)
        sizes.append(len(told(one)["history"]))
    assert max(sizes) == POINTS
    assert min(sizes[POINTS:]) > POINTS // 2
    found = told(other)
    assert found == told(one)
    psi = found["columns"][0]["history"]
    assert psi == sorted(psi) == [instant["psi"] for instant in found["history"]]
    assert (psi[0] < 0.05, psi[-1] > 1.4) == (True, True)
    assert found["history"][0] == {"time": "2001-09-09T02:17:40+00:00", "rows": 131, "status": "ok", "psi": 0.031}
    assert point(one, 1e9 + 90_000, 1.0, 5000)
    assert not point(other, 1e9 + 90_030, 1.0, 6000), "too early"
    assert not point(other, 1e9 + 97_200, 1.0, 5000), "no new rows"
    assert point(other, 1e9 + 97_200, 1.0, 6000)
    if shared:
        one.remove()
        assert list(tmp_path.iterdir()) == []


def test_two_workers_do_not_measure_the_same_point(tmp_path: Path) -> None:
    """The first one to see that it is due has some seconds; if it dies, another one takes its turn."""
    one, other = (History("x", 2, tmp_path) for _ in range(2))
    assert one.claim(1e9, 100)
    assert not other.claim(1e9 + 1, 100)
    assert point(other, 1e9 + 6, 0.2, 100)
    assert not one.claim(1e9 + 7, 200)
