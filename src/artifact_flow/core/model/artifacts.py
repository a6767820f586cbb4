"""Artifacts: the only module that writes or opens model files. It checks a hash first: opening a pickle runs code.

Opening an ONNX file runs no code, but the file must match the dvc.lock that lists it, if any, and its contract.
"""

import io
import json
import os
import warnings
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from artifact_flow.core.base.contract import CONTRACT, Contract
from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.legend import LEGEND_KEY, Legend, load_legend
from artifact_flow.core.base.lock import LOCK, locked_md5
from artifact_flow.core.base.pipeline import PIPELINE, read_pipeline
from artifact_flow.core.model.own_code import check_own_code

MODEL, PORTABLE, QUANTIZED = Path("model_train.pkl"), Path("model.onnx"), Path("model_quantized.onnx")
# Where the stages export and quantize record how exact their model is, or why they do not apply to the estimator.
PARITY, QUANTIZATION = Path("parity.json"), Path("quantization.json")
CONTRACT_KEY = "contract_sha256"  # in an ONNX file's metadata
# joblib's default becomes 5 with Python 3.14; 4 gives the same bytes with every supported Python.
PICKLE_PROTOCOL = 4
_REMEDY = "`dvc checkout` restores the one in the lock, `dvc repro --force train` makes a new one."


def write_model(estimator: Any, path: Path) -> str:
    """Write a fitted estimator with joblib and return the sha256 of the file."""
    import joblib  # noqa: PLC0415 - opening ONNX needs neither joblib nor scikit-learn

    joblib.dump(estimator, path, protocol=PICKLE_PROTOCOL)
    return hash_file(path)


def open_model(contract: Contract, path: Path = MODEL) -> Any:
    """Return the estimator in `path`, opened only if its sha256 is the one in the contract.

    The caller must have checked the contract against the lock; otherwise call `open_vouched`. Raises ModelError when
    the file is missing, has another sha256, was written by another version of scikit-learn, or needs another src/own.
    """
    content = _read_pickle(path)
    return _open_pickle(content, hash_bytes(content), contract, path)


def open_vouched(contract: Contract, path: Path, lock: Path, allowed: Collection[str] = ()) -> Any:
    """Return the estimator in `path`, opened only if a source other than its contract confirms its hash.

    An attacker who can replace a pickle can also replace the contract next to it. So its sha256 must be one of
    `allowed` or, if that is empty, its md5 must be the one in the dvc.lock `lock`. Raises ModelError as `open_model`
    does, and when neither holds.
    """
    content = _read_pickle(path)
    sha256 = hash_bytes(content)
    if not _is_vouched(content, sha256, path, lock, allowed):
        raise ModelError(
            f"{path} was not opened: opening a pickle runs code, and no {LOCK.name} in its folder or above lists this "
            f"file. Open it where `dvc repro` made it, or use the {PORTABLE} next to it, which runs no code."
        )
    return _open_pickle(content, sha256, contract, path)


def _read_pickle(path: Path) -> bytes:
    try:
        return path.read_bytes()  # read once: the bytes hashed are the bytes opened
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error


def _open_pickle(content: bytes, sha256: str, contract: Contract, path: Path) -> Any:
    expected = contract.sha256.get(MODEL.name)
    if sha256 != expected:
        raise ModelError(
            f"{path} is not the model that contract.json names (sha256 {sha256[:12]}…, not {str(expected)[:12]}…), "
            f"so it was not opened: {_REMEDY}"
        )
    written, installed = contract.libraries.get("scikit-learn"), metadata.version("scikit-learn")
    if written != installed:
        raise ModelError(
            f"{path} was written by scikit-learn {written}, but {installed} is installed, so it was not opened: "
            "`make setup` installs the locked version, `dvc repro --force train` makes a model with the installed one."
        )
    check_own_code(contract.sha256, path)
    import joblib  # noqa: PLC0415
    from sklearn.exceptions import InconsistentVersionWarning  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        return joblib.load(io.BytesIO(content))


class Portable(NamedTuple):
    """An opened ONNX file: its onnxruntime session and the sha256 of its bytes."""

    session: Any
    sha256: str


def open_portable(path: Path, contract: Path, lock: Path = LOCK, allowed: Collection[str] = ()) -> Portable:
    """Return the ONNX file in `path`, opened in an onnxruntime session with one thread.

    `contract` is the contract.json it must belong to, `lock` the dvc.lock of its pipeline, `allowed` the sha256 sums of
    the files that may be opened (empty: any). Raises ModelError when the file is missing, is damaged, is not the one in
    the lock, is not one of `allowed`, belongs to another contract, or is empty because its stage does not apply.
    """
    try:
        content = path.read_bytes()  # read once: the bytes checked are the bytes opened
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): {_how_to_have(path, lock)}") from error
    sha256 = hash_bytes(content)
    _is_vouched(content, sha256, path, lock, allowed)
    if not content:
        raise ModelError(_why_empty(path))
    session = start_session(content, path)
    bound, found = session.get_modelmeta().custom_metadata_map.get(CONTRACT_KEY), hash_file(contract)
    if bound != found:
        raise ModelError(
            f"{path} belongs to another {CONTRACT} (sha256 {str(bound)[:12]}…) than {contract} ({found[:12]}…): "
            "take both from one run; `dvc repro` makes them."
        )
    return Portable(session, sha256)


def read_legend(session: Any, path: Path) -> Legend:
    """Return the legend of columns in an opened ONNX file, empty if it has none; raise ModelError if it is invalid."""
    try:
        return load_legend(session.get_modelmeta().custom_metadata_map.get(LEGEND_KEY, "{}"))
    except ValueError as error:
        raise ModelError(
            f"{path} has an invalid legend of its columns: `dvc repro --force export` writes it."
        ) from error


def _is_vouched(content: bytes, sha256: str, path: Path, lock: Path, allowed: Collection[str]) -> bool:
    """Return whether `allowed` or the lock lists these bytes; raise ModelError when either lists other bytes."""
    locked = locked_md5(path, lock)
    if allowed and sha256 not in allowed:
        asked = ", ".join(f"{one[:12]}…" for one in allowed)
        raise ModelError(f"{path} has the sha256 {sha256}, but only {asked} may be opened: use that file.")
    if locked and locked != hash_bytes(content, "md5"):
        raise ModelError(f"{path} is not the one that {lock.name} names (md5 {locked}): `dvc checkout` restores it.")
    return bool(allowed or locked)


def is_empty(sha256: str) -> bool:
    """Return whether a file with this sha256 is empty, as a model file is if its stage does not apply."""
    return sha256 == hash_bytes(b"")


def holds_model(path: Path) -> bool:
    """Return whether a model file exists and is not empty, as it is if its stage does not apply."""
    return path.is_file() and path.stat().st_size > 0


def describe_absence(reason: str) -> str:
    """Return the JSON that a stage writes, beside an empty model file, if it does not apply to the estimator."""
    return json.dumps({"applies": False, "reason": reason}, indent=2) + "\n"


def _why_empty(path: Path) -> str:
    """Return in words why a model file is empty, and which other models are beside it."""
    stage, record = ("quantize", QUANTIZATION) if path.name == QUANTIZED.name else ("export", PARITY)
    try:
        reason = f" ({json.loads(path.with_name(record.name).read_text(encoding='utf-8'))['reason']})"
    except (OSError, ValueError, LookupError, TypeError):
        reason = ""
    beside = [path.with_name(model.name) for model in (PORTABLE, QUANTIZED, MODEL)]
    others = [f"--model {other}" for other in beside if holds_model(other)]
    return (
        f"{path} is empty, because the stage {stage} does not apply to this estimator{reason}: predict with another "
        f"file ({' or '.join(others) or 'there is none'}); only an ONNX file can be served."
    )


def _how_to_have(path: Path, lock: Path) -> str:
    """Return in words how to get an ONNX file, or which other models exist if no stage makes it."""
    root, folder = lock.parent.resolve(), path.parent.resolve()
    pipeline = read_pipeline(root)
    if pipeline is None or not folder.is_relative_to(root):
        return "`dvc repro` makes it, or use another."
    names = (PORTABLE, QUANTIZED, MODEL)
    made = [name.name for name in names if pipeline.makes((folder / name).relative_to(root).as_posix())]
    if path.name in made:
        return "`dvc repro` makes it, or use another."
    others = " or ".join(f"--model {path.with_name(name)}" for name in made)
    return (
        f"no stage of {lock.with_name(PIPELINE.name)} makes it: "
        f"predict with another file ({others or 'there is none'}); only an ONNX file can be served."
    )


def start_session(content: bytes, path: Path = PORTABLE) -> Any:
    """Return an onnxruntime session for a model's bytes, with one thread; errors name `path`."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # releases after the locked one contain telemetry
    import onnxruntime  # noqa: PLC0415 - heavy

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no common base class
        reason = str(error).splitlines()[0].rstrip(".")
        raise ModelError(f"{path} is damaged or not an ONNX model ({reason}): `dvc checkout` restores it.") from error
