"""Dependencies: dvc.yaml declares what the stages read, no more (needless runs) and no less (stale outputs).

The rules apply to the dvc.yaml of this project, including stages that a user has added or removed. Rules for
the shipped pipeline alone read its copy, tests/pipeline.yaml, which the fixture `project` runs.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import pytest
from project import Project
from ruamel.yaml import YAML
from shipped import needs_shipped

ROOT = Path(__file__).resolve().parents[2]
STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "tests/pipeline.yaml")["stages"]
FLOWS: dict[str, Any] = YAML(typ="safe").load(ROOT / "tests/flows.yaml")["stages"]
LIVE: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
RUNNER = "artifact_flow.core.stage"
PYTHON_STAGES = [name for name in STAGES if name != "test"]
LAUNCHER = "src/artifact_flow/core/stage.sh"
RUNS = re.compile(rf"sh {LAUNCHER} (\w+)")
ENVIRONMENT = "requirements/lean.txt"  # decides the versions of the imported packages

# Runs a stage like stage.sh and prints every file under the current directory that Python opens for reading.
SPY = """
import json, os, runpy, sys
opened = set()
def spy(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and not (set(str(arguments[1])) & set("wax")):
        opened.add(os.path.relpath(arguments[0]))
sys.addaudithook(spy)
runpy.run_module("artifact_flow.core.stage", run_name="__main__", alter_sys=True)
print(json.dumps(sorted(path for path in opened if not path.startswith(("..", "/")))))
"""


def outputs_of(stage: dict[str, Any]) -> set[str]:
    """Return the paths of a stage's outputs, including metrics."""
    entries = [*stage.get("outs", ()), *stage.get("metrics", ())]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def source_of(module: str) -> str:
    """Return a module's file, relative to the repository's root."""
    path = ROOT / "src" / module.replace(".", "/")
    return str((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).relative_to(ROOT))


def modules_of_the_gate(modules: set[str]) -> set[str]:
    """Return which of these modules the unit tests of stage `test` name."""
    named = re.compile(r"\bartifact_flow(?:\.\w+)+")
    found = {name for path in (ROOT / "tests/unit").glob("*.py") for name in named.findall(path.read_text())}
    return found & modules


def is_docstring(path: str) -> bool:
    """Return whether a module contains only a docstring, which cannot change an output."""
    return len(ast.parse((ROOT / path).read_text()).body) == 1


def run_modules() -> dict[str, str]:
    """Return name → module of the stages of this project that run a module of the package."""
    found = {name: RUNS.search(str(stage.get("cmd"))) for name, stage in LIVE.items()}
    return {name: f"artifact_flow.stages.{match[1]}" for name, match in found.items() if match}


@pytest.mark.parametrize(("name", "module"), run_modules().items())
def test_declared_code_is_the_import_closure(name: str, module: str) -> None:
    """A stage declares all its direct and indirect imports, as folders or modules, and no unused folder."""
    graph = grimp.build_graph("artifact_flow", cache_dir=None)
    closure = {RUNNER, module, *(modules_of_the_gate(graph.modules) if name == "test" else ())}
    closure |= set().union(*map(graph.find_upstream_modules, closure))
    packages = {parent for found in closure for parent in (found.rpartition(".")[0],) if parent}
    # the __init__ of a package runs too, with all its imports
    for package in packages:
        closure |= {package} | graph.find_upstream_modules(package)
    needed = {LAUNCHER} | {source_of(found) for found in closure if not is_docstring(source_of(found))}
    declared = {path for path in LIVE[name]["deps"] if path.startswith("src/") and path != "src/own"}  # by params.yaml
    assert {path for path in needed if not path.startswith(tuple(declared))} == set()
    assert {path for path in declared if not any(found.startswith(path) for found in needed)} == set()


@pytest.mark.parametrize("name", PYTHON_STAGES)
@pytest.mark.slow
def test_declared_files_are_the_opened_ones(name: str, project: Project) -> None:
    """The files that a stage opens are its dependencies, except params.yaml, dvc.lock and dvc.yaml."""
    environ = os.environ | {"PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SPY, name], cwd=project.root, env=environ, capture_output=True, text=True, check=True
    )
    opened = {path for path in json.loads(done.stdout.splitlines()[-1]) if not path.startswith("src/")}
    declared = {path for path in STAGES[name]["deps"] if not path.startswith("src/")} - {"tests.json"}
    # temporary files, and folders, which are opened for fsync
    written = {path for path in opened if re.search(r"\.part(/|$)", path) or (project.root / path).is_dir()}
    assert opened - {"params.yaml", "dvc.lock", "dvc.yaml"} - written == declared
    assert "params.yaml" in opened
    assert name in STAGES[name]["params"]


@pytest.mark.parametrize("name", run_modules())
def test_every_stage_depends_on_its_environment(name: str) -> None:
    """Another library version may give another result."""
    assert ENVIRONMENT in LIVE[name]["deps"]


def test_a_stage_has_a_module_and_a_block() -> None:
    """A stage, its module in stages/ and its block in params.yaml have the same name.

    Stage `test` has no block; the block `promote` belongs to the registry.
    """
    modules = {path.stem for path in (ROOT / "src/artifact_flow/stages").glob("[!_]*.py")}
    assert set(PYTHON_STAGES) <= modules
    for name, module in run_modules().items():
        assert module == f"artifact_flow.stages.{name}"
        assert name in modules
    for name in STAGES:
        assert STAGES[name]["cmd"] == f"sh {LAUNCHER} {name}"
        assert any(LAUNCHER.startswith(path) for path in STAGES[name]["deps"])
    assert set(YAML(typ="safe").load(ROOT / "tests/unit/params.yaml")) == {*PYTHON_STAGES, "promote"}


def test_every_module_of_a_stage_is_used() -> None:
    """The shipped dvc.yaml runs each module in stages/."""
    needs_shipped("dvc.yaml")
    modules = {path.stem for path in (ROOT / "src/artifact_flow/stages").glob("[!_]*.py")}
    assert set(run_modules()) == modules


def test_training_depends_on_the_unit_tests() -> None:
    """`train` depends on the output of `test`, and `infer` on the outputs of `train`."""
    assert outputs_of(LIVE["test"]) <= set(LIVE["train"]["deps"])
    assert outputs_of(STAGES["train"]) - {"plots/search.csv"} <= set(LIVE["infer"]["deps"])
    assert "data.parquet" in LIVE["train"]["deps"]
    assert "params.yaml" not in LIVE["test"]["deps"]
    assert "params" not in LIVE["test"]


def test_every_parameter_is_used() -> None:
    """Each documented key is read in the code or passed to the estimator."""
    read = {
        node.attr
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value).endswith(("params", "params.infer", "block", "gate", "params.promote"))
    }
    document = YAML(typ="safe").load(ROOT / "tests/unit/params.yaml")
    keys = {key for name, block in document.items() for key in block if name != "train"}
    assert keys | {"estimator", "threads", "keywords"} <= read


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_has_the_stages_of_the_main_flow(name: str) -> None:
    """It has the same modules, files and parameters under the flow's name."""
    needs_shipped("flows/dvc.yaml")
    flow, root = FLOWS[name]["do"], STAGES[name]

    def placed(entries: list[Any]) -> set[str]:
        paths = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
        return {path.removeprefix("${key}/").removeprefix("../") for path in paths}

    assert flow["cmd"] == f"sh ../{LAUNCHER} {name} ${{key}}"
    assert placed(flow["deps"]) == set(root["deps"])
    assert placed([*flow["outs"], *flow.get("plots", ())]) == placed(root["outs"])
    assert {entry.replace("flows.${key}.", "").replace(".${key}", "") for entry in flow["params"]} == set(
        root["params"]
    )


def test_imports_point_one_way() -> None:
    """The contracts of import-linter in pyproject.toml hold."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
