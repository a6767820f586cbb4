"""Provenance: what is stated of a model: SLSA provenance v1 of its commit, and the machine that states it.

https://slsa.dev/spec/v1.0/provenance. All but the machine follows from the commit alone, so that a stranger with the
repository can compute it again and compare. It holds no time, so the same commit and machine give the same bytes.
"""

import json
import os
import platform
import posixpath
from collections.abc import Mapping
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.determinism import (
    COMPILED,
    CPU_FLAGS,
    broken_promises,
    cpu_flags,
    is_reference_cpu,
    library_versions,
    pin,
)
from artifact_flow.core.base.errors import VerifyError
from artifact_flow.core.base.files import hash_bytes
from artifact_flow.core.base.interpreter import DECISIVE, LEAN, locked_versions
from artifact_flow.proof.head import git
from artifact_flow.proof.origin import Origin, plain

PROVENANCE = "https://slsa.dev/provenance/v1"
REBUILD = "urn:artifact-flow:rebuild:v1"  # the predicate type of a rebuild statement
BUILD_TYPE = "urn:artifact-flow:dvc-repro:v1"


def describe_provenance(origin: Origin, builder: str) -> dict[str, Any]:
    """Return the predicate of a statement on a model; `builder` is the id of the key that signs it."""
    repository = remote_of(origin)
    source = describe_commit(origin, repository)
    inner = source["buildDefinition"]["internalParameters"]
    return {
        "buildDefinition": source["buildDefinition"]
        | {"internalParameters": inner | {"machine": describe_machine(origin)}},
        "runDetails": {
            "builder": {
                "id": f"urn:artifact-flow:key:{builder}",
                "version": {"artifact-flow": metadata.version("artifact-flow")},
            }
        }
        | source["runDetails"],
    }


def describe_commit(origin: Origin, repository: str | None) -> dict[str, Any]:
    """Return the part of the predicate that follows from the commit and the address of its repository."""
    head = origin.head
    outputs = {out["path"]: out["md5"] for stage in head.stages.values() for out in stage["outs"]}
    inputs = {
        dep["path"]: dep.get("md5")
        for stage in head.stages.values()
        for dep in stage["deps"]
        if dep["path"] not in outputs
    }
    source: dict[str, Any] = {"name": "commit", "digest": {"gitCommit": origin.commit}}
    if repository:
        source["uri"] = f"git+{repository}@{origin.commit}"
    locked = locked_versions((head.read(LEAN) or b"").decode(errors="replace"))
    # the hashes of their wheels, one for each platform, are in the lock
    wheels = [{"name": name, "uri": f"pkg:pypi/{name}@{locked[name]}"} for name in DECISIVE if name in locked]
    named = {origin.lock, LEAN} - inputs.keys()
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "repository": repository,
                "commit": origin.commit,
                "model": origin.path,
                "lock": origin.lock,
                "stages": sorted(head.stages),
                "params": {name: plain(stage["params"]) for name, stage in head.stages.items() if stage["params"]},
            },
            "internalParameters": {"portable": head.portable},
            "resolvedDependencies": [
                source,
                *(_describe(origin, path, None) for path in sorted(named) if head.read(path) is not None),
                *(_describe(origin, path, md5) for path, md5 in sorted(inputs.items())),
                *wheels,
            ],
        },
        "runDetails": {"byproducts": [_describe(origin, path, md5) for path, md5 in sorted(outputs.items())]},
    }


def describe_machine(origin: Origin) -> dict[str, Any]:
    """Return what of this machine may change a byte, and why its bytes are not promised, if so."""
    kernels: dict[str, str] = {}
    pin(kernels, is_reference_cpu())
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_flags": sorted(cpu_flags().intersection(CPU_FLAGS)),
        "kernels": kernels,
        "libc": _libc(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": library_versions(DECISIVE),
        "wheels": {name: _wheel(name) for name in COMPILED},
        "broken_promises": find_departures(origin),
    }


def find_departures(origin: Origin) -> list[str]:
    """Return one phrase for each reason why this machine may give other bytes than the commit promises."""
    return broken_promises((origin.head.read(LEAN) or b"").decode(errors="replace"), os.environ, origin.head.portable)


def remote_of(origin: Origin) -> str | None:
    """Return the address of the repository's remote `origin` without a user or password, or None."""
    try:
        return without_credentials(git(origin.head.root, "remote", "get-url", "origin"))
    except VerifyError:
        return None


def without_credentials(address: str) -> str | None:
    """Return an address without user, password, query and fragment; None for a folder, which strangers do not have."""
    if "://" not in address:
        host, colon, path = address.rpartition("@")[2].partition(":")  # git's short form, user@host:path
        return f"ssh://{host}/{path.lstrip('/')}" if colon and "/" not in host else None
    parts = urlsplit(address)
    if parts.scheme == "file" or not parts.hostname:
        return None
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, parts.hostname + port, parts.path, "", ""))


def find_contradiction(claimed: Any, found: Any, place: str = "") -> str:
    """Return in words the first value in `found` that `claimed` states differently, or ""; `claimed` may state more."""
    if isinstance(found, Mapping) and isinstance(claimed, Mapping):
        pairs = [(f"{place}.{key}".strip("."), claimed.get(key), value) for key, value in found.items()]
    elif isinstance(found, list) and isinstance(claimed, list) and len(found) == len(claimed):
        pairs = [
            (f"{place} of {_name(two, number)}", one, two)
            for number, (one, two) in enumerate(zip(claimed, found, strict=True))
        ]
    elif claimed == found and isinstance(claimed, bool) == isinstance(found, bool):
        return ""
    else:
        return f"{place} is {str(claimed)[:80]}, not {str(found)[:80]}"
    return next(filter(None, (find_contradiction(one, two, name) for name, one, two in pairs)), "")


def _name(entry: Any, number: int) -> str:
    return str(entry.get("name", number)) if isinstance(entry, Mapping) else str(number)


def _describe(origin: Origin, path: str, md5: str | None) -> dict[str, Any]:
    """Return a file or directory with the hashes that the lock, the contract and git have of it."""
    digest = {} if md5 is None else {"dvcDirMd5" if md5.endswith(".dir") else "md5": md5.removesuffix(".dir")}
    committed = origin.head.read(path)
    if path == origin.path:
        digest["sha256"] = hash_bytes(origin.content)
    elif committed is not None:
        digest["sha256"] = hash_bytes(committed)
    elif sha256 := _of_contract(origin).get(path):
        digest["sha256"] = sha256
    return {"name": path, "digest": digest}


def _of_contract(origin: Origin) -> dict[str, str]:
    """Return path → sha256 of the table and the model that the flow's contract names."""
    folder = posixpath.dirname(origin.path)
    named = json.loads(origin.contract or b"{}").get("sha256", {})
    return {posixpath.join(folder, name): sha256 for name, sha256 in named.items() if name != CONTRACT.name}


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def _wheel(name: str) -> str:
    """Return the tags of the wheel that a library was installed from, or "" where none is recorded."""
    lines = (metadata.distribution(name).read_text("WHEEL") or "").splitlines()
    return " ".join(sorted(line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")))
