"""Files: written whole or not at all, and hashed. It knows nothing of what is in them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from artifact_flow.errors import FileError

# What `replace_files` asks before it puts files in place. No argument, which a stage of one's own would forget to pass.
_ask: ContextVar[Callable[[], None]] = ContextVar("ask", default=lambda: None)


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's bytes, read in blocks.

    DVC's lock names files by "md5", the contract by "sha256". Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def hash_bytes(content: bytes, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of bytes that were read already, as `hash_file` gives it for a file."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


def repository_root(folder: Path | None = None) -> Path:
    """Return the nearest directory from `folder` (the current one) upwards that DVC works in, else `folder` itself."""
    here = (folder or Path.cwd()).resolve()
    return next((parent for parent in (here, *here.parents) if (parent / ".dvc").is_dir()), here)


@contextmanager
def asked_before_replacing(ask: Callable[[], None]) -> Iterator[None]:
    """Let each `replace_files` in the block call `ask` once all is written, and put nothing in place when it raises."""
    token = _ask.set(ask)
    try:
        yield
    finally:
        _ask.reset(token)


@contextmanager
def replace_files(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Yield one side path for each of `paths`; put all in place when the block ends well, none when it fails.

    The side files lie beside their targets (a rename within one directory is atomic) under fixed names, so that
    what a killed process left is overwritten by the next one. Raises FileError when the disk refuses.
    """
    parts = tuple(path.with_name(f".{path.name}.part") for path in paths)
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield parts
        _ask.get()()
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    except OSError as error:
        names, reason = ", ".join(map(str, paths)), os.strerror(error.errno) if error.errno else error
        raise FileError(
            f"cannot write {names}: {reason}; what was there before is untouched: "
            "make room or allow writing, then run the same command again."
        ) from error
    finally:
        for part in parts:
            with suppress(OSError):  # a read-only disk refuses even to remove what is not there
                part.unlink()
