"""Fetch: the files of a registered version in a local folder, each verified against its hash in the registry."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.model.artifacts import MODEL, PORTABLE
from artifact_flow.tracking.client import STORE, Server
from artifact_flow.tracking.registry import SCHEME, Registry
from artifact_flow.tracking.result import MODEL_FILES
from artifact_flow.tracking.tags import SHA256_TAG
from artifact_flow.tracking.upload import FILES


@dataclass(frozen=True)
class Fetched:
    """A version's files in a local folder, each verified against its hash in the registry."""

    folder: Path
    version: str
    sha256: dict[str, str]

    @property
    def model(self) -> Path:
        """The path of the portable model if the version has one, else of the pickle."""
        return self.folder / (PORTABLE.name if PORTABLE.name in self.sha256 else MODEL.name)


def fetch(uri: str) -> Fetched:
    """Return the files of "models:/name@alias" or "models:/name/version" in the configured registry.

    They are downloaded once, into a folder for the version that git ignores, and their hashes are verified each time.
    Raises TrackError when there is no such version, when `Registry.register` did not make it, or when a file was
    replaced.
    """
    name, version = parse_uri(uri)
    server = Server()
    found = Registry(server).get(name, version)
    sha256 = {key.removeprefix(SHA256_TAG): value for key, value in found.tags.items() if key.startswith(SHA256_TAG)}
    if CONTRACT.name not in sha256 or not set(sha256) <= set(MODEL_FILES):
        raise TrackError(
            f"{uri} (version {found.version}) has no hashes of its files, so `make register` did not "
            "create it and it was not opened: register the model with `make register`."
        )
    folder = server.root / STORE.parent / "registry" / f"{name}-{found.version}-{sha256[CONTRACT.name][:12]}"
    if not _holds(folder, sha256):
        _download(server, found, uri, folder, sha256)
    return Fetched(folder, str(found.version), sha256)


def parse_uri(uri: str) -> tuple[str, str]:
    """Return name, and alias or version, of "models:/name@alias" or "models:/name/3"; raise TrackError otherwise."""
    found = re.fullmatch(rf"{SCHEME}([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    if not found:
        raise TrackError(f"{uri} does not name a version of a model: use models:/iris@champion or models:/iris/3.")
    return found[1], found[2] or found[3]


def _download(server: Server, version: Any, uri: str, folder: Path, sha256: dict[str, str]) -> None:
    """Download a version's files, verify their hashes, and move them to `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        with server.translate_errors():
            source = f"{SCHEME}{version.name}/{version.version}"
            local = Path(server.mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=temporary))
        for name, expected in sha256.items():
            path = local / "data" / FILES / name
            found = hash_file(path) if path.is_file() else None
            if found != expected:
                what = f"has the sha256 {found[:12]}…, not {expected[:12]}…" if found else "is missing"
                raise TrackError(
                    f"{uri} (version {version.version}): {name} {what} in the registry's store, so it was replaced "
                    "after registration and was not opened: use another version, or register this one again."
                )
        shutil.rmtree(folder, ignore_errors=True)
        (local / "data" / FILES).rename(folder)


def _holds(folder: Path, sha256: dict[str, str]) -> bool:
    return all((folder / name).is_file() and hash_file(folder / name) == value for name, value in sha256.items())
