"""Tables of the usual kinds go from `init` to predictions without an edit; what cannot go is told in one sentence."""

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import published
import pyarrow.parquet as pq
import pytest
from project import Project
from pyarrow import csv
from unit.own import write_lock

from artifact_flow.cli import main
from artifact_flow.core.base.params import load_params
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.source import read_names
from artifact_flow.core.table.typed_rows import read_texts

SOURCE = Path(__file__).resolve().parents[2]
MODELS = ("model_train.pkl", "model.onnx", "model_quantized.onnx")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the shipped parameters and pipeline, committed, that is the current directory; without code."""
    project = Project(tmp_path / "project")
    (project.root / ".dvc").mkdir(parents=True)
    shutil.copy(SOURCE / "tests/unit/params.yaml", project.root / "params.yaml")
    shutil.copy(SOURCE / "tests/pipeline.yaml", project.root / "dvc.yaml")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.commit("Shipped")
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("COLUMNS", "200")  # the terminal's width
    return project


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must succeed and return what it printed."""
    capsys.readouterr()
    main(arguments)
    return capsys.readouterr().out


def sentence_of(*arguments: str) -> str:
    """Run a command that must fail and return its sentence; parameters and pipeline stay as they were."""
    before = [Path(name).read_bytes() for name in ("params.yaml", "dvc.yaml")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    sentence = str(ended.value.code)
    assert sentence.startswith("error: ")
    assert "\n" not in sentence
    assert [Path(name).read_bytes() for name in ("params.yaml", "dvc.yaml")] == before
    return sentence.removeprefix("error: ")


def run_stages() -> dict[str, Any]:
    """Run the stages that params.yaml has blocks for, and return the metrics of the test split."""
    params = load_params()
    for stage in ("data", "train", "infer", "export", "quantize"):
        if getattr(params, stage):
            importlib.import_module(f"artifact_flow.stages.{stage}").main(params, Path())
    write_lock(Path(), "model_train.pkl")
    return dict(json.loads(Path("metrics.json").read_text())["test"])


def read_predictions(path: str) -> dict[str, list[Any]]:
    """Return a CSV of predictions by column, ids as text."""
    types = csv.ConvertOptions(column_types={"id": "string", "target": "string", "prediction": "string"})
    return dict(csv.read_csv(path, convert_options=types).to_pydict())


def as_lines(source: Path, form: Form, header: bool) -> Path:
    """Write a table again as JSON lines, each value a text or null, with the columns in another order."""
    names = read_names(source, form)
    table = read_texts(source, form, names).select(names[::-1]) if header else read_texts(source, form, names)
    path = source.with_name("again.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


@dataclass(frozen=True)
class Case:
    """A table, how it is adopted, some of what must be understood, and what the model must reach on the test split."""

    make: Callable[[Path], Path]
    arguments: list[str]
    roles: dict[str, str]
    metric: str
    at_least: float
    form: Form = field(default_factory=Form)


def census_with_header(folder: Path) -> Path:
    return published.census_income(folder, header=True)


CASES = {
    "passengers": Case(
        published.passengers,
        ["--target", "Survived"],
        {"PassengerId": "id", "Name": "left out", "Sex": "category", "Age": "number", "Embarked": "category"},
        "accuracy",
        0.7,
    ),
    "census, no header": Case(
        published.census_income,
        ["--target", "column_15", "--no-header", "--missing", "?"],
        {"column_1": "number", "column_2": "category", "column_7": "category", "column_14": "category"},
        "accuracy",
        0.55,
        Form(header=False, missing=("", "NA", "?")),
    ),
    "census, header": Case(
        census_with_header,
        ["--target", "income"],
        {"age": "number", "workclass": "category", "sex": "category", "hours-per-week": "number"},
        "accuracy",
        0.55,
    ),
    "wines": Case(
        published.wine_quality,
        ["--target", "quality"],
        {"fixed acidity": "number", "pH": "number", "alcohol": "number"},
        "accuracy",
        0.4,
        Form(separator=";"),
    ),
    "wines, regression": Case(
        published.wine_quality,
        ["--target", "quality", "--task", "regression"],
        {"fixed acidity": "number", "pH": "number", "alcohol": "number"},
        "r2",
        0.2,
        Form(separator=";"),
    ),
    "houses": Case(
        published.house_prices,
        ["--target", "SalePrice"],
        {
            "Id": "id",
            "LotFrontage": "number",
            "Alley": "category",
            "Utilities": "left out",
            "CentralAir": "boolean",
            "PoolQC": "category",
            "MiscFeature": "left out",
        },
        "r2",
        0.9,
    ),
    "churn": Case(
        published.telco_churn,
        ["--target", "Churn"],
        {"customerID": "id", "Partner": "boolean", "OnlineBackup": "category", "TotalCharges": "number"},
        "accuracy",
        0.7,
    ),
    "mushrooms": Case(
        published.mushrooms,
        ["--target", "class"],
        {"veil-type": "left out", "bruises": "boolean", "odor": "category", "stalk-root": "category"},
        "accuracy",
        0.9,
    ),
    "bicycles": Case(
        published.bike_sharing,
        ["--target", "cnt", "--leave-out", "casual", "registered"],
        {"instant": "id", "dteday": "date", "temp": "number", "casual": "left out"},
        "r2",
        0.3,
    ),
    "rents": Case(
        published.european_rents,
        ["--target", "Miete €"],
        {"Straße": "category", "Größe m²": "number", "Energieausweis": "category"},
        "r2",
        0.9,
        Form(separator=";"),
    ),
    "reviews": Case(
        published.reviews,
        ["--target", "again"],
        {"review_id": "id", "text": "text", "nights": "number", "country": "category"},
        "accuracy",
        0.4,
        Form(separator="\t"),
    ),
    "sensors": Case(
        published.sensors,
        ["--target", "failed"],
        {
            "serial": "id",
            "installed": "date",
            "seen": "date",
            "load": "number",
            "heated": "boolean",
            "maker": "category",
            "cost": "number",
            "remark": "left out",
        },
        "accuracy",
        0.7,
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow
def test_a_published_table_goes_from_init_to_predictions(mine: Project, name: str) -> None:
    """One command, and every stage passes; the raw file then gives the predictions of predictions.csv, id by id, from
    the pickle and from the portable model, nearly all from the 8-bit one; and so do the same rows as JSON lines.
    """
    case = CASES[name]
    source = case.make(mine.root)
    main(["init", "--data", source.name, *case.arguments])
    table = load_params().data.table
    assert table is not None
    assert {column: table.columns[column] for column in case.roles} == case.roles
    assert run_stages()[case.metric] >= case.at_least
    promised = read_predictions("predictions.csv")
    for model in MODELS:
        main(["predict", source.name, "--model", model, "--out", f"{model}.csv"])
        found = read_predictions(f"{model}.csv")
        assert found["id"] == promised["id"]
        pairs = list(zip(found["prediction"], promised["prediction"], strict=True))
        if case.metric == "accuracy":
            same = sum(one == other for one, other in pairs)
        else:
            same = sum(float(one) == pytest.approx(float(other), rel=1e-4) for one, other in pairs)
        if model != "model_quantized.onnx":
            assert same == len(pairs)
        elif case.metric == "accuracy":
            assert same >= 0.97 * len(pairs)
    main(["predict", str(as_lines(source, case.form, table.header)), "--out", "again.csv"])
    assert Path("again.csv").read_bytes() == Path("model.onnx.csv").read_bytes()


def test_init_says_what_it_understood(mine: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a column: name, role, missing, different values and the reason; then what to do next."""
    published.house_prices(mine.root)
    printed = say(capsys, "init", "--data", "house_prices.csv", "--target", "SalePrice", "--leave-out", "YrSold")
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}
    assert lines["Id"] == ["id", "0", "300", "counts", "the", "rows"]
    assert lines["PoolQC"] == ["category", "299", "1"]
    assert lines["Utilities"] == ["left", "out", "0", "1", "constant:", "AllPub"]
    assert lines["MiscFeature"] == ["left", "out", "300", "0", "empty"]
    assert lines["YrSold"] == ["left", "out", "set", "by", "you"]
    assert lines["SalePrice"][:4] == ["target", "0", "300", "regression"]
    assert "house_prices.csv: 300 rows" in printed
    assert "params.yaml and dvc.yaml are written. Now: git add house_prices.csv" in printed
    assert "warning" not in printed


def test_comments_and_everything_else_stay(mine: Project) -> None:
    """Both files keep their comments; the table is a dependency of `data`; no other stage changes."""
    published.telco_churn(mine.root)
    before = (mine.root / "dvc.yaml").read_text()
    main(["init", "--data", "telco_churn.csv", "--target", "Churn"])
    assert (mine.root / "dvc.yaml").read_text() == before.replace(
        "      - data\n    deps:\n", "      - data\n    deps:\n      - telco_churn.csv\n"
    )
    shipped = mine.run("git", "show", "HEAD:params.yaml").splitlines()
    params = (mine.root / "params.yaml").read_text()
    gone = [line for line in shipped if line not in params.splitlines()]
    assert [line.split(":")[0].strip() for line in gone] == [
        "source",
        "# california_housing, olivetti_faces; for your own table",
        "preprocess",
        "arithmetic",
        "C",
        "solver",
        "max_iter",
        "max_difference",
        "max_quality_loss",
        "min_agreement",
    ]
    assert "customerID: id # as many values as rows" in params
    assert "max_iter: 1000 # iterations at most\n\ninfer:\n" in params


def test_the_same_again_by_force_changes_nothing(mine: Project) -> None:
    """`init --force` with the same arguments writes the same files."""
    published.mushrooms(mine.root)
    written = []
    for force in ([], ["--force"]):
        main(["init", "--data", "mushrooms.csv", "--target", "class", *force])
        written.append([(mine.root / name).read_bytes() for name in ("params.yaml", "dvc.yaml")])
    assert written[0] == written[1]


def test_one_changed_byte_runs_data_again(mine: Project) -> None:
    """The file is a dependency of `data`: real DVC skips it while it is the same, and runs it when one byte is not."""
    published.mushrooms(mine.root)
    shutil.copytree(SOURCE / "src", mine.root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (mine.root / "requirements").mkdir()
    shutil.copy(SOURCE / "requirements/lean.txt", mine.root / "requirements")
    shutil.copy(SOURCE / ".dvcignore", mine.root)
    (mine.root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    main(["init", "--data", "mushrooms.csv", "--target", "class"])
    assert mine.repro("--single-item", "data") == ["data"]
    assert mine.repro("--single-item", "data") == []
    mine.edit("mushrooms.csv", lambda text: text.replace("\np,", "\ne,", 1))
    assert mine.repro("--single-item", "data") == ["data"]


def test_a_table_of_one_s_own_is_not_overwritten(mine: Project) -> None:
    """A second `init` needs --force; so does one over changes that are in no commit."""
    published.mushrooms(mine.root)
    published.telco_churn(mine.root)
    other = ["init", "--data", "telco_churn.csv", "--target", "Churn"]
    mine.set_param("seed: 42", "seed: 43")
    assert sentence_of(*other).startswith("params.yaml has uncommitted changes: commit them")
    mine.run("git", "checkout", "--quiet", "params.yaml")
    main(["init", "--data", "mushrooms.csv", "--target", "class"])
    mine.commit("Mushrooms")
    sentence = sentence_of(*other)
    assert sentence.startswith("params.yaml already describes a table of your own (mushrooms.csv): add --force")
    main([*other, "--force"])
    deps = (mine.root / "dvc.yaml").read_text()
    assert "- telco_churn.csv\n" in deps
    assert "mushrooms.csv" not in deps


def test_a_file_outside_the_repository_is_refused(mine: Project, tmp_path: Path) -> None:
    """No clone would find it."""
    source = published.mushrooms(tmp_path)
    sentence = sentence_of("init", "--data", str(source), "--target", "class")
    assert sentence.startswith(f"{source} is outside the repository {mine.root}, where no clone would find it")


@pytest.mark.parametrize(
    ("columns", "leak"),
    [
        ({"copy": lambda y: y}, "copy reproduces y"),
        ({"one": lambda y: y // 3, "two": lambda y: y - y // 3}, "one + two reproduce y"),
        (
            {"a b": lambda y: y // 3, "two": lambda y: y // 5, "3": lambda y: y - y // 3 - y // 5},
            "a b + two + 3 reproduce y",
        ),
    ],
)
def test_what_reproduces_the_target_is_told(
    mine: Project, capsys: pytest.CaptureFixture[str], columns: dict[str, Callable[[int], int]], leak: str
) -> None:
    """One column, or a sum of two or three, that is the target is a warning; left out as it says, it is none."""
    rows = [[i, i * i % 1009, *(make(i * i % 1009) for make in columns.values()), i * 7 % 11] for i in range(100)]
    lines = [["id", "y", *columns, "x"], *rows]
    (mine.root / "t.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    printed = say(capsys, "init", "--data", "t.csv", "--target", "y")
    assert f"warning: {leak}, the target" in printed
    quoted = [f"'{name}'" if " " in name else name for name in columns]
    assert f"leave such columns out: --leave-out {' '.join(quoted)} --force" in printed
    assert "warning" not in say(capsys, "init", "--data", "t.csv", "--target", "y", "--leave-out", *columns, "--force")


def test_a_column_that_pairs_off_with_the_classes_is_told(mine: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A classification's target under another name is a warning."""
    rows = "".join(f"{i * 7 % 11},{'ab'[i % 2]},{'xy'[i % 2]}\n" for i in range(60))
    (mine.root / "t.csv").write_text(f"x,letter,class\n{rows}")
    assert "warning: letter reproduces class, the target" in say(capsys, "init", "--data", "t.csv", "--target", "class")


@pytest.mark.parametrize(
    ("estimator", "empty", "notes"),
    [
        (
            "ensemble.AdaBoostClassifier",
            ["model_quantized.onnx"],
            ["quantize does not apply: AdaBoostClassifier is not a linear model, and only linear models and trees are"],
        ),
        (
            "neighbors.NearestCentroid",
            ["model.onnx", "model_quantized.onnx"],
            ["export does not apply: NearestCentroid cannot be written as ONNX", "quantize does not apply"],
        ),
        (
            "discriminant_analysis.LinearDiscriminantAnalysis",
            ["model.onnx"],
            ["export does not apply: LinearDiscriminantAnalysis predicts differently as ONNX"],
        ),
        ("svm.LinearSVC", [], []),
        ("ensemble.RandomForestClassifier", [], []),
    ],
)
@pytest.mark.slow
def test_a_stage_that_does_not_apply_passes_with_an_empty_model(
    mine: Project, capsys: pytest.CaptureFixture[str], estimator: str, empty: list[str], notes: list[str]
) -> None:
    """`init` leaves dvc.yaml as it is but for the file, every stage passes, and opening the empty model says why."""
    published.telco_churn(mine.root)
    before = (mine.root / "dvc.yaml").read_text()
    arguments = ["--data", "telco_churn.csv", "--target", "Churn", "--estimator", f"sklearn.{estimator}"]
    printed = say(capsys, "init", *arguments)
    assert [line for line in printed.splitlines() if "does not apply" in line] != [] or not notes
    assert all(f"note: {note}" in printed for note in notes)
    assert (mine.root / "dvc.yaml").read_text().replace("      - telco_churn.csv\n", "") == before
    assert run_stages()["accuracy"] > 0.6
    assert [name for name in MODELS if not (mine.root / name).stat().st_size] == empty
    for name in empty:
        record = json.loads(Path("parity.json" if name == "model.onnx" else "quantization.json").read_text())
        assert record["applies"] is False
        stage = "export" if name == "model.onnx" else "quantize"
        predict = ["predict", "telco_churn.csv", "--out", "out.csv", "--model"]
        assert sentence_of(*predict, name).startswith(
            f"{name} is empty, because the stage {stage} does not apply to this estimator ({record['reason']}): "
        )
        main([*predict, "model_train.pkl"])


def test_a_stage_that_the_user_removed_stays_removed(mine: Project) -> None:
    """`init` and the other stages work without export and quantize, and predict names the model that there is."""
    published.mushrooms(mine.root)
    mine.edit("dvc.yaml", lambda text: text.partition("\n  export:")[0] + "\n")
    mine.edit("params.yaml", lambda text: text.partition("export:")[0])
    mine.commit("Without export and quantize")
    main(["init", "--data", "mushrooms.csv", "--target", "class"])
    assert load_params().export is None
    run_stages()
    said = sentence_of("predict", "mushrooms.csv", "--out", "out.csv")
    assert said.startswith("model.onnx cannot be read (No such file or directory): no stage of ")
    assert "predict with another file (--model model_train.pkl); only" in said


@pytest.mark.parametrize("name", ["label", "features", "variable", "w", "scores", "code_0", "code_1"])
@pytest.mark.slow
def test_a_column_may_have_any_name(mine: Project, name: str) -> None:
    """No name of a column stands in the way of a name in the ONNX files."""
    rows = "".join(f"{i * 7 % 11},{'abc'[i % 3]},{'xy'[(i * i) % 3 % 2]}\n" for i in range(60))
    (mine.root / "t.csv").write_text(f"{name},letter,class\n{rows}")
    main(["init", "--data", "t.csv", "--target", "class"])
    run_stages()
    main(["predict", "t.csv", "--model", "model_quantized.onnx", "--out", "out.csv"])
    assert read_predictions("out.csv")["prediction"] == read_predictions("predictions.csv")["prediction"]


def test_what_the_user_says_wins(mine: Project) -> None:
    """--id, --category, --leave-out and --missing decide over the schema."""
    published.passengers(mine.root)
    said = ["--id", "Ticket", "--category", "Pclass", "Parch", "--leave-out", "Fare", "--missing", "S", "unknown"]
    main(["init", "--data", "passengers.csv", "--target", "Survived", *said])
    table = load_params().data.table
    assert table is not None
    assert {table.columns[name] for name in ("Pclass", "Parch")} == {"category"}
    assert (table.columns["Ticket"], table.columns["PassengerId"], table.columns["Fare"]) == (
        "id",
        "left out",
        "left out",
    )
    assert table.missing == ["", "NA", "S", "unknown"]
    run_stages()
    features = {line["name"]: line for line in json.loads(Path("contract.json").read_text())["features"]}
    assert features["Pclass"]["categories"] == ["1", "2", "3"]
    assert features["Embarked"]["categories"] == ["C", "Q"]


def test_a_split_by_a_column_is_written_and_made(mine: Project) -> None:
    """--split-by: a group's column is left out, one of time keeps its role, and both splits hold what they should."""
    published.passengers(mine.root)
    published.bike_sharing(mine.root)
    main(["init", "--data", "passengers.csv", "--target", "Survived", "--split-by", "group:Ticket"])
    text = Path("params.yaml").read_text()
    assert "  split:\n    by: group\n    column: Ticket\n  preprocess: auto" in text
    assert "    Ticket: left out # data.split is by this group\n" in text
    run_stages()
    passengers = csv.read_csv("passengers.csv")
    ids = map(str, passengers["PassengerId"].to_pylist())
    tickets = dict(zip(ids, passengers["Ticket"].to_pylist(), strict=True))
    rows = pq.read_table("data.parquet", columns=["id", "split"]).to_pylist()
    found = {split: {tickets[row["id"]] for row in rows if row["split"] == split} for split in ("train", "test")}
    assert found["train"]
    assert found["test"]
    assert not found["train"] & found["test"]
    main(["init", "--data", "bike_sharing.csv", "--target", "cnt", "--split-by", "time:dteday", "--force"])
    data = load_params().data
    assert data.split
    assert data.table
    assert (data.split.by, data.table.columns["dteday"]) == ("time", "date")
    run_stages()
    assert pq.read_table("data.parquet")["split"].to_pylist() == ["train"] * 240 + ["test"] * 60
    main(["init", "--data", "bike_sharing.csv", "--target", "cnt", "--force"])
    assert load_params().data.split is None


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (["--split-by", "groups:Ticket"], "--split-by is 'groups:Ticket' (did you mean group?); allowed: group:COLUMN"),
        (["--split-by", "group"], "--split-by is 'group' (did you mean group?); allowed: group:COLUMN, time:COLUMN"),
        (["--split-by", "group:Tickt"], "passengers.csv has no column Tickt (did you mean Ticket?)"),
        (["--split-by", "time:Tickt"], "params.yaml: data.split: passengers.csv has no column Tickt (did you mean"),
        (["--split-by", "column:Embarked"], "passengers.csv: Embarked, by which data.split splits, has no value in 2"),
        (["--split-by", "column:Pclass"], "passengers.csv: Pclass, by which data.split splits, never is test: name"),
        (["--test-values", "3"], "--test-values are the values of the column that splits: add --split-by column:COL"),
    ],
)
def test_a_split_that_cannot_be_is_one_sentence(mine: Project, said: list[str], sentence: str) -> None:
    """Nothing is written."""
    published.passengers(mine.root)
    found = sentence_of("init", "--data", "passengers.csv", "--target", "Survived", *said)
    assert found.replace(f"{mine.root}/", "").startswith(sentence)


def test_rows_without_a_target_are_left_out_when_told(mine: Project) -> None:
    """They are counted and refused, or left out on request."""
    published.bike_sharing(mine.root)
    mine.edit("bike_sharing.csv", lambda text: "\n".join(text.splitlines()[:-1]) + "\n999,2012-01-01,1,1,0,1,,,,1,1,\n")
    arguments = ["init", "--data", "bike_sharing.csv", "--target", "cnt"]
    assert sentence_of(*arguments).startswith("bike_sharing.csv: 1 of 300 rows have no value in cnt, the target: fill")
    main([*arguments, "--drop-missing-target"])
    run_stages()
    assert pq.read_table("data.parquet").num_rows == 299


@pytest.mark.parametrize(("row", "sizes"), [(4, [True, True]), (5, [False, False])])
def test_a_class_of_one_row_is_no_obstacle(
    mine: Project, capsys: pytest.CaptureFixture[str], row: int, sizes: list[bool]
) -> None:
    """It cannot be in both splits: the split is not stratified, and that is said; where it is not in the train split,
    export and quantize do not apply, and every stage passes.
    """
    lines = [f"{i * 7 % 11},{'abc'[i % 3]},{'rare' if i == row else 'xy'[i % 2]}\n" for i in range(60)]
    (mine.root / "t.csv").write_text("number,letter,class\n" + "".join(lines))
    printed = say(capsys, "init", "--data", "t.csv", "--target", "class")
    assert "note: not stratified: some class has too few rows" in printed
    assert ("note: export does not apply: the train split has no row of class rare" in printed) is (row == 5)
    assert load_params().data.stratify is False
    run_stages()
    assert [Path(name).stat().st_size > 0 for name in ("model.onnx", "model_quantized.onnx")] == sizes


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (
            "sklearn.linear_model.Ridge",
            "params.yaml: train.estimator is sklearn.linear_model.Ridge, but the target requires classification",
        ),
        ("sklearn.linear_model.Rigde", "params.yaml: train.estimator is 'sklearn.linear_model.Rigde', but"),
        ("os.system", "params.yaml: train.estimator is 'os.system', which is not a path in sklearn"),
    ],
)
def test_an_estimator_that_does_not_fit_is_refused(mine: Project, estimator: str, sentence: str) -> None:
    """The estimator is tried on the table before anything is written."""
    published.mushrooms(mine.root)
    assert sentence_of("init", "--data", "mushrooms.csv", "--target", "class", "--estimator", estimator).startswith(
        sentence
    )


def test_a_name_like_markup_is_printed_as_it_is(mine: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets in a column's name are text."""
    (mine.root / "t.csv").write_text("size [m],[bold],y\n" + "".join(f"{i % 13},{i % 7},{i % 2}\n" for i in range(40)))
    printed = say(capsys, "init", "--data", "t.csv", "--target", "y")
    assert "\nsize [m] " in printed
    assert "\n[bold] " in printed
