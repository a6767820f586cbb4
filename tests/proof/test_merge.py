"""Three versions of a dvc.lock become one: each stage whole from one side, in DVC's own bytes, or a sentence."""

from pathlib import Path
from typing import Any

import pytest

from artifact_flow.cli import main
from artifact_flow.core.base.errors import LockError
from artifact_flow.proof.merge_lock import Merged, merge_contents, merge_files

HEAD = "schema: '2.0'\nstages:\n"


def stage(name: str, md5: str, read: str = "", params: str = "") -> str:
    """Return a stage as DVC writes it, with one output, NAME.out."""
    lines = [f"  {name}:", f"    cmd: make {name}"]
    if read:
        path, _, was = read.partition("=")
        lines += ["    deps:", f"    - path: {path}", "      hash: md5", f"      md5: {was}", "      size: 1"]
    if params:
        lines += ["    params:", "      params.yaml:", f"        {params}"]
    lines += ["    outs:", f"    - path: {name}.out", "      hash: md5", f"      md5: {md5}", "      size: 1"]
    return "\n".join(lines) + "\n"


def lock(*stages: str) -> str:
    """Return the text of a lock."""
    return HEAD + "".join(stages)


def merge(base: str, ours: str, theirs: str) -> Merged:
    """Merge three texts."""
    return merge_contents(base.encode(), ours.encode(), theirs.encode())


A, B = stage("a", "a0"), stage("b", "b0")
A1, A2, B1, B2 = stage("a", "a1"), stage("a", "a2"), stage("b", "b1"), stage("b", "b2")


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged", "left_open"),
    [
        pytest.param([A, B], [A1, B], [A, B], [A1, B], (), id="changed here"),
        pytest.param([A, B], [A, B], [A, B1], [A, B1], (), id="changed there"),
        pytest.param([A, B], [A1, B], [A, B1], [A1, B1], (), id="one here, one there"),
        pytest.param([A, B], [A1, B], [A1, B], [A1, B], (), id="changed alike"),
        pytest.param([A, B], [A1, B1], [A2, B], [A1, B1], ("a",), id="changed differently"),
        pytest.param([A, B], [A1, B1], [A2, B2], [A1, B1], ("a", "b"), id="all changed differently"),
        pytest.param([A], [A], [A, B], [A, B], (), id="added there"),
        pytest.param([A], [A, B], [A, B], [A, B], (), id="added alike"),
        pytest.param([A], [A, B], [A, B1], [A, B], ("b",), id="added differently"),
        pytest.param([A], [A, stage("c", "c0")], [A, B], [A, stage("c", "c0"), B], (), id="another added on each side"),
        pytest.param([A, B], [A, B], [A], [A], (), id="removed there"),
        pytest.param([A, B], [A], [A, B], [A], (), id="removed here"),
        pytest.param([A, B], [A], [A], [A], (), id="removed on both"),
        pytest.param([A, B], [A], [A, B1], [A], ("b",), id="removed here, changed there"),
        pytest.param([A, B], [A, B1], [A], [A, B1], ("b",), id="changed here, removed there"),
        pytest.param([A, B], [B, A], [A1, B], [B, A1], (), id="in another order here"),
    ],
)
def test_a_stage_is_taken_from_one_side(
    base: list[str], ours: list[str], theirs: list[str], merged: list[str], left_open: tuple[str, ...]
) -> None:
    """The side that changed it; if both changed it differently, this branch's entry is kept and the stage is open."""
    assert merge(lock(*base), lock(*ours), lock(*theirs)) == Merged(lock(*merged).encode(), left_open)


def test_a_lock_that_both_branches_added_merges() -> None:
    """Git passes an empty common ancestor if both branches added the file."""
    assert merge("", lock(A), lock(A, B)) == Merged(lock(A, B).encode(), ())
    assert merge("", lock(A), lock(A1)) == Merged(lock(A).encode(), ("a",))


@pytest.mark.parametrize(
    ("read", "changed"),
    [
        pytest.param({"read": "a.out=a0"}, A1, id="an output"),
        pytest.param({"read": "code.py=0"}, stage("a", "a0", read="code.py=1"), id="a file"),
        pytest.param({"params": "opset: 17"}, stage("a", "a0", params="opset: 18"), id="a parameter"),
    ],
)
def test_a_stage_with_outdated_inputs_is_open(read: dict[str, Any], changed: str) -> None:
    """No stage changed on both sides, but one side added a stage that reads what the other side changed."""
    added = stage("new", "n0", **read)
    assert merge(lock(A), lock(changed), lock(A, added)) == Merged(lock(changed, added).encode(), ("new",))


def test_a_lock_that_was_already_inconsistent_merges() -> None:
    """A stage that was stale on one side before the merge is not reported as open."""
    reader = stage("b", "b0", read="a.out=before")
    assert merge(lock(A, reader), lock(A, reader), lock(A1, reader)).open == ()


def test_the_merged_lock_has_the_format_of_dvc() -> None:
    """Wrapped commands, quoted strings and floats are written as DVC writes them."""
    wrapped = (
        "PYTHONPATH=src python -m pytest --confcutdir=tests/unit \n      --basetemp=.artifact-flow/gate tests/unit"
    )
    long = stage("a", "a0", params="max_difference: 1e-05").replace("make a", f"\n    - {wrapped}\n    - '1'")
    long = long.replace("cmd: \n", "cmd:\n")
    assert merge(lock(long, B), lock(long, B), lock(long, B1)).content == lock(long, B1).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        "<<<<<<< HEAD\n",
        "schema: '2.0'\nstages: [a]\n",
        "schema: '2.0'\n",
        "stages: {}\n",
        "a: b: c",
        "- a",
        "\0",
        HEAD + "  a: 1\n",
        HEAD + "  a:\n    deps: [b]\n",
        lock(A, A),
    ],
)
def test_a_damaged_side_is_one_sentence(damaged: str, tmp_path: Path) -> None:
    """A file that is not a lock is not merged, and nothing is written."""
    files = [tmp_path / name for name in ("base", "ours", "theirs")]
    for file, text in zip(files, (lock(A), lock(A1), damaged), strict=True):
        file.write_text(text)
    with pytest.raises(
        LockError, match=r"^flows/dvc\.lock of the other branch is damaged \(\w+\), so nothing was merged"
    ):
        merge_files(*files, path=Path("flows/dvc.lock"))
    assert files[1].read_text() == lock(A1)
    assert len(list(tmp_path.iterdir())) == 3


def test_two_schemas_are_not_merged() -> None:
    """The user must decide which of two formats is right."""
    with pytest.raises(LockError, match=r"^dvc\.lock has schema '2\.0' on this branch and '3\.0' on the other one"):
        merge(lock(A), lock(A1), lock(A).replace("2.0", "3.0"))


def test_the_command_merges_into_the_second_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 0 for a clean merge, and 1 with a sentence for an open stage or a damaged lock."""
    files = [tmp_path / name for name in ("base", "ours", "theirs")]
    command = ["merge-lock", *map(str, files)]

    def write(*texts: str) -> None:
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)

    write(lock(A, B), lock(A1, B), lock(A, B1))
    main(command)
    assert files[1].read_text() == lock(A1, B1)
    assert capsys.readouterr() == ("", "")
    write(lock(A, B), lock(A1, B), lock(A2, B1))
    with pytest.raises(SystemExit) as ended:
        main([*command, "flows/dvc.lock"])
    assert ended.value.code == (
        "flows/dvc.lock: no side has reproduced a as merged: run `dvc repro flows/dvc.yaml`, then `git add` its "
        "outputs, and commit."
    )
    assert files[1].read_text() == lock(A1, B1)
    write("", "none", "")
    with pytest.raises(SystemExit, match=r"^error: dvc\.lock of this branch is damaged"):
        main(command)
