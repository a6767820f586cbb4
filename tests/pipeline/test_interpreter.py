"""Another Python first in PATH: it is refused in one sentence before it works, whatever it lacks."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from project import Project

from artifact_flow.core.base.interpreter import OLDEST

REMEDY = "run `make setup`, then `source .venv/bin/activate`"


def make_python(folder: Path, **versions: str) -> Path:
    """Make an environment without packages, or with this one's but for the versions given; return its bin folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    if versions:
        (packages / "these.pth").write_text(sysconfig.get_path("purelib"))
    for name, version in versions.items():
        metadata = packages / f"{name}-{version}.dist-info/METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder / "bin"


def reproduce(project: Project, stage: str, path: Path, *variables: str, code: int = 0) -> str:
    """Run a stage alone with a folder first in PATH."""
    paths = f"PATH={path}{os.pathsep}{project.environ['PATH']}"
    return project.run("env", paths, *variables, "dvc", "repro", "--single-item", "--force", stage, code=code)


@pytest.mark.slow
def test_another_version_is_refused_unless_it_is_allowed(project: Project, tmp_path: Path) -> None:
    """The sentence names library, version and locked version; allowed, it is a warning, and the contract says so."""
    before = project.hashes()
    other = make_python(tmp_path / "other", scikit_learn="1.8.0", numpy="2.0.0")
    has = f"{other / 'python'} has numpy 2.0.0, not the locked 2.4.6, scikit-learn 1.8.0, not the locked 1.9.1"
    allow = "ARTIFACT_FLOW_ALLOW_OTHER_VERSIONS=1"
    printed = reproduce(project, "train", other, code=255)
    assert f"error: {has}, which may give different bytes: {REMEDY}, or allow it with {allow}." in printed.splitlines()
    assert project.hashes() == before
    assert project.run("git", "status", "--porcelain") == ""
    printed = reproduce(project, "train", other, allow)
    assert f"warning: {has}: outputs may have different bytes." in printed.splitlines()
    assert json.loads((project.root / "contract.json").read_text())["libraries"]["scikit-learn"] == "1.8.0"


@pytest.mark.parametrize("stage", ["test", "train"])
def test_a_python_without_the_packages_is_refused(project: Project, tmp_path: Path, stage: str) -> None:
    """As where DVC came by pipx or conda; the gate says it too."""
    bare = make_python(tmp_path / "bare")
    printed = reproduce(project, stage, bare, code=255)
    assert f"error: {bare / 'python'} lacks joblib, numpy, onnx and 12 more: {REMEDY}." in printed.splitlines()
    assert "Traceback" not in printed


def test_no_python_at_all_is_refused(project: Project, tmp_path: Path) -> None:
    """As on a Debian, whose only name for it is python3."""
    for name in ("sh", "dirname", "git"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    command = ("env", f"PATH={tmp_path}", "SHELL=/bin/sh", sys.executable, "-m", "dvc")
    printed = project.run(*command, "repro", "--single-item", "--force", "train", code=255)
    assert f"error: there is no python in PATH: {REMEDY}." in printed.splitlines()


@pytest.mark.slow
def test_an_old_python_is_refused(project: Project, tmp_path: Path) -> None:
    """Whatever its syntax, it says how old it is."""
    places = [Path.home() / ".pyenv/versions", Path("/opt/hostedtoolcache/Python")]
    old = sorted(found for place in places for found in place.glob("3.[6-9]*/**/bin/python"))
    if not old:
        pytest.skip(f"needs a Python older than {OLDEST}: pyenv install 3.9")
    for python in old:
        bin_folder = tmp_path / python.parts[-3]
        bin_folder.mkdir()
        (bin_folder / "python").symlink_to(python)
        printed = reproduce(project, "train", bin_folder, code=255)
        assert "is Python 3." in printed
        assert f", but a stage needs 3.11 or newer: {REMEDY}." in printed
        assert "Traceback" not in printed
