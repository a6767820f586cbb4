"""`make sweep`: parameters tried as DVC experiments, by DVC's own queue and worker."""

import re
import shutil
from pathlib import Path

import pytest
from project import Project

from artifact_flow.core.base.errors import TrackError
from artifact_flow.tracking.sweep import list_experiments, run_sweep, tabulate

SWEEP = ["make", "--no-print-directory", "--assume-old=setup", "sweep"]


@pytest.mark.slow
def test_a_sweep_leaves_a_table_and_nothing_else(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value is a row; the files are as they were, the worker has gone, and a branch of one is reproduced.

    A value that was refused has no metrics, its reason is named, and the sweep fails; the others have run.
    """
    printed = project.run(*SWEEP, "SET=train.C=0.1,-1", "JOBS=2", code=2)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    (title, _, *metrics, key), _, *rows = table
    assert (title, key) == ("Experiment", "train.C")
    assert "test.log_loss" in metrics
    found = {row[-1]: row for row in rows}
    assert {value: row[1] for value, row in found.items()} == {"1": "-", "0.1": "success", "-1": "failed"}
    assert all(0 <= float(cell) <= 1 for cell in found["0.1"][2:-1])
    assert set(found["-1"][2:-1]) == {"-"}
    name, failed = (re.findall(r"\[([\w-]+)\]", found[value][0])[0] for value in ("0.1", "-1"))
    assert f"error: no result of {failed}: `dvc queue logs {failed}` shows why." in printed
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", project.environ["DVC_SITE_CACHE_DIR"])
    assert tabulate(list_experiments()) in printed
    with pytest.raises(TrackError, match="`dvc exp run --queue` failed for the reason above: correct the settings"):
        run_sweep(["train.C"], 1)
    assert project.run("git", "status", "--porcelain") == ""
    assert project.repro() == []
    assert not list((project.root / ".dvc/tmp/exps").glob("tmp*"))
    project.run("dvc", "exp", "branch", name, "kept")
    project.run("git", "checkout", "--quiet", "kept")
    project.run("dvc", "checkout", "--quiet")
    assert project.repro() == []


def test_a_sweep_without_values_is_one_sentence(tmp_path: Path) -> None:
    """The sentence says how to give values."""
    shutil.copy(Path(__file__).resolve().parents[2] / "Makefile", tmp_path)
    printed = Project(tmp_path).run(*SWEEP, code=2)
    assert 'sweep needs parameters and values: make sweep SET="train.C=0.01,0.1,1 train.max_iter=100,1000"' in printed
