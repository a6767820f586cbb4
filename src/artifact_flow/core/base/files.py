"""Files: written whole or not at all, and hashed. It knows nothing of what is in them."""

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

# What `replace_files` asks before it puts files in place. No argument, which a stage of one's own would forget to pass.
_ask: ContextVar[Callable[[], None]] = ContextVar("ask", default=lambda: None)
SIDE = ".part"  # how the name of a side folder ends; `.gitignore` names it
SHOWN = 40  # characters of a target's name that its side folder's name holds: a name has at most 255 bytes


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

    Each side file lies in a side folder of its own beside its target, so that two processes never share one, and
    reaches the disk before it is renamed. A rename that fails takes back those before it. A process that is killed
    leaves its side folders, which the next writer of the same target takes over; killed between two renames, it leaves
    each target whole, some new and some old, which is what contract.json's hashes and dvc.lock tell. A target that was
    there keeps its mode. Raises FileError when the disk refuses.
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
            _ask.get()()
            _rename_all(parts, paths, undone)
    except OSError as error:
        names, reason = ", ".join(map(str, paths)), os.strerror(error.errno) if error.errno else error
        kept = f"{', '.join(map(str, undone))} could not be put back and is new" if undone else ""
        raise FileError(
            f"cannot write {names}: {reason}; {kept or 'what was there before is untouched'}: "
            "make room or allow writing, then run the same command again."
        ) from error


def remove_sides(folder: Path) -> None:
    """Remove the side folders that killed processes left in a folder, and none that a living one writes to."""
    for side in folder.glob(f".*{SIDE}"):
        handle = _take(side)
        if handle is not None:
            shutil.rmtree(side, ignore_errors=True)
            os.close(handle)


@contextmanager
def _side_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that is this process's alone, and remove it in the end.

    Their names are numbered, so that a dead process's folder is found without a search. The kernel holds the lock that
    tells a living owner from a dead one, and lets go of it when the process ends, however it ends.
    """
    side, handle = next(taken for number in count() if (taken := _make_or_take(path, number)))
    try:
        for left in side.iterdir():  # a side file may have been written aside too
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield side
    finally:
        shutil.rmtree(side, ignore_errors=True)
        os.close(handle)


def _make_or_take(path: Path, number: int) -> tuple[Path, int] | None:
    side, new = path.with_name(f".{path.name[:SHOWN]}.{number}{SIDE}"), True
    try:
        side.mkdir(mode=0o700)
    except FileExistsError:
        new = False
    handle = _take(side, new)
    return None if handle is None else (side, handle)


def _take(side: Path, new: bool = False) -> int | None:
    """Return the handle of a side folder that is locked now, or None where it is another process's, or gone.

    A `new` one is had without a lock where the file system has none; there a dead process's folder is never taken over.
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
        taken = os.path.samestat(os.fstat(handle), side.stat())  # its owner may have removed it meanwhile
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        taken = new
    if taken:
        return handle
    os.close(handle)
    return None


def _finish(part: Path, path: Path) -> None:
    """Give a side file the mode of what it replaces, where that is a file, and bring its content to the disk."""
    handle = os.open(part, os.O_RDONLY)
    try:
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if stat.S_ISREG(mode):  # DVC's links to its cache are read-only, which this file is not
                os.fchmod(handle, stat.S_IMODE(mode) & 0o777 | stat.S_IWUSR)
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename_all(parts: Sequence[Path], paths: Sequence[Path], undone: list[Path]) -> None:
    """Rename each of `parts` to its path, all or none; `undone` gets the paths that could not be put back."""
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
        with suppress(OSError):  # all are in place, and some file systems cannot do this
            _sync_folder(folder)


def _keep(part: Path, path: Path) -> Path | None:
    """Return a second name for what lies at `path`, or None where nothing does; a copy where no links can be."""
    old = part.with_name(f"~{part.name[:SHOWN]}")
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
