"""Forgeries of parcels, by an attacker who can replace an artifact but not the output of the job that made it.

`python tests/forgery.py KIND FOLDER TRACE` forges the parcel of `train` in FOLDER. A forged pickle writes the file
TRACE when it is opened. CI forges the parcels of the real workflow, the tests forge their own.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib

from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.proof.parcel import MANIFEST, OBJECTS, format_manifest, parse_manifest


class Trace:
    """An object whose pickle writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "a forged pickle was opened")


def change_object(folder: Path, trace: Path) -> None:
    """Replace the model by another pickle, without changing the manifest."""
    files = parse_manifest((folder / MANIFEST).read_bytes())
    joblib.dump(Trace(trace), folder / files["model_train.pkl"])


def change_consistently(folder: Path, trace: Path) -> None:
    """Replace the model by another pickle, and update contract, lock, object and manifest to match."""
    files = parse_manifest((folder / MANIFEST).read_bytes())
    content = {path: (folder / sha256).read_bytes() for path, sha256 in files.items()}
    joblib.dump(Trace(trace), folder / "pickle")
    pickle = (folder / "pickle").read_bytes()
    (folder / "pickle").unlink()

    def replace(path: str, new: bytes) -> None:
        old, content[path] = content[path], new
        md5 = hash_bytes(old, "md5")
        if content.pop(str(OBJECTS / md5[:2] / md5[2:]), None) is not None:
            made = hash_bytes(new, "md5")
            content[str(OBJECTS / made[:2] / made[2:])] = new
        held = content["dvc.lock"] if "dvc.lock" in content else Path("dvc.lock").read_bytes()  # unchanged
        lock = held.decode().replace(md5, hash_bytes(new, "md5"))
        content["dvc.lock"] = lock.replace(f"size: {len(old)}\n", f"size: {len(new)}\n").encode()

    named = json.loads(content["contract.json"])["sha256"]["model_train.pkl"]
    replace("model_train.pkl", pickle)
    replace("contract.json", content["contract.json"].replace(named.encode(), hash_bytes(pickle).encode()))
    write(folder, content)


def add_file(folder: Path, trace: Path) -> None:
    """Add a file that the manifest does not name."""
    joblib.dump(Trace(trace), folder / "part")
    (folder / "part").rename(folder / hash_file(folder / "part"))


def leave_folder(folder: Path, trace: Path) -> None:
    """Add a file with a path outside the repository, and update the manifest."""
    files = parse_manifest((folder / MANIFEST).read_bytes())
    content = {path: (folder / sha256).read_bytes() for path, sha256 in files.items()}
    write(folder, content | {"../sitecustomize.py": f"open({str(trace)!r}, 'w')".encode()})


def write(folder: Path, content: dict[str, bytes]) -> None:
    """Rewrite a parcel, with its manifest last."""
    for path in folder.iterdir():
        path.unlink()
    for data in content.values():
        (folder / hash_bytes(data)).write_bytes(data)
    (folder / MANIFEST).write_bytes(format_manifest({path: hash_bytes(data) for path, data in content.items()}))


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "one object changed": change_object,
    "all changed consistently": change_consistently,
    "a file too many": add_file,
    "a path that leaves the folder": leave_folder,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
