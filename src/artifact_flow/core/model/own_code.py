"""Own code: the files of src/own that a model's classes come from; the contract records them, later steps check them.

So a change of them makes the contract, and with it each later stage, stale.
"""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.files import hash_file

OWN = "own"  # the package src/own
FOLDER = f"src/{OWN}/"


def hash_own_code() -> dict[str, str]:
    """Return the sha256 of each file of src/own that this process has imported, by its path in the repository."""
    names = sorted(name for name in sys.modules if name.partition(".")[0] == OWN)
    files = [Path(str(path)) for name in names if (path := getattr(sys.modules[name], "__file__", None))]
    folder = find_folder()
    return {f"{FOLDER}{file.relative_to(folder).as_posix()}": hash_file(file) for file in files} if folder else {}


def check_own_code(sha256: Mapping[str, str], model: Path) -> None:
    """Make the own code that a contract's hashes name importable.

    Raises ModelError when a file of it is missing, or is not the one that `model` was made with.
    """
    expected = {path: value for path, value in sha256.items() if path.startswith(FOLDER)}
    if not expected:
        return
    folder = _find_beside(model) or find_folder()
    for path, value in expected.items():
        file = folder / path.removeprefix(FOLDER) if folder else None
        if file is None or not file.is_file():
            raise ModelError(
                f"{model} needs {path}, which is missing, so it was not opened: run the command in the repository that "
                "made the model."
            )
        if hash_file(file) != value:
            raise ModelError(
                f"{path} is not the file that {model} was made with (sha256 {hash_file(file)[:12]}…, not "
                f"{value[:12]}…), so the model was not opened: `dvc repro` makes a model with the file as it is, `git "
                f"checkout {path}` restores a committed one."
            )


def find_folder() -> Path | None:
    """Return the folder of the package `own` that an import finds, or None."""
    spec = importlib.util.find_spec(OWN)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _find_beside(model: Path) -> Path | None:
    """Return the folder src/own of the repository that a model is in, which imports then find first, or None."""
    for above in model.resolve().parents:
        if (above / FOLDER).is_dir():
            if OWN not in sys.modules:
                sys.path.insert(0, str(above / "src"))
                importlib.invalidate_caches()
            return find_folder()
    return None
