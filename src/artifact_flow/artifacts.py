"""Artifacts: the only module that writes or opens a model file. Opening runs code, so the hash comes first."""

import hashlib
import io
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
from sklearn.exceptions import InconsistentVersionWarning

from artifact_flow.contract import Contract
from artifact_flow.errors import ModelError
from artifact_flow.files import hash_file

MODEL = Path("model_train.pkl")
# joblib's default moves to 5 with Python 3.14; 4 gives the same bytes from every supported Python.
PICKLE_PROTOCOL = 4


def write_model(estimator: Any, path: Path) -> str:
    """Write a fitted estimator by joblib and return the sha256 of the file."""
    joblib.dump(estimator, path, protocol=PICKLE_PROTOCOL)
    return hash_file(path)


def open_model(contract: Contract, path: Path = MODEL) -> Any:
    """Return the estimator in `path`, opened only when it is the file that the contract names.

    Raises ModelError when the file is missing, has another sha256, or was written by another scikit-learn.
    """
    remedy = "`dvc checkout` brings back the one in the lock, `dvc repro --force train` makes a new one."
    expected = contract.sha256.get(MODEL.name)
    try:
        content = path.read_bytes()  # once: what is hashed is what is opened
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelError(
            f"{path} is not the model that contract.json names (sha256 {found[:12]}…, not {str(expected)[:12]}…), "
            f"so it was not opened: {remedy}"
        )
    written, installed = contract.libraries.get("scikit-learn"), metadata.version("scikit-learn")
    if written != installed:
        raise ModelError(
            f"{path} was written by scikit-learn {written}, but {installed} is installed, so it was not opened: "
            "`make setup` installs the locked version, `dvc repro --force train` makes a new model with this one."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        return joblib.load(io.BytesIO(content))
