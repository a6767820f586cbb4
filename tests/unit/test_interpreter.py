"""A Python is fit for a stage when it is new enough and has the locked libraries."""

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

from artifact_flow.core import stage
from artifact_flow.core.base import interpreter
from artifact_flow.core.base.determinism import EXPORTERS, LIBRARIES
from artifact_flow.core.base.interpreter import (
    DECISIVE,
    NEEDED,
    check_interpreter,
    find_fault,
    find_others,
    installed_versions,
    locked_versions,
)


def test_this_python_is_fit() -> None:
    """What runs these tests has what a stage needs, in the versions that are locked."""
    check_interpreter({})


def test_the_versions_are_those_of_the_metadata() -> None:
    """The names of the folders say what importlib.metadata reads in them."""
    found = installed_versions(sys.path)
    assert {name: found[name] for name in NEEDED} == {name: metadata.version(name) for name in NEEDED}


def test_what_decides_bytes_is_checked() -> None:
    """Every library that a contract or a parity names is compared with the lock, and is in it."""
    assert {*LIBRARIES, *EXPORTERS} <= set(DECISIVE)
    assert set(NEEDED) <= set(locked_versions(interpreter.LOCK.read_text()))


@pytest.mark.parametrize("module", [interpreter, stage])
def test_an_old_python_can_read_it(module: object) -> None:
    """What is read before the check keeps to the syntax of Python 3.6, or the sentence would be a SyntaxError."""
    ast.parse(Path(str(module.__file__)).read_text(), feature_version=(3, 6))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ((3, 9, 18), "is Python 3.9.18, but a stage needs 3.11 or newer"),
        ((3, 11, 0), ""),
        ((3, 13, 1), ""),
    ],
)
def test_an_old_python_is_a_fault(version: tuple[int, ...], fault: str) -> None:
    """From the oldest supported version on there is none."""
    assert find_fault(version, dict.fromkeys(NEEDED, "1")) == fault


def test_missing_libraries_are_a_fault() -> None:
    """A few are named, the others counted."""
    assert find_fault((3, 12), dict.fromkeys(NEEDED[:-1], "1")) == "lacks ruamel-yaml"
    assert find_fault((3, 12), {}) == "lacks joblib, numpy, onnx and 12 more"


def test_the_first_folder_counts(tmp_path: Path) -> None:
    """As in an import; names are folded, and an egg's is one too."""
    for name in ("a/Foo_Bar.baz-1.0.dist-info", "b/foo_bar_baz-2.0.dist-info", "b/old-3.1-py3.11.egg-info", "b/x.py"):
        (tmp_path / name).mkdir(parents=True)
    found = installed_versions([str(tmp_path / name) for name in ("none", "a", "b")])
    assert found == {"foo-bar-baz": "1.0", "old": "3.1"}


def test_another_version_is_named_beside_the_locked_one() -> None:
    """What the lock does not name, as where there is none, cannot differ."""
    installed = dict.fromkeys(NEEDED, "1.0")
    assert find_others(installed, {"numpy": "1.0", "scipy": "1.1", "rich": "2"}) == "scipy 1.0, not the locked 1.1"
    assert find_others(installed, {}) == ""
