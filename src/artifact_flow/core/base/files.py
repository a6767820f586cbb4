"""Files: atomic writing (all of a set of files, or none) and hashing, whatever the files contain."""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path

from artifact_flow.core.base.errors import FileError

# The check that `replace_files` makes before it renames. Not an argument: a user's own stage would forget to pass it.
_check: ContextVar[Callable[[], None]] = ContextVar("check", default=lambda: None)
SIDE = ".part"  # suffix of a side folder's name; `.gitignore` lists it
NAME_PREFIX = 40  # characters of a target's name in its side folder's name: a file name has at most 255 bytes


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's bytes, read in blocks.

    DVC's lock identifies files by "md5", the contract by "sha256". Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def hash_bytes(content: bytes, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of bytes, equal to that of `hash_file` for a file with these bytes."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


def repository_root(folder: Path | None = None) -> Path:
    """Return the nearest directory with a `.dvc` folder, from `folder` (by default the current one) upwards.

    Returns `folder` itself if there is none.
    """
    here = (folder or Path.cwd()).resolve()
    return next((parent for parent in (here, *here.parents) if (parent / ".dvc").is_dir()), here)


@contextmanager
def check_before_replacing(check: Callable[[], None]) -> Iterator[None]:
    """Make each `replace_files` in the block call `check` before it renames; if `check` raises, it renames nothing."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


@contextmanager
def replace_files(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Yield a temporary path for each of `paths`; rename all to their targets if the block succeeds, none if it fails.

    Each temporary file has its own side folder next to its target, so that two processes never share one, and is
    flushed to disk before it is renamed. If a rename fails, those before it are undone. A killed process leaves its
    side folders, which the next writer of the same target takes over. If it is killed between two renames, every
    target is complete, some new and some old, which the hashes in contract.json and dvc.lock reveal. An existing
    target keeps its mode. Raises FileError when the file system fails.
    """
    undone: list[Path] = []
    try:
        with ExitStack() as stack:
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            sides = [stack.enter_context(_side_folder(path)) for path in paths]
            parts = tuple(side / path.name for side, path in zip(sides, paths, strict=True))
            yield parts
            for part, path in zip(parts, paths, strict=True):
                _finish(part, path)
            _check.get()()
            _rename_all(parts, paths, undone)
    except OSError as error:
        names, reason = ", ".join(map(str, paths)), os.strerror(error.errno) if error.errno else error
        kept = f"{', '.join(map(str, undone))} could not be restored and is new" if undone else ""
        raise FileError(
            f"cannot write {names}: {reason}; {kept or 'existing files are unchanged'}: "
            "free disk space or allow writing, then run the same command again."
        ) from error


def remove_sides(folder: Path) -> None:
    """Remove the side folders that killed processes left in a folder, but none of a running process."""
    for side in folder.glob(f".*{SIDE}"):
        handle = _take(side)
        if handle is not None:
            shutil.rmtree(side, ignore_errors=True)
            os.close(handle)


@contextmanager
def _side_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder next to `path`, exclusive to this process, and remove it at the end.

    The names are numbered, so that a dead process's folder is found without a search. A kernel lock distinguishes a
    running owner from a dead one: the kernel releases it when the process ends, however it ends.
    """
    side, handle = next(taken for number in count() if (taken := _make_or_take(path, number)))
    try:
        for left in side.iterdir():  # nested side folders are possible
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield side
    finally:
        shutil.rmtree(side, ignore_errors=True)
        os.close(handle)


def _make_or_take(path: Path, number: int) -> tuple[Path, int] | None:
    side, new = path.with_name(f".{path.name[:NAME_PREFIX]}.{number}{SIDE}"), True
    try:
        side.mkdir(mode=0o700)
    except FileExistsError:
        new = False
    handle = _take(side, new)
    return None if handle is None else (side, handle)


def _take(side: Path, new: bool = False) -> int | None:
    """Lock a side folder and return its handle, or None if another process holds it or it has been removed.

    On a file system without locks a `new` folder is taken without one; a dead process's folder is never taken over
    there.
    """
    try:
        handle = os.open(side, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except OSError:
        if new:
            raise
        return None
    taken = False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = os.path.samestat(os.fstat(handle), side.stat())  # its owner may have removed it in the meantime
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        taken = new
    if taken:
        return handle
    os.close(handle)
    return None


def _finish(part: Path, path: Path) -> None:
    """Give a side file the mode of the regular file it replaces, if any, and flush its content to disk."""
    handle = os.open(part, os.O_RDONLY)
    try:
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if stat.S_ISREG(mode):  # DVC's links to its cache are read-only; this file is not one
                os.fchmod(handle, stat.S_IMODE(mode) & 0o777 | stat.S_IWUSR)
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename_all(parts: Sequence[Path], paths: Sequence[Path], undone: list[Path]) -> None:
    """Rename each of `parts` to its path, all or none; append to `undone` the paths that could not be restored."""
    former: list[Path | None] = [_keep(part, path) for part, path in zip(parts[:-1], paths[:-1], strict=True)]
    renamed = 0
    try:
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
            renamed += 1
    except BaseException:
        for path, old in zip(paths[:renamed], former, strict=False):
            try:
                path.unlink() if old is None else old.replace(path)
            except OSError:
                undone.append(path)
        raise
    for folder in dict.fromkeys(path.parent for path in paths):
        with suppress(OSError):  # all files are renamed already, and some file systems cannot sync a folder
            _sync_folder(folder)


def _keep(part: Path, path: Path) -> Path | None:
    """Return a hard link to what is at `path` (a copy if links are impossible), or None if nothing is there."""
    old = part.with_name(f"~{part.name[:NAME_PREFIX]}")
    try:
        os.link(path, old, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:
        shutil.copy2(path, old, follow_symlinks=False)
    return old


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
