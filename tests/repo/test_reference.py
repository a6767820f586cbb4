"""The reference pages and the JSON Schema of params.yaml are what the code says."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from shipped import needs_shipped

from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.params import parse_params

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Draft202012Validator(json.loads((ROOT / "params.schema.json").read_text()))
SHIPPED: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "tests/unit/params.yaml")
FIRST_LINE = "# yaml-language-server: $schema=params.schema.json\n"


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the shipped parameters with one other value."""
    document = copy.deepcopy(SHIPPED)
    *blocks, key = path.split(".")
    place = document
    for block in blocks:
        place = place[block]
    place[key] = value
    return document


@pytest.mark.slow
def test_the_pages_are_up_to_date() -> None:
    """`python scripts/reference.py` would change neither a page nor the schema."""
    needs_shipped()
    command = [sys.executable, "scripts/reference.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_is_one_and_takes_the_shipped_file() -> None:
    """It is a valid JSON Schema, and params.yaml fits it and names it in its first line."""
    Draft202012Validator.check_schema(SCHEMA.schema)
    assert SCHEMA.is_valid(SHIPPED)
    assert (ROOT / "tests/unit/params.yaml").read_text().startswith(FIRST_LINE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.test_size", 1.5),
        ("data.seed", -1),
        ("data.stratify", "yes"),
        ("data.sed", 42),
        ("data.preprocess", "some"),
        ("train.threads", 0),
        ("train.search", {"strategy": "best", "space": {"C": [1.0]}}),
        ("train.search", {"strategy": "grid", "space": {}}),
        ("infer.decimals", 13),
        ("export.opset", 12),
        ("quantize.min_agreement", "high"),
        ("promote.max_loss", 2),
    ],
)
def test_the_schema_refuses_what_the_stages_refuse(path: str, value: object) -> None:
    """A wrong value and an unknown key are marked in the editor and fail `make lint`."""
    assert not SCHEMA.is_valid(changed(path, value))
    with pytest.raises(ParamsError):
        parse_params(changed(path, value))


@pytest.mark.parametrize("block", ["data", "train", "infer"])
def test_the_schema_refuses_a_missing_block(block: str) -> None:
    """These three blocks are required."""
    assert not SCHEMA.is_valid({name: keys for name, keys in SHIPPED.items() if name != block})


def test_the_schema_takes_what_the_user_may_add() -> None:
    """A block of a stage of the user's own, a keyword argument of the estimator, and a search."""
    assert SCHEMA.is_valid(changed("clean", {"limit": 1000}))
    assert SCHEMA.is_valid(changed("train.class_weight", "balanced"))
    assert SCHEMA.is_valid(changed("train.search", {"strategy": "random", "space": {"C": [0.1, 1.0]}, "budget": 2}))


def test_lint_checks_params_yaml_against_it() -> None:
    """`make lint` runs the check on the file that people edit."""
    assert "check-jsonschema --schemafile params.schema.json params.yaml" in (ROOT / "Makefile").read_text()
