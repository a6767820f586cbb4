"""Interpreter: the Python that runs a stage, found fit for it before anything else is imported.

A Python that is too old reads this module as well, to say so: the module keeps to the syntax of Python 3.6, and imports
nothing that has to be installed.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

OLDEST = (3, 11)
# What can change a byte of an output, or the verdict on one: these must have the locked versions.
DECISIVE = (
    "joblib",
    "numpy",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "pydantic",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "threadpoolctl",
)
NEEDED = (*DECISIVE, "pathspec", "pytest", "pyyaml", "rich", "ruamel-yaml")
LOCK = Path(__file__).resolve().parents[4] / "requirements/lean.txt"  # an installed package has none
VARIABLE = "ARTIFACT_FLOW_ALLOW_OTHER_VERSIONS"
REMEDY = "run `make setup`, then `source .venv/bin/activate`"


def check_interpreter(environ: "Mapping[str, str]") -> None:
    """End the process with one sentence unless this Python can run a stage and has the locked libraries.

    Where `environ` sets ARTIFACT_FLOW_ALLOW_OTHER_VERSIONS to 1, other versions are only warned of.
    """
    installed = installed_versions(sys.path)
    fault = find_fault(sys.version_info[:3], installed)
    if fault:
        sys.exit(f"error: {sys.executable} {fault}: {REMEDY}.")
    others = find_others(installed, locked_versions(LOCK.read_text()) if LOCK.is_file() else {})
    if others and environ.get(VARIABLE) == "1":
        sys.stderr.write(f"warning: {sys.executable} has {others}: the outputs may have other bytes.\n")
    elif others:
        sys.exit(
            f"error: {sys.executable} has {others}, which may give other bytes: {REMEDY}, or allow it by {VARIABLE}=1."
        )


def find_fault(version: "tuple[int, ...]", installed: "Mapping[str, str]") -> str:
    """Return why a Python of this version with these libraries cannot run a stage at all, or nothing when it can."""
    if version < OLDEST:
        return f"is Python {'.'.join(map(str, version))}, but a stage needs {'.'.join(map(str, OLDEST))} or newer"
    missing = [name for name in NEEDED if name not in installed]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"lacks {', '.join(missing[:3])}{more}" if missing else ""


def find_others(installed: "Mapping[str, str]", locked: "Mapping[str, str]") -> str:
    """Return the libraries that have another version than the locked one, or nothing where there is none."""
    return ", ".join(
        f"{name} {installed[name]}, not the locked {locked[name]}"
        for name in DECISIVE
        if name in locked and locked[name] != installed[name]
    )


def installed_versions(folders: "Iterable[str]") -> "dict[str, str]":
    """Return name → version of what is installed in these folders, the first found being the one that is imported.

    The names of the folders that installers leave tell both, in a fiftieth of the time that importlib.metadata takes.
    """
    found = {}  # type: dict[str, str]
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - a name is all that is wanted
        except OSError:
            continue
        for name in names:
            parts = re.match(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info$", name)
            if parts:
                found.setdefault(re.sub("[-_.]+", "-", parts.group(1)).lower(), parts.group(2))
    return found


def locked_versions(lock: str) -> "dict[str, str]":
    """Return name → version of the pins in a requirements lock's text."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", lock, re.MULTILINE))
