"""Files are written whole or not at all."""

import hashlib
import os
from pathlib import Path

import pytest

from artifact_flow.errors import ArtifactFlowError, FileError, told_in_one_sentence
from artifact_flow.files import hash_file, replace_files


def test_hashes_are_the_standard_ones(tmp_path: Path) -> None:
    """Digests equal hashlib's, over more than one block."""
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    assert hash_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    assert hash_file(tmp_path / "file", "md5") == hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_a_block_that_ends_well_replaces_all(tmp_path: Path) -> None:
    """Old content goes, new comes, nothing is left beside it."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old")
    with replace_files(one, two) as (first, second):
        first.write_text("new")
        second.write_text("new")
    assert [one.read_text(), two.read_text()] == ["new", "new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """Neither file changes when the second one could not be made."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old")

    def fail() -> None:
        with replace_files(one, two) as (first, _):
            first.write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert one.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """ENOSPC (here from /dev/full) becomes a sentence, and the old file stays."""
    path = tmp_path / "file"
    path.write_text("old")
    with (
        pytest.raises(FileError, match=r"cannot write .*file: No space left on device; what was there before is"),
        replace_files(path) as (_,),
        Path("/dev/full").open("w") as full,
    ):
        full.write("new")
    assert path.read_text() == "old"


def test_a_linked_file_is_replaced_not_written_through(tmp_path: Path) -> None:
    """Where DVC links outputs to its cache, the cache is never changed."""
    cached, path = tmp_path / "cached", tmp_path / "file"
    cached.write_text("old")
    path.hardlink_to(cached)
    with replace_files(path) as (part,):
        part.write_text("new")
    assert cached.read_text() == "old"


def test_an_error_ends_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """A user sees the sentence and an exit code, no traceback."""
    with pytest.raises(SystemExit) as ended, told_in_one_sentence():
        raise ArtifactFlowError("a.b is 1; allowed: 2.")
    assert ended.value.code == "error: a.b is 1; allowed: 2."
