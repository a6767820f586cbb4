"""Whether this is the project as it is shipped, of whose results and pages some tests know every figure.

A user changes a parameter, takes an own table, adds a stage, deletes the flows or writes an own README: what is said of
the shipped project is then not said of theirs, and those tests skip. It is decided here alone. Whoever changes what is
shipped changes the copies and the digest with it, which .ci/run asks for.
"""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIES = {
    "params.yaml": "tests/unit/params.yaml",
    "dvc.yaml": "tests/pipeline.yaml",
    "flows/dvc.yaml": "tests/flows.yaml",
}
SHA256 = {"flows/params.yaml": "9288e917d988cb3cdd1316c345fb780af2efa240ffa6de689d1276dda01156f8"}
TITLES = {"README.md": "# artifact-flow\n"}  # of pages, which are edited often


def changes(*names: str) -> list[str]:
    """Return which of some files, by default of all that decide about results or tell of them, are not shipped."""
    return [name for name in names or (*COPIES, *SHA256, *TITLES) if not _is_shipped(name)]


def needs_shipped(*names: str) -> None:
    """Skip the test that asks where one of these files, by default any, is not as shipped."""
    changed = changes(*names)
    if changed:
        pytest.skip(f"about what is shipped, and this project has its own: {', '.join(changed)}")


def _is_shipped(name: str) -> bool:
    path = ROOT / name
    if not path.is_file():
        return False
    if name in COPIES:
        return path.read_bytes() == (ROOT / COPIES[name]).read_bytes()
    if name in TITLES:
        return path.read_text(encoding="utf-8").startswith(TITLES[name])
    return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[name]
