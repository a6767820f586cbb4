"""Archives: their only table, or one sentence why they have none."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from artifact_flow.core.base.errors import TrackError
from artifact_flow.tracking.unpack import refuse_overwriting, unpack_table

TABLE = b"rooms,price\n3,100\n4,200\n"


def tar(path: Path, members: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    """Write a tar archive."""
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_the_only_table_of_a_tar_file_is_unpacked_into_its_folder(tmp_path: Path, mode: str) -> None:
    """For any name and compression, and with other files in the archive."""
    members = {"set/README": b"about", "set/._houses.csv": b"of a Mac", "set/houses.csv": TABLE}
    table = unpack_table(tar(tmp_path / "data.csv", members, mode))
    assert table == tmp_path / "houses.csv"
    assert table.read_bytes() == TABLE


def test_the_only_table_of_a_zip_file_is_unpacked_into_its_folder(tmp_path: Path) -> None:
    """Paths in the archive are ignored."""
    folder = tmp_path / "data"
    folder.mkdir()
    table = unpack_table(zipped(folder / "data.zip", {"a/../../houses.csv": TABLE}))
    assert table == folder / "houses.csv"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["data.zip", "houses.csv"]


def test_a_file_that_is_no_archive_is_returned(tmp_path: Path) -> None:
    """CSV files, also with gzip, are left to the readers."""
    for name, content in (("houses.csv", TABLE), ("houses.csv.gz", gzip.compress(TABLE)), ("empty.csv", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        assert unpack_table(path) == path
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"a.csv": TABLE, "b/a.csv": TABLE}, "contains 2 tables: a.csv, b/a.csv: unpack it, then run `dvc add`"),
        (
            {"photo.png": b"", "about.pdf": b""},
            "contains no table (.csv, .data, .jsonl, .parquet, .tsv, .txt): photo.png",
        ),
        ({}, "contains no table"),
    ],
)
def test_none_or_several_tables_are_refused(tmp_path: Path, members: Mapping[str, bytes], reason: str) -> None:
    """The error lists the files; nothing is written."""
    for path in (tar(tmp_path / "set.tgz", members), zipped(tmp_path / "set.zip", members)):
        with pytest.raises(TrackError) as caught:
            unpack_table(path)
        assert f"{path} {reason}" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.tgz", "set.zip"]


def test_a_damaged_or_unsupported_archive_is_reported(tmp_path: Path) -> None:
    """A truncated archive, and other compression formats."""
    whole = tar(tmp_path / "set.tar", {"a.csv": TABLE * 10_000}, "w").read_bytes()
    (tmp_path / "set.tar").write_bytes(whole[: len(whole) // 2])
    packed = gzip.compress(whole)
    (tmp_path / "set.tgz").write_bytes(packed[: len(packed) // 2])
    for name in ("set.tar", "set.tgz"):
        with pytest.raises(TrackError, match=rf"{name} cannot be unpacked \(.+\): download it again"):
            unpack_table(tmp_path / name)
    for name, content in (("bzip2", bz2.compress(TABLE)), ("xz", lzma.compress(TABLE))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            TrackError, match=rf"{name} is compressed with {name}, but only gzip, tar and zip can be unpacked"
        ):
            unpack_table(tmp_path / name)
    assert not (tmp_path / "a.csv").exists()


def test_an_untracked_file_is_not_overwritten(tmp_path: Path) -> None:
    """A file that DVC tracks is overwritten, because DVC has a copy."""
    archive = tar(tmp_path / "set.tgz", {"houses.csv": TABLE})
    own = tmp_path / "houses.csv"
    own.write_bytes(b"mine")
    with pytest.raises(TrackError, match=r"houses.csv exists already and DVC does not track it: move it, then run"):
        unpack_table(archive)
    assert own.read_bytes() == b"mine"
    own.with_name("houses.csv.dvc").touch()
    refuse_overwriting(own)
    assert unpack_table(archive).read_bytes() == TABLE
