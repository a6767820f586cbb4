"""The stages that we read out of a dvc.yaml are those that DVC itself lists."""

from pathlib import Path

import pytest
from project import Project

from artifact_flow.core.base.pipeline import read_pipeline

ROOT = Path(__file__).resolve().parents[2]


def listed(root: Path, pipeline: str = "dvc.yaml") -> set[str]:
    """Return the names of the stages in a dvc.yaml, as DVC lists them."""
    names = Project(root).run("dvc", "stage", "list", "--name-only", pipeline).split()
    return {name.removeprefix(f"{pipeline}:") for name in names}


@pytest.mark.parametrize("folder", [".", "flows"])
def test_this_repository_has_the_stages_that_dvc_lists(folder: str) -> None:
    """Those of the main flow, and of each of the others."""
    pipeline = read_pipeline(ROOT / folder)
    if pipeline is None:
        pytest.skip(f"{folder} holds no dvc.yaml")
    assert set(pipeline.stages) == listed(ROOT, str(Path(folder) / "dvc.yaml"))


@pytest.mark.parametrize("over", ["${a.b}", "[1, x]", "[{n: 1}, {n: 2}]", "{p: 1, q: 2}"])
@pytest.mark.slow
def test_a_foreach_has_the_stages_that_dvc_lists(tmp_path: Path, over: str) -> None:
    """Over parameters, a list of values or of mappings, and a mapping."""
    Project(tmp_path).run("dvc", "init", "--no-scm", "--quiet")
    (tmp_path / "params.yaml").write_text("a: {b: {one: 1, two: 2}}\n")
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  s:\n    foreach: {over}\n    do: {{cmd: echo}}\n")
    pipeline = read_pipeline(tmp_path)
    assert pipeline is not None
    assert set(pipeline.stages) == listed(tmp_path)
