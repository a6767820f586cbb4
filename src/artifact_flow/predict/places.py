"""Places: local files and objects of a store, named by path or URL. Only this module uses fsspec.

Credentials and endpoints come from the environment, as each store's own tools read them, and are never stored.
"""

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from artifact_flow.core.base.errors import ArtifactFlowError, DataError, FileError, ScaleError
from artifact_flow.core.base.files import hash_bytes, hash_file, remove_sides, replace_files


@dataclass(frozen=True)
class File:
    """An input file: its name as given, its absolute path or URL, its size in bytes and its state.

    `state` is the ETag of an object, and the modification time (ns) of a local file.
    """

    name: str
    url: str
    size: int
    state: str


def join(folder: str, name: str) -> str:
    """Return the path or URL of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def absolute(folder: str) -> str:
    """Return a folder's absolute path, or its URL."""
    return folder if is_url(folder) else str(Path(folder).absolute())


def is_url(place: str) -> bool:
    """Return whether a place is a URL, not a path."""
    return "://" in place


def find_files(given: str) -> list[File]:
    """Return the given file, or the files of a folder or pattern, sorted by name, without hidden and empty ones.

    Raises DataError when there is none, and ScaleError when the store cannot be reached.
    """
    with _reaching(given):
        found = list(_find_remote(given) if is_url(given) else _find_local(given))
    if not found:
        raise DataError(f"{given} has no files: name a file, a folder or a pattern such as rows/*.parquet.")
    return sorted(found, key=lambda file: file.name)


def _find_local(given: str) -> Iterator[File]:
    path = Path(given)
    if path.is_dir():
        paths = [(found, found.relative_to(path)) for found in path.rglob("*")]
    elif is_pattern(given) and not path.exists():
        root = Path(path.anchor)
        paths = [(found, Path(found.name)) for found in root.glob(str(path.relative_to(path.anchor)))]
    else:
        yield _local(path)
        return
    yield from (_local(found) for found, below in paths if found.is_file() and _is_shown(str(below), _size(found)))


def _find_remote(given: str) -> Iterator[File]:
    fs, path = _locate(given)
    if is_pattern(given):
        found, base = fs.glob(path, detail=True), path[: min(path.find(mark) for mark in "*?[" if mark in path)]
    elif given.endswith("/") or not fs.isfile(path):
        found, base = fs.find(path.rstrip("/") + "/", detail=True), path
    else:
        yield _remote(given)
        return
    for key, info in found.items():
        if info["type"] == "file" and _is_shown(key.removeprefix(base.rstrip("/")), info["size"]):
            url = fs.unstrip_protocol(key)
            yield File(url, url, info["size"], _state(fs, key, info))


def is_pattern(given: str) -> bool:
    """Return whether a place is a pattern that may match several files."""
    return any(mark in given for mark in "*?[")


def _is_shown(below: str, size: int) -> bool:
    """Return whether a file is input: hidden files, markers such as _SUCCESS and empty files are not."""
    return size > 0 and not any(part.startswith((".", "_")) for part in below.strip("/").split("/"))


def _size(path: Path) -> int:
    return path.stat().st_size


def find_again(file: File) -> None:
    """Raise DataError when a file has changed since it was found."""
    with _reaching(file.name):
        now = _remote(file.url) if is_url(file.url) else _local(Path(file.url))
    if (now.size, now.state) != (file.size, file.state):
        raise DataError(
            f"{file.name} changed while its rows were predicted: run the same command with a new output folder."
        )


def _local(path: Path) -> File:
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}: name a CSV, Parquet or JSON lines file, or a folder of them."
        ) from error
    return File(str(path), str(path.absolute()), stat.st_size, str(stat.st_mtime_ns))


def _remote(url: str) -> File:
    fs, path = _locate(url)
    try:
        info = fs.info(path)
    except FileNotFoundError as error:
        raise DataError(f"{url} does not exist: name a file, a folder ending in / or a pattern.") from error
    return File(url, url, info["size"], _state(fs, path, info))


def _state(fs: Any, path: str, info: dict[str, Any]) -> str:
    return str(info.get("ETag") or info.get("etag") or fs.checksum(path)).strip('"')


def open_file(url: str, seekable: bool = False) -> IO[bytes]:
    """Open a file for reading; with `seekable`, for random access without read-ahead."""
    with _reaching(url):
        if not is_url(url):
            return Path(url).open("rb")
        fs, path = _locate(url)
        # Arrow reads whole column chunks, so a cache in between would only copy them
        file: IO[bytes] = fs.open(path, "rb", **({"cache_type": "none"} if seekable else {"block_size": 1 << 23}))
        return file


def read_start(url: str, size: int) -> bytes:
    """Return the first bytes of a file."""
    with _reaching(url):
        if not is_url(url):
            with Path(url).open("rb") as file:
                return file.read(size)
        fs, path = _locate(url)
        return bytes(fs.cat_file(path, start=0, end=size))


def read_file(url: str) -> bytes | None:
    """Return a file's bytes, or None if it does not exist."""
    with _reaching(url):
        try:
            if not is_url(url):
                return Path(url).read_bytes()
            fs, path = _locate(url)
            return bytes(fs.cat_file(path))
        except FileNotFoundError:
            return None


def hash_place(url: str) -> str | None:
    """Return the sha256 of a file's bytes, or None if it does not exist."""
    if is_url(url):
        content = read_file(url)
        return None if content is None else hash_bytes(content)
    return hash_file(Path(url)) if Path(url).is_file() else None


def make_folder(folder: str) -> None:
    """Create a local folder if it does not exist; raise FileError on failure."""
    if not is_url(folder):
        with _writing(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)


@contextmanager
def staged_file(url: str) -> Iterator[Path]:
    """Yield a temporary local path; when the block ends without an error, the file replaces the target at once.

    For a store, the file is uploaded as one object. Raises FileError or ScaleError on failure.
    """
    if not is_url(url):
        with replace_files(Path(url)) as (path,):
            yield path
        return
    with _writing(url), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, posixpath.basename(url))
        yield path
        with _reaching(url):
            fs, target = _locate(url)
            fs.put_file(str(path), target)


def write_file(url: str, content: bytes) -> None:
    """Write a file completely or not at all; raise FileError or ScaleError on failure."""
    with staged_file(url) as path:
        path.write_bytes(content)


def remove_staged(folder: str) -> None:
    """Remove temporary files that killed processes left in a local folder."""
    if not is_url(folder):
        remove_sides(Path(folder))


def remove_file(url: str) -> None:
    """Remove a file if it exists."""
    with _writing(url), _reaching(url):
        if not is_url(url):
            Path(url).unlink(missing_ok=True)
            return
        fs, path = _locate(url)
        if fs.exists(path):
            fs.rm_file(path)


def _locate(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # noqa: PLC0415 - slow to import

    fs, path = url_to_fs(url, use_listings_cache=False)  # sees what others write during the run
    return fs, str(path)


@contextmanager
def _writing(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise FileError(
            f"cannot write {url}: {reason}: make room or allow writing, then run the same command again."
        ) from error


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Convert the exceptions of a store's own library into one sentence."""
    try:
        yield
    except ArtifactFlowError:
        raise
    except ImportError as error:
        raise ScaleError(
            f"{url} needs {error.name or error}, which is not installed: `make scale` installs what object stores need."
        ) from error
    except Exception as error:  # each store's library raises its own types
        if not is_url(url):
            raise DataError(f"{url} cannot be read: {getattr(error, 'strerror', error)}: allow reading it.") from error
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ScaleError(
            f"{url} cannot be reached ({type(error).__name__}: {reason}): check its name, the credentials "
            "and the endpoint in the environment, then run the same command again."
        ) from error
