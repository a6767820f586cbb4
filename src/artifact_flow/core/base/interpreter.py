"""Interpreter: checks that the running Python can run a stage, before anything else is imported.

A Python that is too old must be able to run this module and report that. So the module keeps to the syntax of Python
3.6 and imports only the standard library.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

OLDEST = (3, 11)
# Libraries that can change a byte of an output or the verdict on one: their versions must be the locked ones.
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
LEAN = "requirements/lean.txt"  # the lock of the pipeline's packages, from the repository's root
LOCK = Path(__file__).resolve().parents[4] / LEAN  # does not exist for an installed package
VARIABLE = "ARTIFACT_FLOW_ALLOW_OTHER_VERSIONS"
REMEDY = "run `make setup`, then `source .venv/bin/activate`"


def check_interpreter(environ: "Mapping[str, str]") -> None:
    """Exit with one sentence on stderr unless this Python can run a stage and has the locked libraries.

    If `environ` sets ARTIFACT_FLOW_ALLOW_OTHER_VERSIONS to 1, other versions only cause a warning.
    """
    installed = installed_versions(sys.path)
    fault = find_fault(sys.version_info[:3], installed)
    if fault:
        sys.exit(f"error: {sys.executable} {fault}: {REMEDY}.")
    others = find_others(installed, locked_versions(LOCK.read_text()) if LOCK.is_file() else {})
    if others and environ.get(VARIABLE) == "1":
        sys.stderr.write(f"warning: {sys.executable} has {others}: outputs may have different bytes.\n")
    elif others:
        sys.exit(
            f"error: {sys.executable} has {others}, which may give different bytes: {REMEDY}, "
            f"or allow it with {VARIABLE}=1."
        )


def find_fault(version: "tuple[int, ...]", installed: "Mapping[str, str]") -> str:
    """Return why a Python of this version with these libraries cannot run a stage, or "" if it can."""
    if version < OLDEST:
        return f"is Python {'.'.join(map(str, version))}, but a stage needs {'.'.join(map(str, OLDEST))} or newer"
    missing = [name for name in NEEDED if name not in installed]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"lacks {', '.join(missing[:3])}{more}" if missing else ""


def find_others(installed: "Mapping[str, str]", locked: "Mapping[str, str]") -> str:
    """Return in words the libraries whose installed version is not the locked one, or "" if there are none."""
    return ", ".join(
        f"{name} {installed[name]}, not the locked {locked[name]}"
        for name in DECISIVE
        if name in locked and locked[name] != installed[name]
    )


def installed_versions(folders: "Iterable[str]") -> "dict[str, str]":
    """Return name → version of the libraries installed in these folders; the first one found is the one imported.

    Both are read from the names of the installers' metadata folders, 50 times faster than with importlib.metadata.
    """
    found = {}  # type: dict[str, str]
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - only names are needed
        except OSError:
            continue
        for name in names:
            parts = re.match(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info$", name)
            if parts:
                found.setdefault(re.sub("[-_.]+", "-", parts.group(1)).lower(), parts.group(2))
    return found


def locked_versions(lock: str) -> "dict[str, str]":
    """Return name → version of each pin in the text of a requirements lock."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", lock, re.MULTILINE))
