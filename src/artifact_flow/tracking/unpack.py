"""Unpack: the only table in a tar or zip archive, written into the archive's folder. File names do not matter."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import replace_files

TABLES = (".csv", ".data", ".jsonl", ".parquet", ".tsv", ".txt")  # file name extensions of tables, each also with .gz
# The first bytes of compressed files that this module cannot unpack.
COMPRESSED = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
}
DAMAGE = (EOFError, OSError, RuntimeError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)

Members = Mapping[str, Callable[[], IO[bytes] | None]]  # path in an archive → function that opens it


def unpack_table(path: Path) -> Path:
    """Return the path of the only table in an archive, unpacked into the archive's folder under its own name.

    The path of a file that is not an archive is returned unchanged. Raises TrackError when an archive is damaged or
    encrypted, contains no table or several, or when its table would overwrite a file that DVC does not track, and when
    a file is compressed in another format than gzip.
    """
    try:
        if not (tarfile.is_tarfile(path) or zipfile.is_zipfile(path)):
            _refuse_compressed(path)
            return path
        with _open_members(path) as members:
            name = _find_table(path, members)
            table = path.with_name(PurePosixPath(name).name)
            refuse_overwriting(table)
            with replace_files(table) as (part,), part.open("wb") as file:
                content = members[name]()
                if content is not None:
                    shutil.copyfileobj(content, file)
            return table
    except DAMAGE as error:
        raise TrackError(
            f"{path} cannot be unpacked ({str(error) or type(error).__name__}): download it again."
        ) from error


def refuse_overwriting(path: Path) -> None:
    """Raise TrackError when a file exists that DVC does not track, because it may have no other copy."""
    if path.exists() and not path.with_name(f"{path.name}.dvc").is_file():
        raise TrackError(f"{path} exists already and DVC does not track it: move it, then run the same command again.")


@contextmanager
def _open_members(path: Path) -> Iterator[Members]:
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            yield {member.name: partial(tar.extractfile, member) for member in tar if member.isfile()}
    else:
        with zipfile.ZipFile(path) as zipped:
            yield {member.filename: partial(zipped.open, member) for member in zipped.infolist() if not member.is_dir()}


def _find_table(path: Path, members: Members) -> str:
    """Return the path of the only table in an archive; hidden files, such as macOS adds ("._*"), do not count."""
    tables = [
        name
        for name in members
        if name.lower().removesuffix(".gz").endswith(TABLES) and not PurePosixPath(name).name.startswith(".")
    ]
    if len(tables) == 1:
        return tables[0]
    found = tables or list(members)
    listed = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    what = f"{len(tables)} tables" if tables else f"no table ({', '.join(TABLES)})"
    raise TrackError(
        f"{path} contains {what}: {listed or 'nothing'}: unpack it, then run `dvc add` and "
        "`artifact-flow init` on one file."
    )


def _refuse_compressed(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    packed = next((name for start, name in COMPRESSED.items() if head.startswith(start)), None)
    if packed:
        raise TrackError(
            f"{path} is compressed with {packed}, but only gzip, tar and zip can be unpacked here: unpack it, then run "
            "`dvc add` and `artifact-flow init` on the result."
        )
