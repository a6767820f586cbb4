"""`make sweep`: parameters tried as DVC experiments, by DVC's own queue and worker."""

import re
import shutil
from pathlib import Path

from project import Project

SWEEP = ["make", "--no-print-directory", "--assume-old=setup", "sweep"]


def test_a_sweep_leaves_a_table_and_nothing_else(project: Project) -> None:
    """Each value is a row; the files are as they were, the worker has gone, and a branch of one is reproduced."""
    printed = project.run(*SWEEP, "SET=infer.decimals=2,12", "JOBS=2")
    rows = re.findall(r"^\| .── \w+ \[([\w-]+)\] \| Success \|.* (\d+) +\|$", printed, re.MULTILINE)
    assert {decimals for _, decimals in rows} == {"2", "12"}
    assert project.run("git", "status", "--porcelain") == ""
    assert project.repro() == []
    assert not list((project.root / ".dvc/tmp/exps").glob("tmp*"))
    name = rows[0][0]
    project.run("dvc", "exp", "branch", name, "kept")
    project.run("git", "checkout", "--quiet", "kept")
    project.run("dvc", "checkout", "--quiet")
    assert project.repro() == []


def test_a_sweep_says_what_it_needs(tmp_path: Path) -> None:
    """Without values it is one sentence."""
    shutil.copy(Path(__file__).resolve().parents[2] / "Makefile", tmp_path)
    printed = Project(tmp_path).run(*SWEEP, code=2)
    assert 'sweep needs to know what to try: make sweep SET="train.C=0.01,0.1,1 train.max_iter=100,1000"' in printed
