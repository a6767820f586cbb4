"""Places: files here or in an object store, by their path or URL. The only module that knows fsspec.

Credentials and endpoints come from the environment, as each store's own tools read them, and are never written down.
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
    """A file that was found: its name as it was asked for, where it is, and its state there.

    `state` is the ETag of an object; of a local file it is the time of its last change.
    """

    name: str
    url: str
    size: int
    state: str


def join(folder: str, name: str) -> str:
    """Return the place of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def absolute(folder: str) -> str:
    """Return a folder's place as any process of this machine finds it."""
    return folder if is_url(folder) else str(Path(folder).absolute())


def is_url(place: str) -> bool:
    """Tell whether a place is named by a URL, not by a path."""
    return "://" in place


def find_files(given: str) -> list[File]:
    """Return the file that is given, or those of a folder or a glob, sorted by name, without hidden and empty ones.

    Raises DataError when there is none, and ScaleError when the place cannot be reached.
    """
    with _reaching(given):
        found = list(_find_remote(given) if is_url(given) else _find_local(given))
    if not found:
        raise DataError(f"{given} holds no file: name a file, a folder or a pattern such as rows/*.parquet.")
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
    """Tell whether a place may name several files."""
    return any(mark in given for mark in "*?[")


def _is_shown(below: str, size: int) -> bool:
    """Tell whether a file is one of the rows: hidden files and markers such as _SUCCESS are not, nor are empty ones."""
    return size > 0 and not any(part.startswith((".", "_")) for part in below.strip("/").split("/"))


def _size(path: Path) -> int:
    return path.stat().st_size


def find_again(file: File) -> None:
    """Raise DataError unless a file is as it was when it was found."""
    with _reaching(file.name):
        now = _remote(file.url) if is_url(file.url) else _local(Path(file.url))
    if (now.size, now.state) != (file.size, file.state):
        raise DataError(
            f"{file.name} was changed while its rows were predicted: run the same command into a new folder."
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
    """Return a file opened to read; `seekable` is for what is read here and there, without reading ahead."""
    with _reaching(url):
        if not is_url(url):
            return Path(url).open("rb")
        fs, path = _locate(url)
        # Arrow asks for whole column chunks, so that a cache between would only copy them
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
    """Return a file's bytes, or None where there is no such file."""
    with _reaching(url):
        try:
            if not is_url(url):
                return Path(url).read_bytes()
            fs, path = _locate(url)
            return bytes(fs.cat_file(path))
        except FileNotFoundError:
            return None


def hash_place(url: str) -> str | None:
    """Return the sha256 of a file's bytes, or None where there is no such file."""
    if is_url(url):
        content = read_file(url)
        return None if content is None else hash_bytes(content)
    return hash_file(Path(url)) if Path(url).is_file() else None


def make_folder(folder: str) -> None:
    """Make a local folder where there is none; raise FileError when that cannot be."""
    if not is_url(folder):
        with _writing(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)


@contextmanager
def written_aside(url: str) -> Iterator[Path]:
    """Yield a local path to write to; when the block ends well, the file is put in its place, whole.

    One for a store lies in a temporary folder and is sent as one object. Raises FileError or ScaleError when that
    cannot be.
    """
    if not is_url(url):
        with replace_files(Path(url)) as (path,):
            yield path
        return
    with _writing(url), tempfile.TemporaryDirectory() as aside:
        path = Path(aside, posixpath.basename(url))
        yield path
        with _reaching(url):
            fs, target = _locate(url)
            fs.put_file(str(path), target)


def write_file(url: str, content: bytes) -> None:
    """Write a file whole; raise FileError or ScaleError when that cannot be."""
    with written_aside(url) as path:
        path.write_bytes(content)


def remove_asides(folder: str) -> None:
    """Remove what killed processes left in a local folder."""
    if not is_url(folder):
        remove_sides(Path(folder))


def remove_file(url: str) -> None:
    """Remove a file where there is one."""
    with _writing(url), _reaching(url):
        if not is_url(url):
            Path(url).unlink(missing_ok=True)
            return
        fs, path = _locate(url)
        if fs.exists(path):
            fs.rm_file(path)


def _locate(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # noqa: PLC0415 - takes its time

    fs, path = url_to_fs(url, use_listings_cache=False)  # what others write meanwhile is seen
    return fs, str(path)


@contextmanager
def _writing(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise FileError(
            f"cannot write {url}: {reason}: make room or allow writing, then run the same command."
        ) from error


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Tell what a store's own library raises in one sentence."""
    try:
        yield
    except ArtifactFlowError:
        raise
    except ImportError as error:
        raise ScaleError(
            f"{url} cannot be reached without {error.name or error}: `make scale` installs what object stores need."
        ) from error
    except Exception as error:  # each store's library has its own kinds
        if not is_url(url):
            raise DataError(f"{url} cannot be read: {getattr(error, 'strerror', error)}: allow reading it.") from error
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ScaleError(
            f"{url} cannot be reached ({type(error).__name__}: {reason}): look at its name, at the credentials and "
            "the endpoint in the environment, then run the same command."
        ) from error
