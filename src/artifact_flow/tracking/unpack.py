"""Unpack: the one table in an archive, written beside it. A tar or a zip file, whatever its name says."""

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

TABLES = (".csv", ".data", ".jsonl", ".parquet", ".tsv", ".txt")  # names of tables end so, or with .gz behind it
# How files begin that are no archives, and that no reader here unpacks.
COMPRESSED = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
}
DAMAGE = (EOFError, OSError, RuntimeError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)

Members = Mapping[str, Callable[[], IO[bytes] | None]]  # path in an archive → what opens it


def unpack_table(path: Path) -> Path:
    """Return the table that a file is, or the one that an archive holds, written beside it under its own name.

    A file that is no archive is returned as it is. Raises TrackError when an archive is damaged or encrypted, holds no
    table or several, or when its table would overwrite a file that DVC does not track; and when a file is compressed
    otherwise than by gzip.
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
        raise TrackError(f"{path} cannot be unpacked ({str(error) or type(error).__name__}): fetch it anew.") from error


def refuse_overwriting(path: Path) -> None:
    """Raise TrackError when a file is there that DVC does not track, so that no other copy of it is known."""
    if path.exists() and not path.with_name(f"{path.name}.dvc").is_file():
        raise TrackError(f"{path} is there already, and DVC does not track it: move it away, then run this again.")


@contextmanager
def _open_members(path: Path) -> Iterator[Members]:
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            yield {member.name: partial(tar.extractfile, member) for member in tar if member.isfile()}
    else:
        with zipfile.ZipFile(path) as zipped:
            yield {member.filename: partial(zipped.open, member) for member in zipped.infolist() if not member.is_dir()}


def _find_table(path: Path, members: Members) -> str:
    """Return the path of the one table in an archive; files that macOS adds begin with "._"."""
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
        f"{path} holds {what}: {listed or 'nothing'}: unpack it, then `dvc add` and `artifact-flow init` one file."
    )


def _refuse_compressed(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    packed = next((name for start, name in COMPRESSED.items() if head.startswith(start)), None)
    if packed:
        raise TrackError(
            f"{path} is packed by {packed}, and only gzip, tar and zip are unpacked here: unpack it, then `dvc add` "
            "and `artifact-flow init` what comes out."
        )
