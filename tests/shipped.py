"""Whether the project's files are the shipped ones: some tests check figures that only hold for those.

When a user changes a parameter, uses another table, adds a stage, deletes the flows or replaces the README, these tests
skip. Only this module decides that. A change to the shipped files must also change the copies and digests here, which
.ci/run checks.
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
SHA256 = {"flows/params.yaml": "207555e1ebe5ecb5440da68153911ef632f42576cf286f4d5db4984d39c2303c"}
TITLES = {"README.md": "# artifact-flow\n"}  # only the titles of pages, which are edited often


def changes(*names: str) -> list[str]:
    """Return which of some files differ from the shipped ones; default: all that decide or document results."""
    return [name for name in names or (*COPIES, *SHA256, *TITLES) if not _is_shipped(name)]


def needs_shipped(*names: str) -> None:
    """Skip the calling test if one of these files (default: any) differs from the shipped one."""
    changed = changes(*names)
    if changed:
        pytest.skip(f"tests the shipped project, but this project has changed: {', '.join(changed)}")


def _is_shipped(name: str) -> bool:
    path = ROOT / name
    if not path.is_file():
        return False
    if name in COPIES:
        return path.read_bytes() == (ROOT / COPIES[name]).read_bytes()
    if name in TITLES:
        return path.read_text(encoding="utf-8").startswith(TITLES[name])
    return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[name]
