"""An examination makes every check that it can, whatever the others raise, in any folder."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifact_flow.core.base.errors import LockError
from artifact_flow.doctor import environment
from artifact_flow.doctor.examination import CHECKS, Check, examine
from artifact_flow.doctor.findings import Finding
from artifact_flow.doctor.project import Project

HERE = Project(dict(os.environ))


def lack(project: Project) -> Iterator[Finding]:
    """A check that needs a library which is not installed."""
    import no_such_library  # type: ignore[import-not-found] # noqa: F401

    yield Finding("", "", "")


def stumble(project: Project) -> list[Finding]:
    """A check with a bug."""
    raise ZeroDivisionError("by\nzero")


def refuse(project: Project) -> list[Finding]:
    """A check that meets a file it cannot read."""
    raise LockError("dvc.lock is damaged: restore it.")


def warn(project: Project) -> list[Finding]:
    """A check that finds something."""
    return [Finding("place", "it is odd", "leave it", "warning")]


def test_no_check_ends_the_examination() -> None:
    """What a check raises is a finding, or the reason why it was not made; a warning lets those go on that need it."""
    checks = (
        Check("lack", lack),
        Check("stumble", stumble),
        Check("refuse", refuse),
        Check("warn", warn),
        Check("after lack", warn, ("lack",)),
        Check("after refuse", warn, ("warn", "refuse")),
        Check("after warn", warn, ("warn",)),
    )
    report = examine(HERE, checks)
    assert report.failed
    assert report.left_out == {
        "lack": "no_such_library cannot be imported",
        "after lack": "first mend: lack",
        "after refuse": "first mend: refuse",
    }
    assert report.as_text() == (
        "error: the check stumble ended with ZeroDivisionError: by zero. "
        "Cure: report this as a bug of artifact-flow, if nothing above explains it\n"
        "error: dvc.lock is damaged. Cure: restore it\n"
        "warning: it is odd. Cure: leave it\n"
        "warning: it is odd. Cure: leave it\n"
        "not checked because of the errors: lack, after lack, after refuse\n"
        "2 errors, 2 warnings: 4 checks"
    )
    assert examine(HERE, [Check(name, lambda _: []) for name in "ab"]).as_text() == "no fault found: 2 checks"


def test_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a project the sentences say what it lacks, also when there is a git repository without a commit."""
    monkeypatch.chdir(tmp_path)
    project = Project({**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    printed = examine(project, CHECKS).as_text()
    assert "error: this folder is not in a git repository, or git is not installed" in printed
    assert "error: this folder is not the root of a DVC project. Cure: cd into the project, or: dvc init" in printed
    assert "error: there is no dvc.yaml" in printed
    assert "not checked because of the errors: history, merge drivers" in printed
    subprocess.run(["git", "init", "--quiet"], check=True)
    printed = examine(Project(dict(os.environ)), CHECKS).as_text()
    assert "error: the git repository has no commit. Cure: git add --all && git commit" in printed


def test_a_python_that_is_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer one than the newest that is tested is a warning."""
    monkeypatch.setattr(environment, "NEWEST", (3, 10))
    (found,) = environment.check_python(HERE)
    assert found.severity == "warning"
    assert "is newer than 3.10, the newest that is tested" in found.what


def test_no_program_in_the_path() -> None:
    """Each program that the stages need is named."""
    found = list(environment.check_path(Project({"PATH": ""})))
    assert [(one.severity, one.what.partition(" in ")[0]) for one in found] == [
        ("error", "there is no python"),
        ("error", "there is no dvc"),
    ]
