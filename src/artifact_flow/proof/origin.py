"""Origin: the commit that a model file comes from, as its dvc.lock names it, and what contradicts that commit.

It runs nothing. A model file is parsed only after its hash was found in a lock.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.errors import LockError, VerifyError
from artifact_flow.core.base.files import hash_bytes
from artifact_flow.core.base.lock import LOCK, output_hashes, walk_stages
from artifact_flow.core.base.pipeline import ABSENT, look_up
from artifact_flow.core.model.artifacts import MODEL
from artifact_flow.proof.envelope import TamperedError
from artifact_flow.proof.head import Head, git, open_head

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """A commit whose lock names a model file: the commit with the stages of that model's flow, and the file's path."""

    head: Head
    path: str
    content: bytes

    @property
    def commit(self) -> str:
        """The full hash of the commit."""
        return self.head.revision

    @property
    def lock(self) -> str:
        """The path of the lock that names the model."""
        folders = sorted((posixpath.dirname(path) for path in self.head.locks), key=len, reverse=True)
        folder = next(folder for folder in folders if not folder or self.path.startswith(f"{folder}/"))
        return posixpath.join(folder, LOCK.name)

    @cached_property
    def contract(self) -> bytes | None:
        """The content of the contract that the commit holds in the model's folder."""
        return self.head.read(posixpath.join(posixpath.dirname(self.path), CONTRACT.name))


def read_model(path: Path) -> bytes:
    """Return the bytes of a model file; raise VerifyError when it cannot be read or is empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VerifyError(f"{path} cannot be read ({error.strerror}): name a model file.") from error
    if not content:
        raise VerifyError(f"{path} is empty, because its stage does not apply to the estimator: name another model.")
    return content


def locate(repository: Path, revision: str, content: bytes, path: str | None = None) -> Origin | None:
    """Return the origin of a model at one commit, or None if none of its locks names the model as an output.

    With `path`, it must be the output there: two flows may make the same bytes. Raises LockError for a damaged lock.
    """
    try:
        head = open_head(repository, revision=revision)
    except VerifyError:  # the commit has no lock
        return None
    md5 = hash_bytes(content, "md5")
    try:
        made = output_hashes(head.stages)
    except (AttributeError, KeyError, TypeError) as error:
        raise LockError(f"a {LOCK} of commit {head.commit} has a form that DVC does not write") from error
    paths = [name for name, hashed in made.items() if hashed == md5 and path in (None, name)]
    return Origin(_only_flow(head, paths[0]), paths[0], content) if paths else None


def find_commits(repository: Path, md5: str) -> list[str]:
    """Return the commits of every branch and tag whose change of a lock added or removed a hash, newest first."""
    found = git(
        repository, "log", "--all", "--no-show-signature", "--format=%H", f"-S{md5}", "--", f":(glob)**/{LOCK.name}"
    )
    return found.split()


def search(repository: Path, content: bytes) -> Origin:
    """Return the origin of a model in a repository: the newest commit that names it without contradicting itself.

    Raises TamperedError when every commit that names the model contradicts itself, VerifyError when there is none.
    """
    faults = []
    # the lock of HEAD may name a model whose files were committed after the lock
    for commit in (*find_commits(repository, hash_bytes(content, "md5")), "HEAD"):
        try:
            origin = locate(repository, commit, content)
            if origin is not None:
                check_origin(origin)
                return origin
        except (TamperedError, LockError) as error:
            faults.append(str(error))
    if faults:
        raise TamperedError(faults[0])
    raise VerifyError(f"no commit of {repository} has a {LOCK} that names this model")


def check_origin(origin: Origin) -> None:
    """Raise TamperedError when the commit contradicts itself or the model: files, parameters and contract.

    A directory is not hashed here: a rebuild writes its hash into the lock, which is compared.
    """
    for fault in _contradictions(origin):
        raise TamperedError(f"commit {origin.head.commit} contradicts itself: {fault}")


def _contradictions(origin: Origin) -> Iterator[str]:
    head = origin.head
    entries = [entry for stage in head.stages.values() for entry in (*stage["deps"], *stage["outs"])]
    for path, md5 in dict.fromkeys((entry["path"], entry.get("md5")) for entry in entries):
        committed = head.read(path)
        if committed is not None and hash_bytes(committed, "md5") != md5:
            yield f"{path} is not the file that {LOCK} names; it was edited after `dvc repro`, or forged"
    for stage in head.stages.values():
        for file, values in stage["params"].items():
            document = _load(head.read(file))
            for key, locked in values.items():
                now = look_up(document, key)
                if now is not ABSENT and plain(now) != plain(locked):
                    yield f"{file} has other values of {key} than {LOCK}; it was edited after `dvc repro`, or forged"
    if origin.contract is not None:
        if not isinstance(_load(origin.contract), dict):
            yield f"{CONTRACT} is not a contract"
        yield from _unbound(origin, hash_bytes(origin.contract))


def _unbound(origin: Origin, contract_sha256: str) -> Iterator[str]:
    """Yield a fault when the model is not the one of its contract."""
    name = posixpath.basename(origin.path)
    if name.endswith(".onnx"):
        from artifact_flow.proof.weights import bound_contract  # noqa: PLC0415 - onnx, which a pickle does not need

        bound = bound_contract(origin.content)
        if bound != contract_sha256:
            yield f"{origin.path} belongs to another {CONTRACT} (sha256 {bound[:12]}…, not {contract_sha256[:12]}…)"
    elif name == MODEL.name and hash_bytes(origin.content) not in (origin.contract or b"").decode(errors="replace"):
        yield f"{CONTRACT} does not name {origin.path}"


def _only_flow(head: Head, path: str) -> Head:
    """Return a commit with only the stages that write into a model's folder, and those before them."""
    folder = posixpath.dirname(path)
    flow = [
        name
        for name, stage in head.stages.items()
        if any(posixpath.dirname(out["path"]) == folder for out in stage["outs"])
    ]
    needed = walk_stages(head.stages, flow, "before")
    return replace(head, left_out=frozenset(name for name in head.stages if name not in needed))


def _load(content: bytes | None) -> Any:
    try:
        return yaml.load((content or b"").decode(), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None  # not YAML, such as Python: only the rebuild compares it


def plain(value: Any) -> Any:
    """Return a parameter in JSON's types; to the reader of locks 1e-05 is a text, to DVC it is a number."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bool | int) or value is None:
        return value
    return float(value) if NUMBER.fullmatch(str(value)) else str(value)
