"""Files are written whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import artifact_flow
from artifact_flow.core.base.errors import ArtifactFlowError, ChangedError, FileError, exit_on_error
from artifact_flow.core.base.files import check_before_replacing, hash_file, remove_sides, replace_files

SOURCE = str(Path(artifact_flow.__file__).parents[1])
BEGIN = "import os, sys; from pathlib import Path; from artifact_flow.core.base.files import replace_files\n"


def start(code: str, *arguments: Path | str) -> subprocess.Popen[str]:
    """Start another process that runs `code` with `arguments`; a line on its standard input is what it waits for."""
    command = [sys.executable, "-c", BEGIN + code, *map(str, arguments)]
    environ = os.environ | {"PYTHONPATH": SOURCE}
    return subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def write(content: str, *paths: Path) -> None:
    """Write the same content to all targets."""
    with replace_files(*paths) as parts:
        for part in parts:
            part.write_text(content)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


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
    assert names(tmp_path) == ["one", "two"]


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
    assert names(tmp_path) == ["one"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """ENOSPC (here from /dev/full) becomes a sentence, and the old file stays."""
    path = tmp_path / "file"
    path.write_text("old")
    with (
        pytest.raises(FileError, match=r"cannot write .*file: No space left on device; existing files are unchanged"),
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


def test_a_rename_that_fails_takes_back_those_before_it(tmp_path: Path) -> None:
    """The third target is a folder: the first is the old file again, the second is not there, as before."""
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    one.write_text("old")
    three.mkdir()
    with pytest.raises(FileError, match=r"three: Is a directory; existing files are unchanged: free disk space"):
        write("new", one, two, three)
    assert one.read_text() == "old"
    assert names(tmp_path) == ["one", "three"]


def test_a_link_is_put_back_as_a_link(tmp_path: Path) -> None:
    """Where DVC links outputs to its cache by name, a failure leaves the link."""
    (tmp_path / "cached").write_text("old")
    (tmp_path / "one").symlink_to("cached")
    (tmp_path / "two").mkdir()
    with pytest.raises(FileError, match="existing files are unchanged"):
        write("new", tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one").readlink() == Path("cached")
    assert (tmp_path / "cached").read_text() == "old"


def test_a_place_that_refuses_writing_is_one_sentence(tmp_path: Path) -> None:
    """In the kernel's own folder not even root makes a file: the other target stays as it was."""
    (tmp_path / "one").write_text("old")
    with (
        pytest.raises(FileError, match=r"cannot write .*one, /proc/self/two: .*existing files are unchanged"),
        replace_files(tmp_path / "one", Path("/proc/self/two")),
    ):
        pytest.fail("the block must not begin")
    assert (tmp_path / "one").read_text() == "old"
    assert names(tmp_path) == ["one"]


def test_a_side_file_that_was_never_written_replaces_nothing(tmp_path: Path) -> None:
    """A block that forgets one of its files does not leave an empty one."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old")
    with pytest.raises(FileError, match="No such file"), replace_files(one, two) as (first, _):
        first.write_text("new")
    assert one.read_text() == "old"


def test_what_cannot_be_put_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails between two renames, and for good: the sentence names the file that is new."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old")
    rename = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if path.name == "one":
            return rename(path, target)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(FileError, match=r"Input/output error; .*one could not be restored and is new: free"):
        write("new", one, two)
    assert one.read_text() == "new"
    assert names(tmp_path) == ["one"]


@pytest.mark.long
def test_two_processes_never_mix_a_file(tmp_path: Path) -> None:
    """Both write the same two targets again and again: whoever reads one finds one writer's whole, and so it ends."""
    code = """
mark, *paths = sys.argv[1:]
print("ready", flush=True); sys.stdin.readline()
for _ in range(60):
    with replace_files(*map(Path, paths)) as parts:
        for part in parts:
            with part.open("w") as file:
                for _ in range(20):
                    file.write(mark * 5000); file.flush()
"""
    targets = tmp_path / "one", tmp_path / "two"
    writers = [start(code, mark, *targets) for mark in "ab"]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen |= {path.read_text() for path in targets if path.exists()}
    for writer in writers:
        assert writer.wait() == 0
        writer.communicate()
    assert seen | {path.read_text() for path in targets} == {"a" * 100_000, "b" * 100_000}
    assert names(tmp_path) == ["one", "two"]


@pytest.mark.long
def test_a_killed_process_leaves_the_old_file_and_nothing_that_stays(tmp_path: Path) -> None:
    """What it left beside is the next writer's, who removes it; what a living process writes to is left alone."""
    code = """
with replace_files(Path(sys.argv[1])) as (part,):
    part.write_text("half")
    print("written", flush=True); sys.stdin.readline()
"""
    path = tmp_path / "file"
    path.write_text("old")
    killed, living = start(code, path), start(code, path)
    for process in (killed, living):
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
    assert len(names(tmp_path)) == 3
    killed.kill()
    killed.communicate()
    assert path.read_text() == "old"
    with replace_files(path) as (part,):
        assert names(part.parent) == []
        part.write_text("new")
    assert path.read_text() == "new"
    assert len(names(tmp_path)) == 2
    remove_sides(tmp_path)
    assert len(names(tmp_path)) == 2
    living.communicate("\n")
    assert (living.returncode, path.read_text(), names(tmp_path)) == (0, "half", ["file"])


def test_what_was_left_of_a_side_file_that_was_written_aside_is_no_obstacle(tmp_path: Path) -> None:
    """A part of a batch is written aside twice: killed then, it leaves a side folder in a side folder."""
    inner = tmp_path / ".one.0.part/.one.0.part"
    inner.mkdir(parents=True)
    (inner / "one").write_text("half")
    (tmp_path / ".one.0.part/~one").symlink_to(tmp_path)
    write("new", tmp_path / "one")
    assert ((tmp_path / "one").read_text(), names(tmp_path)) == ("new", ["one"])


def test_what_killed_processes_left_can_be_removed_at_once(tmp_path: Path) -> None:
    """A folder of finished parts is cleared without writing them again."""
    (tmp_path / ".one.0.part").mkdir()
    (tmp_path / ".one.0.part/one").write_text("half")
    (tmp_path / "kept.part").write_text("no side folder")
    remove_sides(tmp_path)
    assert names(tmp_path) == ["kept.part"]


def test_a_kill_between_two_renames_leaves_each_file_whole(tmp_path: Path) -> None:
    """One is new and the other old, neither half; the next run makes both new and leaves nothing beside them."""
    code = """
rename = Path.replace
def replace(path, target):
    rename(path, target)
    os.kill(os.getpid(), 9)
Path.replace = replace
with replace_files(*map(Path, sys.argv[1:])) as parts:
    for part in parts:
        part.write_text("new")
"""
    targets = one, two = tmp_path / "one", tmp_path / "two"
    for path in targets:
        path.write_text("old")
    process = start(code, *targets)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (one.read_text(), two.read_text()) == ("new", "old")
    write("newer", *targets)
    assert (one.read_text(), two.read_text(), names(tmp_path)) == ("newer", "newer", ["one", "two"])


@pytest.mark.parametrize(("before", "after"), [(None, 0o640), (0o600, 0o600), (0o755, 0o755), (0o444, 0o644)])
def test_a_file_keeps_its_mode(tmp_path: Path, before: int | None, after: int) -> None:
    """A new file has the mode that the umask leaves, a replaced one its former, and can be written again."""
    path = tmp_path / "file"
    if before is not None:
        path.write_text("old")
        path.chmod(before)
    umask = os.umask(0o027)
    try:
        write("new", path)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == after


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "~"])
def test_any_name_that_a_file_may_have_is_written(tmp_path: Path, name: str) -> None:
    """However long it is: names on the way are no longer."""
    path = tmp_path / name
    for content in ("old", "new"):
        write(content, path, tmp_path / "other")
        assert path.read_text() == content
    assert names(tmp_path) == sorted([name, "other"])


def test_an_error_ends_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """A user sees the sentence and an exit code, no traceback."""
    with pytest.raises(SystemExit) as ended, exit_on_error():
        raise ArtifactFlowError("a.b is 1; allowed: 2.")
    assert ended.value.code == "error: a.b is 1; allowed: 2."


def test_nothing_is_put_in_place_when_the_question_fails(tmp_path: Path) -> None:
    """What is asked before replacing keeps the earlier files, inside its block only."""
    path = tmp_path / "file"
    path.write_text("old")

    def ask() -> None:
        raise ChangedError("no")

    def write() -> None:
        with replace_files(path) as (part,):
            part.write_text("new")

    with pytest.raises(ChangedError), check_before_replacing(ask):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write()
    assert path.read_text() == "new"
