"""Trust: how many of the given keys say, by their rebuild statements, that they reproduced exactly this model file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from artifact_flow.core.base.errors import VerifyError
from artifact_flow.core.base.files import hash_bytes
from artifact_flow.proof.envelope import Opened, TamperedError, open_envelope, read_keys
from artifact_flow.proof.origin import read_model
from artifact_flow.proof.provenance import REBUILD
from artifact_flow.proof.rebuild import CODES, SUFFIX, Keys


@dataclass(frozen=True)
class Voice:
    """What one statement says, and which of the given keys say it; none if it does not count, for the reason it has."""

    path: Path
    says: str
    keys: tuple[str, ...] = ()


def find_statements(model: Path, folder: Path | None = None) -> list[Path]:
    """Return the rebuild statements beside a model, or all in `folder`; raise VerifyError when that is no folder."""
    if folder is None:
        return sorted(model.parent.glob(f"{model.name}.*{SUFFIX}"))
    if not folder.is_dir():
        raise VerifyError(f"--statements {folder} is not a folder: name the one that holds the rebuild statements.")
    return sorted(folder.glob(f"*{SUFFIX}"))


def hear(sha256: str, statements: Iterable[Path], keys: Keys) -> list[Voice]:
    """Return what each rebuild statement says of exactly the file with this hash."""
    return [_hear(path, sha256, keys) for path in statements]


def require_rebuilders(model: Path, folder: Path, threshold: int) -> str:
    """Return the sha256 of a model that at least `threshold` of the public keys in `folder` say they reproduced.

    Only the returned hash is vouched for: the file may be replaced after it was read. Raises VerifyError when the model
    or the keys cannot be read, or fewer keys say so in the statements beside it.
    """
    sha256 = hash_bytes(read_model(model))
    if objection := find_objection(str(model), sha256, find_statements(model), folder, threshold):
        raise VerifyError(f"{objection}.")
    return sha256


def find_objection(name: str, sha256: str, statements: Iterable[Path], folder: Path, threshold: int) -> str | None:
    """Return why too few of the public keys in `folder` vouch for the file with this name and hash, or None."""
    voices = hear(sha256, statements, read_keys(folder))
    found = count_keys(voices)
    if found >= threshold:
        return None
    heard = "; ".join(f"{voice.path.name}: {voice.says}" for voice in voices) or "no statement lies beside it"
    return (
        f"{name} is reproduced by {found} of the {threshold} keys that are required ({heard}): "
        "`artifact-flow reproduce --key KEY` writes a statement"
    )


def count_keys(voices: Sequence[Voice]) -> int:
    """Return the number of distinct keys that say REPRODUCED and, in no other statement, the opposite."""
    agree = {key for voice in voices if voice.says == "REPRODUCED" for key in voice.keys}
    oppose = {key for voice in voices if voice.says in ("DIVERGED", "TAMPERED") for key in voice.keys}
    return len(agree - oppose)


def _hear(path: Path, sha256: str, keys: Keys) -> Voice:
    try:
        opened = open_envelope(path.read_bytes(), keys)
    except OSError as error:
        return Voice(path, f"not counted: it cannot be read ({error.strerror})")
    except TamperedError as error:
        return Voice(path, f"not counted: {error}")
    fault = _find_fault(opened, sha256)
    return Voice(path, f"not counted: {fault}") if fault else Voice(path, _verdict(opened), opened.signers)


def _find_fault(opened: Opened, sha256: str) -> str:
    """Return why a statement does not count, or ""."""
    if not opened.signers:
        return "it carries no valid signature by one of the given keys"
    if opened.statement.predicate_type != REBUILD:
        return "it is not a rebuild statement"
    if [subject.digest.get("sha256") for subject in opened.statement.subject] != [sha256]:
        return "it is about another file"
    return "" if _verdict(opened) in CODES else "it has no verdict"


def _verdict(opened: Opened) -> str:
    return str(opened.statement.predicate.get("verdict"))
