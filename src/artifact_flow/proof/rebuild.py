"""Rebuild: from a model file and a repository, whether the commit that names the model still gives its bytes.

Everything that can be checked without running code comes first. Rebuilding runs the repository's own code.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.errors import ArtifactFlowError, ContractError, LockError, VerifyError
from artifact_flow.core.base.files import hash_bytes, hash_file, replace_files
from artifact_flow.proof.attest import statement_of
from artifact_flow.proof.clone import reproduce
from artifact_flow.proof.compare import compare
from artifact_flow.proof.envelope import Statement, TamperedError, key_id, open_envelope, seal
from artifact_flow.proof.head import find_missing_data, git
from artifact_flow.proof.origin import COMMIT, Origin, check_origin, find_commits, locate, read_model, search
from artifact_flow.proof.provenance import (
    PROVENANCE,
    REBUILD,
    describe_commit,
    describe_machine,
    find_contradiction,
    find_departures,
)
from artifact_flow.proof.surroundings import AS_IT_IS
from artifact_flow.proof.weights import describe_difference

Verdict: TypeAlias = Literal["REPRODUCED", "DIVERGED", "INCONCLUSIVE", "TAMPERED"]
CODES: dict[Verdict, int] = {"REPRODUCED": 0, "DIVERGED": 1, "INCONCLUSIVE": 3, "TAMPERED": 4}
SUFFIX = ".rebuild.json"
Keys: TypeAlias = Mapping[str, Ed25519PublicKey]


@dataclass(frozen=True)
class Answer:
    """The verdict on one model, in one sentence, and what was found of each file of its flow, if it was rebuilt."""

    verdict: Verdict
    sentence: str
    sha256: str
    commit: str | None = None
    path: str | None = None  # of the model in the commit
    machine: dict[str, Any] | None = None  # that judged
    files: dict[str, str] = field(default_factory=dict)  # path → "same bytes" or "different"
    notes: tuple[str, ...] = ()


def reproduce_model(
    model: Path,
    repository: str = ".",
    statement: Path | None = None,
    keys: Keys | None = None,
    announce: Callable[[str], object] = lambda stage: None,
) -> Answer:
    """Return whether a repository reproduces a model, checked against its statement if there is one.

    `statement` defaults to the one beside the model, `keys` are those that may have signed it (None: any). `announce`
    is called with the name of each stage. Raises VerifyError when the model or a named statement cannot be read.
    """
    content = read_model(model)
    sha256 = hash_bytes(content)
    claim: Statement | None = None
    signers: tuple[str, ...] = ()
    about: dict[str, Any] = {"sha256": sha256}
    envelope = _read_statement(model, statement)
    try:
        if envelope is not None:
            claim, signers = _open_statement(envelope, sha256, keys)
            about["notes"] = () if keys is not None else ("The statement's signature was not checked: name --keys.",)
        with _opened(repository) as root:
            origin = _find(root, content, claim, model)
            about |= {"commit": origin.commit, "path": origin.path}
            _check(origin, claim, model, signers)
            about["machine"] = describe_machine(origin)
            verdict, sentence, files = _judge(origin, announce)
            return Answer(verdict, sentence, files=files, **about)
    except (TamperedError, LockError, ContractError) as error:
        return Answer("TAMPERED", _one_line(error), **about)
    except ArtifactFlowError as error:
        return Answer("INCONCLUSIVE", _one_line(error), **about)


def write_rebuild(model: Path, answer: Answer, signer: Ed25519PrivateKey) -> Path:
    """Write the rebuild statement of an answer beside the model, signed; return its path."""
    builder = key_id(signer.public_key())
    predicate: dict[str, Any] = {
        "builder": {"id": f"urn:artifact-flow:key:{builder}"},
        "verdict": answer.verdict,
        "sentence": answer.sentence,
        "commit": answer.commit,
        "model": answer.path,
        "machine": answer.machine,
        "files": answer.files,
    }
    target = model.with_name(f"{model.name}.{builder[:12]}{SUFFIX}")
    with replace_files(target) as (part,):
        part.write_bytes(seal(model.name, answer.sha256, REBUILD, predicate, signer))
    return target


def _read_statement(model: Path, statement: Path | None) -> bytes | None:
    path = statement or statement_of(model)
    if statement is None and not path.is_file():
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise VerifyError(f"--statement {path} cannot be read ({error.strerror}): name a file that can.") from error


def _open_statement(envelope: bytes, sha256: str, keys: Keys | None) -> tuple[Statement, tuple[str, ...]]:
    """Return what a statement claims and who signed it; raise TamperedError unless it is signed and about the model."""
    try:
        opened = open_envelope(envelope, keys or {})
    except TamperedError as error:
        raise TamperedError(f"its statement cannot be used: {error}") from error
    if keys is not None and not opened.signers:
        raise TamperedError("its statement carries no valid signature by one of the given keys")
    subjects = [subject.digest.get("sha256") for subject in opened.statement.subject]
    if subjects != [sha256]:
        raise TamperedError(
            f"its statement is about another file (sha256 {str(subjects[0])[:12]}…, not {sha256[:12]}…)"
        )
    if opened.statement.predicate_type != PROVENANCE:
        raise TamperedError(f"its statement is of type {opened.statement.predicate_type[:80]}, not {PROVENANCE}")
    return opened.statement, opened.signers


@contextmanager
def _opened(repository: str) -> Iterator[Path]:
    """Yield the root of a local working tree, or of a clone of what is elsewhere or bare, removed at the end."""
    if Path(repository).is_dir():
        try:
            root = Path(git(Path(repository), "rev-parse", "--show-toplevel"))
        except VerifyError:
            root = None
        if root is not None:
            yield root
            return
    with tempfile.TemporaryDirectory(prefix="artifact-flow-") as folder:
        clone = Path(folder) / "repository"
        git(Path.cwd(), "clone", "--quiet", "--no-checkout", "--", repository, str(clone))
        yield clone


def _find(root: Path, content: bytes, claim: Statement | None, model: Path) -> Origin:
    """Return the origin of a model: the commit that its statement names, else one found in the history."""
    if claim is not None:
        commit, path = (
            _look(claim.predicate, "buildDefinition", "externalParameters", key) for key in ("commit", "model")
        )
        if not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
            raise TamperedError("its statement names no commit")
        try:
            git(root, "cat-file", "-e", f"{commit}^{{commit}}")
        except VerifyError as error:
            raise VerifyError(
                f"the repository does not have commit {commit[:12]}, which its statement names"
            ) from error
        origin = locate(root, commit, content, str(path))
        if origin is None:
            raise TamperedError(f"no dvc.lock of commit {commit[:12]}, which its statement names, names it as {path}")
        return origin
    try:
        return search(root, content)
    except TamperedError:
        raise
    except VerifyError as error:
        beside = model.with_name(CONTRACT.name)
        commits = find_commits(root, hash_file(beside, "md5")) if beside.is_file() else []
        if commits:
            raise TamperedError(
                f"the {CONTRACT} beside it is of commit {commits[-1][:12]}, but no commit has a dvc.lock that names "
                "this model"
            ) from error
        raise


def _check(origin: Origin, claim: Statement | None, model: Path, signers: tuple[str, ...]) -> None:
    """Raise TamperedError when the commit, the statement and the contract beside the model contradict each other."""
    check_origin(origin)
    beside = model.with_name(CONTRACT.name)
    if beside.is_file() and origin.contract is not None and hash_file(beside) != hash_bytes(origin.contract):
        raise TamperedError(f"{beside} is not the contract that the model names")
    if claim is None:
        return
    repository = _look(claim.predicate, "buildDefinition", "externalParameters", "repository")
    found = describe_commit(origin, repository if isinstance(repository, str) else None)
    if difference := find_contradiction(claim.predicate, found):
        raise TamperedError(f"its statement contradicts commit {origin.head.commit}: {difference}")
    builder = _look(claim.predicate, "runDetails", "builder", "id")
    if signers and builder not in [f"urn:artifact-flow:key:{signer}" for signer in signers]:
        raise TamperedError("its statement is signed by another key than its builder's")


def _judge(origin: Origin, announce: Callable[[str], object]) -> tuple[Verdict, str, dict[str, str]]:
    """Rebuild a model's flow in a clean clone of its commit, and return verdict, sentence and what is of each file.

    Raises VerifyError when this machine does not promise the bytes, or cannot make them.
    """
    head, name = origin.head, origin.path
    if departures := find_departures(origin):
        raise VerifyError(f"its bytes are not promised on this machine ({'; '.join(departures)})")
    for stage, reason in find_missing_data(head):
        raise VerifyError(f"the data of stage {stage} cannot be had: {reason}")
    with tempfile.TemporaryDirectory(prefix="artifact-flow-") as folder:
        reproduction = reproduce(head, AS_IT_IS, Path(folder), announce)
        findings = compare(head, [reproduction], tolerant=False)
        files = {finding.path: str(finding.verdict) for finding in findings}
        rebuilt = reproduction.root / name
        made = rebuilt.read_bytes() if rebuilt.is_file() else b""
    different = [finding for finding in findings if finding.verdict == "different"]
    if made == origin.content and not different:
        sentence = f"commit {head.commit} gives {name} and {len(files) - 1} other files of its flow, byte for byte"
        return "REPRODUCED", sentence, files
    numbers = ""
    if name.endswith(".onnx") and made != origin.content:
        numbers = f"; {describe_difference(origin.content, made)}"
    paths = ", ".join(finding.path for finding in different) or name
    cause = next((f" ({finding.cause})" for finding in different if finding.path == name), "")
    sentence = f"commit {head.commit} gives other bytes of {paths}{cause}{numbers}"
    return "DIVERGED", sentence, files


def _one_line(error: Exception) -> str:
    """Return a message without control characters, which a statement or a lock may bring."""
    return "".join(mark if mark.isprintable() else " " for mark in str(error))


def _look(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
