"""`artifact-flow card`: three documents from a finished flow, valid by their standards, the same bytes each time."""

import importlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import published
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from project import Project

from artifact_flow.cli import main
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.legend import ColumnLegend
from artifact_flow.core.base.params import load_params
from artifact_flow.evidence.bom import BOM, render_bom
from artifact_flow.evidence.card import CARD, render_card
from artifact_flow.evidence.croissant import CROISSANT, render_croissant
from artifact_flow.evidence.facts import Facts, find_libraries, gather_facts, read_facts
from artifact_flow.evidence.markdown import code
from artifact_flow.tracking.result import read_result

SOURCE = Path(__file__).resolve().parents[2]
DOCUMENTS = (CARD, BOM, CROISSANT)
STAGES = ("data", "train", "infer", "export", "quantize")


@pytest.fixture(scope="module")
def copied(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project with two finished flows, for the tests here alone: DVC locks a project that it looks at."""
    return Project(Path(shutil.copytree(finished.root, tmp_path_factory.mktemp("card") / "project", symlinks=True)))


@pytest.fixture
def changed(copied: Project, tmp_path: Path) -> Project:
    """A copy that one test may change."""
    return Project(Path(shutil.copytree(copied.root, tmp_path / "changed", symlinks=True)))


def write_documents(facts: Facts) -> dict[Path, str]:
    """Return the three documents."""
    return {CARD: render_card(facts), BOM: render_bom(facts), CROISSANT: render_croissant(facts)}


def check_documents(texts: dict[Path, str], facts: Facts) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Check each document by its standard's rules and against the files; return what they hold."""
    return check_card(texts[CARD], facts), check_bom(texts[BOM], facts), check_croissant(texts[CROISSANT], facts)


def check_card(text: str, facts: Facts) -> dict[str, Any]:
    """Check a card: Hugging Face's front matter, tables without a torn row, each section once."""
    _, head, body = text.split("---\n", 2)
    matter = dict(yaml.safe_load(head))
    assert set(matter) == {"library_name", "pipeline_tag", "tags", "model-index"}
    (model,) = matter["model-index"]
    assert model["name"] == facts.result.name
    for result in model["results"]:
        assert set(result) == {"task", "dataset", "metrics"}
        assert {*result["dataset"]} == {"name", "type", "split"}
        split = result["dataset"]["split"]
        for metric in result["metrics"]:
            assert metric["value"] == facts.result.metrics[f"{split}.{metric['type']}"]
    sections = re.findall(r"^## (.+)$", body, re.MULTILINE)
    assert sections == ["Data", "How it was trained", "Metrics", "Limits", "How to use", "How to reproduce"]
    for table in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
    for name in facts.models:
        assert f"`{facts.md5[name]}` | `{facts.result.sha256[name]}`" in body
    return matter


def check_bom(text: str, facts: Facts) -> dict[str, Any]:
    """Check a bill of materials by the schema of CycloneDX 1.6, and that each reference leads to a component."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = dict(json.loads(text))
    model = document["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": facts.result.sha256[facts.models[0]]}]
    components = {component["bom-ref"]: component for component in document["components"]}
    assert {found["ref"] for found in document["dependencies"]} == {*components, model["bom-ref"]}
    assert {found["ref"] for found in model["modelCard"]["modelParameters"]["datasets"]} <= set(components)
    versions = {found["name"]: found["version"] for found in components.values() if found["type"] == "library"}
    assert versions.items() >= facts.contract.libraries.items()
    return document


def check_croissant(text: str, facts: Facts) -> dict[str, Any]:
    """Check a data set by the rules of Croissant 1.0 that `mlcroissant` checks, and against data.parquet."""
    document = dict(json.loads(text))
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    (file,) = document["distribution"]
    path = facts.result.folder / file["contentUrl"]
    assert (file["sha256"], file["md5"]) == (hash_file(path), hash_file(path, "md5"))
    assert file["contentSize"] == f"{path.stat().st_size} B"
    sets = {records["@id"]: records for records in document["recordSet"]}
    ids = [field["@id"] for records in sets.values() for field in records["field"]]
    assert len({*ids, *sets, file["@id"]}) == len(ids) + len(sets) + 1
    assert all(re.fullmatch(r"[\w.~%/-]+", name, re.ASCII) for name in ids)
    rows = sets["rows"]["field"]
    assert [field["source"]["extract"]["column"] for field in rows] == pq.read_schema(path).names
    assert [unquote(field["@id"]).removeprefix("rows/") for field in rows] == pq.read_schema(path).names
    for field in rows:
        assert field["source"]["fileObject"]["@id"] == file["@id"]
        assert field.get("references", {"field": {"@id": ids[0]}})["field"]["@id"] in ids
    for records in sets.values():
        for row in records.get("data", ()):
            assert list(row) == [field["@id"] for field in records["field"]]
    classes = [row["classes/name"] for row in sets.get("classes", {"data": ()})["data"]]
    assert classes == facts.contract.target.classes
    return document


@pytest.mark.parametrize("flow", [".", "flows/iris"])
@pytest.mark.slow
def test_a_finished_flow_has_three_valid_documents(copied: Project, tmp_path: Path, flow: str) -> None:
    """The command writes and names them; they are valid, tell what the files tell, and are the same bytes each time."""
    for place in ("one", "two"):
        printed = copied.run("artifact-flow", "card", flow, "--out", str(tmp_path / place))
        assert printed.splitlines() == [str(tmp_path / place / name) for name in DOCUMENTS]
    texts = {name: (tmp_path / "one" / name).read_text() for name in DOCUMENTS}
    assert texts == {name: (tmp_path / "two" / name).read_text() for name in DOCUMENTS}
    facts = read_facts(copied.root / flow)
    assert texts == write_documents(facts)
    matter, bom, _ = check_documents(texts, facts)
    assert matter["tags"][:3] == ["sklearn", "tabular-classification", "onnx"]
    (inputs,) = bom["metadata"]["component"]["modelCard"]["modelParameters"]["inputs"]
    assert inputs["format"] == f"features: tensor(float) [rows, {len(facts.contract.features)}]"
    hashes = {one["name"]: one["hashes"] for one in bom["components"] if one["type"] == "library"}
    assert {"scikit-learn", "numpy", "onnxruntime", "skl2onnx"} <= set(hashes)
    assert all(hashes.values())
    model = "model.onnx" if flow == "." else "flows/iris/model.onnx"
    assert f"artifact-flow predict rows.csv --model {model} " in texts[CARD]
    assert ("dvc repro flows/dvc.yaml\n" in texts[CARD]) == (flow != ".")


@pytest.mark.slow
def test_the_documents_lie_beside_the_model_and_change_nothing(changed: Project) -> None:
    """Without --out they are written into the flow's folder; the flow stays finished, and so do the documents."""
    changed.run("artifact-flow", "card", "flows/iris")
    before = [(changed.root / "flows/iris" / name).read_bytes() for name in DOCUMENTS]
    changed.commit("With a card")
    changed.run("artifact-flow", "card", "flows/iris")
    assert [(changed.root / "flows/iris" / name).read_bytes() for name in DOCUMENTS] == before
    changed.run("dvc", "status", "--quiet", "flows/dvc.yaml")


def edit_parameter(project: Project) -> None:
    """Edit a parameter and do not reproduce."""
    project.edit("flows/params.yaml", lambda text: text.replace("max_iter: 200", "max_iter: 300"))


def edit_code(project: Project) -> None:
    """Edit what a stage depends on and do not reproduce."""
    project.edit("requirements/lean.txt", lambda text: text + "# one line more\n")


def spoil_output(project: Project) -> None:
    """Edit the metrics."""
    project.edit("flows/iris/metrics.json", lambda text: text.replace("accuracy", "precision"))


def break_pipeline(project: Project) -> None:
    """Declare a stage as DVC does not allow it."""
    project.edit("flows/dvc.yaml", lambda text: text + "\n  report:\n    cmd: true\n    outs: [iris/report.txt]\n")


def lose_output(project: Project) -> None:
    """Delete the model."""
    (project.root / "flows/iris/model.onnx").unlink()


def add_stage(project: Project) -> None:
    """Add an output that no run has made."""
    project.edit(
        "flows/dvc.yaml",
        lambda text: text + "\n  report:\n    cmd: touch iris/report.txt\n    outs: [iris/report.txt]\n",
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (edit_parameter, "is stale or unfinished (`dvc status` names train@iris)"),
        (edit_code, "is stale or unfinished (`dvc status` names data@iris, train@iris"),
        (spoil_output, "metrics.json is not the one that dvc.lock names"),
        (lose_output, "model.onnx cannot be read (No such file or directory)"),
        (break_pipeline, "`dvc status` fails in "),
        (add_stage, "is stale or unfinished (`dvc status` names report)"),
    ],
)
@pytest.mark.slow
def test_a_flow_that_is_not_finished_is_refused(changed: Project, change: Callable[[Project], None], says: str) -> None:
    """A stale, spoiled or unfinished flow gets one sentence that says what to run, and no document."""
    change(changed)
    printed = changed.run("artifact-flow", "card", "flows/iris", code=1)
    assert printed.startswith("error: ")
    assert len(printed.splitlines()) == 1
    assert says in printed
    assert "dvc repro" in printed
    assert not any((changed.root / "flows/iris" / name).exists() for name in DOCUMENTS)


def test_what_is_no_flow_is_refused(copied: Project) -> None:
    """A folder without a flow gets one sentence."""
    assert copied.run("artifact-flow", "card", "docs", code=1).startswith("error: no dvc.lock lists an output in ")


def adopt(folder: Path, monkeypatch: pytest.MonkeyPatch, source: Path, target: str) -> None:
    """Make a project of a table, which becomes the current directory."""
    shutil.copy(SOURCE / "tests/unit/params.yaml", folder / "params.yaml")
    shutil.copy(SOURCE / "tests/pipeline.yaml", folder / "dvc.yaml")
    (folder / ".dvc").mkdir()
    Project(folder).run("git", "init", "--quiet")
    Project(folder).commit("Shipped")
    monkeypatch.chdir(folder)
    main(["init", "--data", source.name, "--target", target])


def run_stages(folder: Path, stages: tuple[str, ...]) -> Facts:
    """Run stages in the current directory, lock what they made, and return the facts."""
    params = load_params()
    for stage in stages:
        importlib.import_module(f"artifact_flow.stages.{stage}").main(params, Path())
    made = [path for path in folder.rglob("*") if path.suffix in (".parquet", ".json", ".pkl", ".onnx", ".csv")]
    outs = [
        {"path": path.relative_to(folder).as_posix(), "md5": hash_file(path, "md5")}
        for path in sorted(made)
        if "data.parquet" in path.name or path.suffix != ".parquet"
    ]
    blocks = {"data": params.data.model_dump(exclude_none=True), "train": params.train.model_dump()}
    stage = {"cmd": "train", "params": {"params.yaml": blocks}, "outs": outs}
    (folder / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"train": stage}}))
    return gather_facts(read_result(Path()))


def everything(folder: Path) -> Path:
    """Write a table of every type, whose names and values hold what Markdown, JSON and YAML use for themselves."""
    rows = 240
    table = pa.table(
        {
            "Größe | m²": pa.array([20.5 + i % 37 for i in range(rows)]),
            "`id`": pa.array([f"k{i}" for i in range(rows)]),
            "bis: <b>": pa.array([None if i % 11 == 0 else i % 3 == 0 for i in range(rows)]),
            "größe/%20 #1": pa.array([["ja", "né|in", "`vielleicht`", "a: b\n- c"][i % 4] for i in range(rows)]),
            "日付": pa.array([f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(rows)]),
            "текст": pa.array(
                [f"слово {i % 7} und {'gut' if i % 2 else 'schlecht'}: № {i * 7919}" for i in range(rows)]
            ),
            "split": pa.array([i % 5 for i in range(rows)]),
            "Ziel_*": pa.array([["oui, «ça»", "no|n"][i % 2] for i in range(rows)]),
        }
    )
    pq.write_table(table, folder / "überall.parquet")
    return folder / "überall.parquet"


def test_columns_of_every_type_and_names_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, categories, dates, booleans and gaps are told by type and range; no name breaks a document."""
    adopt(tmp_path, monkeypatch, everything(tmp_path), "Ziel_*")
    facts = run_stages(tmp_path, STAGES)
    assert {feature.type for feature in facts.contract.features} == {"number", "boolean", "date", "category", "text"}
    texts = write_documents(facts)
    _, bom, data = check_documents(texts, facts)
    card = texts[CARD]
    assert "| `Größe \\| m²` | number | 20.5 to 56.5 | 0 % |" in card
    assert "| `日付` | date | 2024-01-01 to 2024-12-28 | 0 % |" in card
    assert "| `bis: <b>` | boolean | false to true | " in card
    assert re.search(r"\| `текст` \| text \| \d+ to \d+ characters \| 0 % \|", card)
    assert "`` `vielleicht` ``, `a: b - c`, `ja`, `né\\|in`" in card
    assert "| classes | 2: `no\\|n`, `oui, «ça»` |" in card
    types = {field["name"]: field["dataType"] for field in data["recordSet"][-1]["field"]}
    assert types["日付"] == "sc:DateTime"
    assert types["bis: <b>"] == "sc:Boolean"
    assert types["split (feature)"] == "sc:Float"
    assert types["split"] == ["sc:Text", "cr:Split"]
    assert len(bom["metadata"]["component"]["modelCard"]["modelParameters"]["inputs"]) == len(facts.inputs) > 1
    legend = {
        "Größe | m²": ColumnLegend(unit="m|²", description="`Breite` mal Tiefe"),
        "Ziel_*": ColumnLegend(unit="*"),
    }
    told = replace(facts, legend=legend)
    check_documents(write_documents(told), told)
    card = render_card(told)
    assert "| `Größe \\| m²` | number | 20.5 to 56.5 | 0 % | m\\|² | \\`Breite\\` mal Tiefe |" in card
    assert "| `日付` | date | 2024-01-01 to 2024-12-28 | 0 % |  |  |" in card
    assert "| target | `Ziel_*` in \\* |" in card
    assert '"`Breite` mal Tiefe: number in m|²: 20.5 to 56.5 in the train split"' in render_croissant(told)


def test_a_regression_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the stages export and quantize the pickle is the model, and the card says that there is no ONNX file."""
    adopt(tmp_path, monkeypatch, published.european_rents(tmp_path), "Miete €")
    facts = run_stages(tmp_path, STAGES[:3])
    texts = write_documents(facts)
    matter, bom, _ = check_documents(texts, facts)
    assert matter["pipeline_tag"] == "tabular-regression"
    assert "onnx" not in matter["tags"]
    assert "artifact-flow predict rows.csv --model model_train.pkl " in texts[CARD]
    assert "There is no model.onnx: the pipeline has no stage for it." in texts[CARD]
    assert "inputs" not in bom["metadata"]["component"]["modelCard"]["modelParameters"]


def test_the_choices_of_params_yaml_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The split, the search with what it found, the threshold, further metrics, and why there is no 8-bit model."""
    adopt(tmp_path, monkeypatch, published.hospital_visits(tmp_path), "readmitted")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["data"] |= {"split": {"by": "group", "column": "patient"}, "stratify": False}
    params["train"] = {
        "estimator": "sklearn.tree.DecisionTreeClassifier",
        "threads": 1,
        "random_state": 0,
        "threshold": 0.3,
        "search": {"strategy": "grid", "space": {"max_depth": [2, 3]}, "cv": 3},
    }
    params["infer"] |= {"cross_validation": 3, "metrics": ["recall"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    facts = run_stages(tmp_path, STAGES)
    texts = write_documents(facts)
    _, bom, _ = check_documents(texts, facts)
    card = texts[CARD]
    assert "| split | 0.2 for testing: whole groups of `patient`, drawn with seed 42 |" in card
    depth = facts.contract.params["best"]["max_depth"]
    assert f"| argument `max_depth` | `{depth}` |" in card
    assert "| search | grid over 3 folds, which found `max_depth` |" in card
    assert "| decision threshold | 0.3 of the probability of `yes` |" in card
    assert "| metric | train | test | cross-validation |" in card
    assert "| `recall` | " in card
    assert re.search(
        r"^- There is no model_quantized.onnx: 8 bits do not pay for DecisionTreeClassifier: .*\.$", card, re.MULTILINE
    )
    properties = {one["name"]: one["value"] for one in bom["metadata"]["component"]["modelCard"]["properties"]}
    assert properties["artifact-flow:argument:max_depth"] == str(depth)
    assert properties["artifact-flow:decision threshold"] == "0.3"


@pytest.mark.needs_flows("iris", "california_housing", "olivetti_faces")
@pytest.mark.parametrize("flow", ["iris", "california_housing", "olivetti_faces"])
def test_the_shipped_flows_have_valid_documents(flow: str) -> None:
    """Each shipped flow has its documents; thousands of pixels are one line of the card."""
    facts = gather_facts(read_result(SOURCE / "flows" / flow))
    texts = write_documents(facts)
    assert texts == write_documents(gather_facts(read_result(SOURCE / "flows" / flow)))
    check_documents(texts, facts)
    assert len(texts[CARD].splitlines()) < 200


def test_a_code_span_holds_any_text() -> None:
    """Backticks are fenced by more of them, bars are escaped, lines become one."""
    assert code("a`b") == "``a`b``"
    assert code("`a`") == "`` `a` ``"
    assert code("a|b\nc") == "`a\\|b c`"
    assert code("") == "` `"


def test_libraries_have_the_hashes_of_their_locked_version() -> None:
    """A library of another version than the locked one has no hashes, and one that decides nothing is left out."""
    one, two = "1" * 64, "2" * 64
    lock = f"numpy==2.0 \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\nrich==1 \\\n    --hash=sha256:{one}\n"
    lock += f"scipy==1.0 ; python_version < '4' \\\n    --hash=sha256:{two}\n"
    found = {library.name: library for library in find_libraries(lock, {"scipy": "1.1"})}
    assert set(found) == {"numpy", "scipy"}
    assert (found["numpy"].version, found["numpy"].sha256) == ("2.0", (one, two))
    assert (found["scipy"].version, found["scipy"].sha256) == ("1.1", ())
