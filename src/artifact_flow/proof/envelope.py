"""Envelope: statements about a file, signed with ed25519 keys; nothing in one is read before its form is checked.

A statement is an in-toto Statement v1 (https://in-toto.io/Statement/v1) in a DSSE envelope
(https://github.com/secure-systems-lab/dsse/blob/master/envelope.md). A signature covers the type and the bytes of the
statement, so two readers cannot understand the same signed bytes differently.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artifact_flow.core.base.errors import VerifyError
from artifact_flow.core.base.files import hash_bytes

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"
PUBLIC = ".pub"  # suffix of a public key's file


class TamperedError(VerifyError):
    """What is claimed about a model and what can be checked contradict each other."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")  # as in-toto demands of a reader


class Subject(_Part):
    """A file that a statement is about."""

    name: str
    digest: dict[str, str]


class Statement(_Part):
    """What is claimed about its subjects; the predicate's form depends on its type."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: list[Subject] = Field(min_length=1)
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, Any]


class _Signature(_Part):
    sig: str


class _Envelope(_Part):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType")
    signatures: list[_Signature] = Field(min_length=1)


@dataclass(frozen=True)
class Opened:
    """A statement, and the ids of the given keys whose signature it carries."""

    statement: Statement
    signers: tuple[str, ...]


def make_key(path: Path) -> Path:
    """Write a new private key, readable by its owner alone, and its public key beside it, whose path is returned.

    Raises VerifyError when one of the two files exists or cannot be written.
    """
    public = path.with_name(path.name + PUBLIC)
    for file in (path, public):
        if os.path.lexists(file):
            raise VerifyError(f"{file} exists and is never overwritten: name another file, or move it away.")
    key = Ed25519PrivateKey.generate()
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)
    open_bytes = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        for file, content, mode in ((path, private, 0o600), (public, open_bytes, 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as target:
                target.write(content)
    except OSError as error:
        raise VerifyError(f"{error.filename or path} cannot be written ({error.strerror}): name another.") from error
    return public


def read_private(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a file; raise VerifyError when it holds none."""
    remedy = "`artifact-flow attest --new-key FILE` makes one."
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise VerifyError(f"the key {path} cannot be read ({error.strerror}): {remedy}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise VerifyError(f"{path} is not a private key in PEM without a password: {remedy}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise VerifyError(f"{path} is not an ed25519 key: {remedy}")
    return key


def read_keys(folder: Path) -> dict[str, Ed25519PublicKey]:
    """Return id → key of the public keys in a folder, the files *.pub; raise VerifyError when there is none."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == PUBLIC)
    except OSError as error:
        raise VerifyError(
            f"the keys in {folder} cannot be read ({error.strerror}): name a folder of public keys."
        ) from error
    if not files:
        raise VerifyError(f"{folder} holds no public key: copy those you trust into it, as *{PUBLIC}.")
    keys = {}
    for path in files:
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise VerifyError(f"{path} is not a public key in PEM: remove it, or copy it again.") from error
        if not isinstance(key, Ed25519PublicKey):
            raise VerifyError(f"{path} is not an ed25519 key: remove it; `artifact-flow attest --new-key` makes one.")
        keys[key_id(key)] = key
    return keys


def key_id(key: Ed25519PublicKey) -> str:
    """Return the sha256 of a public key in DER, by which an envelope and a statement name it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hash_bytes(key.public_bytes(serialization.Encoding.DER, form))


def seal(name: str, sha256: str, predicate_type: str, predicate: Mapping[str, Any], signer: Ed25519PrivateKey) -> bytes:
    """Return the envelope of a statement about one file; the same arguments give the same bytes (RFC 8032)."""
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    signature = {"keyid": key_id(signer.public_key()), "sig": _encode(signer.sign(_signed(payload)))}
    envelope = {"payloadType": PAYLOAD, "payload": _encode(payload), "signatures": [signature]}
    return (json.dumps(envelope, indent=2) + "\n").encode()


def open_envelope(content: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Opened:
    """Return the statement in an envelope and which of `keys` signed it, whatever key the envelope names.

    Raises TamperedError when the content is not an envelope with an in-toto statement.
    """
    try:
        envelope = _Envelope.model_validate_json(content)
        payload = _decode(envelope.payload)
        signatures = [_decode(signature.sig) for signature in envelope.signatures]
        statement = Statement.model_validate_json(payload)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise TamperedError(f"it is not an in-toto statement in a DSSE envelope ({place}: {fault['msg']})") from error
    except (binascii.Error, ValueError) as error:
        raise TamperedError("it is not an in-toto statement in a DSSE envelope (its base64 is damaged)") from error
    signed = _signed(payload)
    return Opened(statement, tuple(name for name, key in keys.items() if _has_signed(key, signatures, signed)))


def _has_signed(key: Ed25519PublicKey, signatures: Iterable[bytes], signed: bytes) -> bool:
    for signature in signatures:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            continue
        return True
    return False


def _signed(payload: bytes) -> bytes:
    """Return what a signature covers (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)  # both alphabets are allowed
