"""Attest: a signed statement beside a model, of the commit, the inputs and the machine that made it."""

from pathlib import Path

from artifact_flow.core.base.errors import VerifyError
from artifact_flow.core.base.files import hash_bytes, replace_files
from artifact_flow.core.model.artifacts import PORTABLE
from artifact_flow.proof.envelope import TamperedError, key_id, read_private, seal
from artifact_flow.proof.head import git
from artifact_flow.proof.origin import Origin, check_origin, locate, read_model
from artifact_flow.proof.provenance import PROVENANCE, describe_provenance

SUFFIX = ".statement.json"


def attest(model: Path, key: Path, out: Path | None = None) -> tuple[Path, Origin]:
    """Write the statement of a model, or of model.onnx in a flow's folder; return its path and the model's origin.

    Raises VerifyError unless the model is the one that the locks of HEAD name at its path, and HEAD's files and
    parameters are those that its locks name.
    """
    model = model / PORTABLE if model.is_dir() else model
    signer = read_private(key)
    content = read_model(model)
    folder = model.parent.resolve()
    here = folder.relative_to(Path(git(folder, "rev-parse", "--show-toplevel")).resolve()) / model.name
    origin = locate(folder, "HEAD", content, here.as_posix())
    remedy = "run `dvc repro`, commit the lock and the files beside it, then attest."
    if origin is None:
        raise VerifyError(f"{model} is not the file that a dvc.lock of HEAD names for {here.as_posix()}: {remedy}")
    try:
        check_origin(origin)
    except TamperedError as error:
        raise VerifyError(f"{model} is stale: {error}: {remedy}") from error
    predicate = describe_provenance(origin, key_id(signer.public_key()))
    target = out or statement_of(model)
    with replace_files(target) as (part,):
        part.write_bytes(seal(origin.path, hash_bytes(content), PROVENANCE, predicate, signer))
    return target, origin


def statement_of(model: Path) -> Path:
    """Return the path of a model's statement, beside it."""
    return model.with_name(model.name + SUFFIX)
