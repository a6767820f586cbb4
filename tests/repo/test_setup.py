"""Set-up: locks for every supported Python and any mirror, and a Makefile with help."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)", re.MULTILINE)


def make(*arguments: str, code: int = 0) -> str:
    """Run make in the repository, expect its exit code, and return its output."""
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["installers", "lean", "dev"])
def test_a_lock_pins_each_name_once_with_hashes_and_no_address(name: str) -> None:
    """There is one version for every supported Python, and no package index, so any mirror can be used."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    pins = PIN.findall(text)
    assert pins
    assert len({package for package, _ in pins}) == len(pins)
    assert text.count("\n    --hash=sha256:") >= len(pins)
    assert "://" not in text
    blocks = re.split(r"\n(?=\S)", text)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)


def test_the_development_lock_contains_the_lean_one() -> None:
    """The pipeline's packages have the same versions in the development environment."""
    lean, dev = (set(PIN.findall((ROOT / f"requirements/{name}.txt").read_text())) for name in ("lean", "dev"))
    assert lean < dev


def test_the_lean_environment_stays_lean() -> None:
    """Packages that slow down the import of scikit-learn, or that only tracking needs, are not included."""
    names = dict(PIN.findall((ROOT / "requirements/lean.txt").read_text()))
    assert not {"pandas", "mlflow", "matplotlib"} & set(names)
    assert int(names["pyarrow"].split(".")[0]) < 26


def test_dvc_is_pinned_and_sends_nothing() -> None:
    """DVC has an exact version, and neither reports usage nor checks for updates."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(re.fullmatch(r"dvc==[\d.]+", requirement) for requirement in project["dependencies"])
    config = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config


def test_help_lists_every_target() -> None:
    """`make help` has a line for each target."""
    text = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split())
    listed = {line.split()[1] for line in make("help").splitlines()}
    assert listed == phony


def test_an_old_python_is_one_sentence(tmp_path: Path) -> None:
    """An old interpreter, given or found, gives one sentence and leaves no incomplete environment."""
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$1" in --version) echo "Python 3.9.18";; *) exit 1;; esac\n')
    old.chmod(0o755)
    printed = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}", code=2)
    assert f"artifact-flow needs Python 3.11 or newer; PYTHON={old} is Python 3.9.18." in printed
    printed = make("setup", f"VENV={tmp_path / 'venv'}", "PYTHON=", code=2)
    assert "artifact-flow needs Python 3.11 or newer; found: Python" in printed
    assert "make PYTHON=/path/to/python3.11" in printed
    assert not (tmp_path / "venv").exists()


def test_an_activated_environment_is_not_changed(tmp_path: Path) -> None:
    """The Makefile uses .venv even when another virtual environment is active."""
    command = ["make", "--no-print-directory", "--eval", "show: ; @echo $$VIRTUAL_ENV", "show"]
    environ = os.environ | {"VIRTUAL_ENV": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(ROOT / ".venv")


def test_the_wheel_contains_the_package(tmp_path: Path) -> None:
    """The built wheel runs its command without the source tree."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    code = "import sys; sys.argv[1:] = ['--help']; from artifact_flow.cli import main; main()"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(wheel)!r}]; {code}"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "verify" in done.stdout
