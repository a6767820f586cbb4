"""Two branches that both reproduced, merged by real git with the drivers that `make setup` installs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from project import Project

from artifact_flow.core.base.lock import parse_lock

SOURCE = Path(__file__).resolve().parents[2]
OPEN_MODEL = ["infer", "export", "quantize"]
C, DECIMALS = ("C: 1.0", "C: 0.5"), ("decimals: 8", "decimals: 6")
# Each from main, with this change of params.yaml, reproduced and committed
BRANCHES = {
    "c": C,
    "decimals": DECIMALS,
    "agreement": ("agreement: 0.995", "agreement: 0.99"),
    "there": ("C: 1.0", "C: 0.1"),
}


@pytest.fixture(scope="module")
def branched(built: Project, once: Callable[[str, Callable[[Path], object]], Path]) -> Project:
    """A project with the drivers of `make setup`, its environment in .venv, as a clone has them, and four branches."""

    def make(folder: Path) -> None:
        project = Project(Path(shutil.copytree(built.root, folder, symlinks=True)))
        (project.root / ".venv/bin").mkdir(parents=True)
        (project.root / ".venv/bin/artifact-flow").symlink_to(Path(sys.executable).with_name("artifact-flow"))
        project.run("make", "--no-print-directory", "--eval", "tell: ; $(drivers)", "tell")
        for name, change in BRANCHES.items():
            branch(project, name, change)

    return Project(once("branched", make))


@pytest.fixture
def forked(branched: Project, tmp_path: Path) -> Project:
    """A copy of it that one test may change."""
    return Project(Path(shutil.copytree(branched.root, tmp_path / "project", symlinks=True)))


def branch(project: Project, name: str, change: tuple[str, str]) -> None:
    """Change a parameter on a new branch from main, reproduce, commit, and go back to main."""
    project.run("git", "checkout", "--quiet", "-b", name, "main")
    project.set_param(*change)
    project.repro()
    project.commit(name)
    go_to(project, "main")


def go_to(project: Project, name: str) -> None:
    """Check out a branch and its outputs."""
    project.run("git", "checkout", "--quiet", name)
    project.run("dvc", "checkout", "--quiet")


def merge(project: Project, name: str, code: int = 0) -> str:
    """Merge a branch as somebody who has not activated the environment."""
    return project.run("env", "PATH=/usr/bin:/bin", "git", "merge", "--no-edit", name, code=code)


def lock_of(project: Project) -> str:
    """Return the text of dvc.lock, which is one: no marks of a conflict."""
    content = (project.root / "dvc.lock").read_bytes()
    assert parse_lock(content)
    return content.decode()


def stale(project: Project) -> Mapping[str, object]:
    """Return what `dvc status` says."""
    return dict(json.loads(project.run("dvc", "status", "--json")))


def conflicts(project: Project) -> list[str]:
    """Return the paths that git leaves unmerged."""
    return project.run("git", "diff", "--name-only", "--diff-filter=U").split()


@pytest.mark.slow
def test_independent_changes_of_stages_are_merged(forked: Project) -> None:
    """One branch changed a parameter of infer, the other one of quantize: git merges cleanly, and no stage is stale."""
    go_to(forked, "decimals")
    merge(forked, "agreement")
    merged = lock_of(forked)
    forked.run("dvc", "checkout", "--quiet")
    assert forked.repro() == []
    assert lock_of(forked) == merged
    assert forked.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_two_parameters_are_merged_and_reproduced(forked: Project) -> None:
    """C on one branch, decimals on the other: infer ran with neither pair, so git stops, and `dvc repro` ends it.

    From either side: a valid lock before, and after it the bytes that main gives with both parameters.
    """
    locks = []
    for here, there in (("c", "decimals"), ("decimals", "c")):
        go_to(forked, here)
        forked.run("git", "checkout", "--quiet", "--detach")
        printed = merge(forked, there, code=1)
        assert "dvc.lock: no side has reproduced infer as merged: run `dvc repro`, then `git add`" in printed
        assert conflicts(forked) == ["dvc.lock"]
        assert "C: 0.5" in (forked.root / "params.yaml").read_text()
        assert "decimals: 6" in (forked.root / "params.yaml").read_text()
        lock_of(forked)
        forked.run("dvc", "checkout", "--quiet")
        assert set(stale(forked)) == {"infer"}
        assert forked.repro() == ["infer"]
        locks.append((lock_of(forked), forked.hashes()))
        forked.commit("Merged")
        assert forked.repro() == []
        assert forked.run("git", "status", "--porcelain") == ""
    go_to(forked, "main")
    forked.set_param(*C)
    forked.set_param(*DECIMALS)
    assert forked.repro() == ["train", *OPEN_MODEL]
    assert locks == [(lock_of(forked), forked.hashes())] * 2


@pytest.mark.slow
def test_a_conflict_in_one_parameter_is_left_to_the_user(forked: Project) -> None:
    """Both branches changed C: git reports a conflict in params.yaml, and the lock matches whichever value is kept."""
    go_to(forked, "c")
    printed = merge(forked, "there", code=1)
    assert "no side has reproduced export, infer, quantize, train as merged" in printed
    assert conflicts(forked) == ["dvc.lock", "params.yaml"]
    assert lock_of(forked) == forked.run("git", "show", "c:dvc.lock")
    for side, kept, runs in (("--ours", "c", []), ("--theirs", "there", ["train", *OPEN_MODEL])):
        forked.run("git", "checkout", side, "params.yaml")
        assert forked.repro() == runs
        assert forked.run("git", "diff", kept) == ""
    forked.commit("Settled")
    assert forked.repro() == []


def test_a_damaged_lock_leaves_this_branchs_file(forked: Project) -> None:
    """With committed conflict markers git stops with one sentence and keeps this branch's lock."""
    forked.run("git", "checkout", "--quiet", "-b", "damaged", "main")
    forked.edit("dvc.lock", lambda text: "<<<<<<< HEAD\n" + text)
    forked.commit("Marks")
    go_to(forked, "c")
    printed = merge(forked, "damaged", code=1)
    assert "error: dvc.lock of the other branch is damaged" in printed
    assert "Traceback" not in printed
    assert lock_of(forked) == forked.run("git", "show", "c:dvc.lock")


def test_a_linked_worktree_without_an_environment_says_what_it_needs(forked: Project) -> None:
    """It shares git's settings but not .venv: a conflict with this branch's lock in place, and one sentence."""
    forked.run("git", "worktree", "add", "--quiet", "../linked", "decimals")
    linked = Project(forked.root.parent / "linked")
    printed = merge(linked, "agreement", code=1)
    assert "dvc.lock: not merged, because this worktree has no .venv: git merge --abort, make setup, then" in printed
    assert conflicts(linked) == ["dvc.lock"]
    assert lock_of(linked) == forked.run("git", "show", "decimals:dvc.lock")
    linked.run("git", "merge", "--abort")
    (linked.root / ".venv").symlink_to(forked.root / ".venv")
    merge(linked, "agreement")
    assert linked.run("git", "status", "--porcelain") == ""


def test_setup_works_outside_a_repository(tmp_path: Path) -> None:
    """An unpacked archive is set up too, and a repository around it is not changed."""
    (tmp_path / "inside").mkdir()
    Project(tmp_path).run("git", "init", "--quiet")
    before = (tmp_path / ".git/config").read_bytes()
    makefile = str(SOURCE / "Makefile")
    command = ["make", "--no-print-directory", "-f", makefile, "--eval", "tell: ; $(drivers)", "tell"]
    subprocess.run(command, cwd=tmp_path / "inside", check=True)
    assert (tmp_path / ".git/config").read_bytes() == before
