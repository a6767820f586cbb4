"""Shared: the folder that the workers of one service share, and its small files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifact_flow.core.base.files import repository_root

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's variable, by which the workers find the folder


@contextmanager
def open_shared(workers: int) -> Iterator[None]:
    """Create a folder for several workers to share: their metrics, windows and the log's lock."""
    if workers == 1:
        yield
        return
    root = repository_root()
    parent = root / ".artifact-flow" if (root / ".dvc").is_dir() else None
    if parent:
        parent.mkdir(exist_ok=True)
    folder = tempfile.mkdtemp(prefix="serve-", dir=parent)
    os.environ[SHARED] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shared_folder() -> Path | None:
    """Return the folder that the workers of one service share, None if there is one worker."""
    return Path(os.environ[SHARED]) if SHARED in os.environ else None


def read_shared(name: str) -> str | None:
    """Return the text of a file in the folder; None if there is no folder, or no such file."""
    folder = shared_folder()
    try:
        return (folder / name).read_text() if folder else None
    except OSError:
        return None


def write_shared(name: str, text: str) -> None:
    """Write a file of the folder as a whole; a single process has no such folder."""
    folder = shared_folder()
    if folder:
        file = folder / f"{name}.{os.getpid()}"
        file.write_text(text)
        file.replace(folder / name)
