"""Real `dvc repro`: what runs again and what does not, what a failure leaves, and how it recovers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from project import OUTPUTS, Project

from artifact_flow.core.base.files import hash_file

AFTER_DATA = ["train", "infer", "export", "quantize"]
ALL = {"test", "data", *AFTER_DATA}


def append_comment(text: str) -> str:
    """Change a source file's bytes and not its meaning."""
    return text + "# a comment\n"


def test_a_second_run_does_nothing(project: Project) -> None:
    """Nothing changed, nothing runs, nothing is written."""
    assert project.repro() == []
    assert project.run("git", "status", "--porcelain") == ""


# A file → the stages that depend on its folder; no stage imports the wings after the blank line
READERS = {
    "requirements/lean.txt": ALL,
    "src/artifact_flow/core/stage.py": ALL,
    "src/artifact_flow/core/stage.sh": ALL,
    "src/artifact_flow/core/base/files.py": ALL,
    "src/artifact_flow/core/table/source.py": ALL,
    "src/artifact_flow/core/model/models.py": ALL - {"data"},
    "src/artifact_flow/portable/export.py": {"test", "export", "quantize"},
    "src/artifact_flow/scale/backend.py": {"test", "train"},
    **{f"src/artifact_flow/stages/{stage}.py": {"test", stage} for stage in sorted(ALL)},
    "src/own/__init__.py": {"train", "infer"},
    "tests/unit/test_gate.py": {"test"},
    "pyproject.toml": {"test"},
    "README.md": set(),
    "tests/pipeline/test_repro.py": set(),
    "src/artifact_flow/__init__.py": set(),
    "src/artifact_flow/cli/verify.py": set(),
    "src/artifact_flow/init/adopt.py": set(),
    "src/artifact_flow/predict/files.py": set(),
    "src/artifact_flow/proof/verify.py": set(),
    "src/artifact_flow/serving/app.py": set(),
    "src/artifact_flow/tracking/runs.py": set(),
}
# An edit of params.yaml → the stage whose block it is in
BLOCKS = {
    ("source: digits", "source: wine"): "data",
    ("test_size: 0.2", "test_size: 0.3"): "data",
    ("seed: 42", "seed: 43"): "data",
    ("stratify: true", "stratify: false"): "data",
    ("LogisticRegression", "RidgeClassifier"): "train",
    ("threads: 1", "threads: 2"): "train",
    ("C: 1.0", "C: 0.5"): "train",
    ("solver: lbfgs", "solver: saga"): "train",
    ("max_iter: 1000", "max_iter: 500"): "train",
    ("max_iter: 1000", "max_iter: 1000\n  tol: 1e-5"): "train",
    ("max_iter: 1000", "max_iter: 1000\n  search: {strategy: grid, space: {C: [1]}}"): "train",
    ("decimals: 8", "decimals: 7"): "infer",
    ("min_agreement: 0.995", "min_agreement: 0.99"): "quantize",
}
# DVC in one process for all edits, each alone in the tree: starting it takes longer than its answer.
STATUSES = """
import json, sys
from pathlib import Path
from dvc.repo import Repo
for path, text in json.load(sys.stdin):
    before = Path(path).read_bytes()
    Path(path).write_text(text)
    with Repo() as repo:
        print(json.dumps(sorted(repo.status())))
    Path(path).write_bytes(before)
"""


def stale_after(project: Project, edits: list[tuple[str, str]]) -> list[set[str]]:
    """Return the stages that DVC calls stale after each of some edits (path, new text)."""
    found = project.run(sys.executable, "-c", STATUSES, given=json.dumps(edits))
    return [set(json.loads(line)) for line in found.splitlines()]


@pytest.mark.slow
def test_a_changed_file_makes_its_readers_stale(project: Project) -> None:
    """Exactly the stages that read a file, directly or by import, are stale when it changes."""
    edits = [(path, append_comment((project.root / path).read_text())) for path in READERS]
    assert dict(zip(READERS, stale_after(project, edits), strict=True)) == READERS
    assert project.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_a_changed_parameter_makes_its_stage_stale(project: Project) -> None:
    """Each parameter belongs to one stage, the one whose block it stands in (the opset to both that write ONNX)."""
    before = (project.root / "params.yaml").read_text()
    assert all(old in before for old, _ in BLOCKS)
    found = stale_after(project, [("params.yaml", before.replace(old, new)) for old, new in BLOCKS])
    assert dict(zip(BLOCKS, found, strict=True)) == {edit: {stage} for edit, stage in BLOCKS.items()}


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"decimals: 8": "decimals: 6"}, ["infer"]),
        ({"opset: 17": "opset: 18"}, ["export", "quantize"]),
        ({"test_size: 0.2": "test_size: 0.25", "C: 1.0": "C: 0.01"}, ["data", *AFTER_DATA]),
    ],
)
@pytest.mark.slow
def test_a_changed_parameter_runs_its_block_and_what_follows(
    project: Project, changes: dict[str, str], stages: list[str]
) -> None:
    """A parameter belongs to one stage; infer's never retrain. Another C alone: test_two_branches_are_compared."""
    for old, new in changes.items():
        project.set_param(old, new)
    assert project.repro() == stages


@pytest.mark.slow
def test_a_searched_model_goes_all_the_way(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found, exported and quantized as any other; where its fits run makes nothing stale."""
    search = "search: {strategy: grid, space: {C: [0.01, 1.0], tol: [0.1, 0.01]}, cv: 2}"
    project.set_param("max_iter: 1000", f"max_iter: 1000\n  {search}")
    assert project.repro() == AFTER_DATA
    params = json.loads((project.root / "contract.json").read_text())["params"]
    assert params["train"]["search"]["space"]["C"] == [0.01, 1.0]
    assert params["best"]["C"] == 0.01
    assert json.loads((project.root / "parity.json").read_text())["rows_within"] == 1797
    assert (project.root / "plots/search.csv").read_text().count("\n") == 1 + 4
    monkeypatch.setenv("ARTIFACT_FLOW_BACKEND", "loky")
    assert project.repro() == []


@pytest.mark.slow
def test_a_change_without_effect_stops_where_the_bytes_are_equal(project: Project) -> None:
    """A comment in the training's code trains again, and the same model is not inferred again."""
    project.edit("src/artifact_flow/scale/backend.py", append_comment)
    assert project.repro() == ["test", "train"]


def test_a_new_test_retrains_nothing(project: Project) -> None:
    """The gate's file holds the verdict, so another passing test leaves it as it is."""
    (project.root / "tests/unit/test_new.py").write_text('def test_new() -> None:\n    """New."""\n')
    assert project.repro() == ["test"]


def test_a_failing_gate_stops_the_training(project: Project) -> None:
    """With a failing test no model is trained, and the earlier one stays."""
    before = project.hashes()
    (project.root / "tests/unit/test_new.py").write_text("def test_new() -> None:\n    assert False\n")
    project.set_param("C: 1.0", "C: 0.5")
    assert project.repro("train", code=255) == ["test"]
    assert project.hashes() == before


@pytest.mark.slow
def test_a_users_own_model_passes_the_gate(project: Project) -> None:
    """The gate tests the code, not the live parameters: it passes with another model and table, which both load."""
    project.edit("tests/unit/test_gate.py", append_comment)
    project.set_param("source: digits", "source: wine")
    project.edit(
        "params.yaml",
        lambda text: (
            text.split("  estimator:")[0]
            + "  estimator: sklearn.tree.DecisionTreeClassifier\n  threads: 1\n  max_depth: 3\n"
            + "infer:\n  decimals: 8\nexport:\n  opset: 17\n  max_difference: 1e-5\n"
        ),
    )
    assert project.repro("train") == ["test", "data", "train"]


def test_bad_parameters_stop_dvc_and_keep_its_outputs(project: Project) -> None:
    """Through DVC too: the sentence, a failing exit code, and the earlier model where it was."""
    before = project.hashes()
    project.set_param("C: 1.0", 'C: "one"')
    printed = project.run("dvc", "repro", code=255)
    assert "error: params.yaml: train.C is 'one'; allowed: a float in the range (0.0, inf]." in printed
    assert "Traceback" not in printed
    assert project.hashes() == before
    project.set_param('C: "one"', "C: 1.0")
    assert project.repro() == []


def test_a_tampered_model_is_made_again(project: Project) -> None:
    """An output that is not the locked one is reproduced from its inputs, to the same bytes."""
    before = project.hashes()
    with (project.root / "model_train.pkl").open("ab") as model:
        model.write(b"\0")
    assert project.repro() == ["train"]
    assert project.hashes() == before


def test_an_edited_contract_is_refused_by_infer(project: Project) -> None:
    """Asked for infer alone, DVC would take the edited contract; the stage does not."""
    project.edit("contract.json", lambda text: text.replace("16.0", "17.0", 1))
    printed = project.run("dvc", "repro", "--single-item", "infer", code=255)
    assert "error: contract.json is not the one that dvc.lock names" in printed


@pytest.mark.slow
def test_an_interrupted_stage_is_recovered(project: Project) -> None:
    """Stopped in the middle of a long fit, DVC and its stage leave the old outputs; the next `dvc repro` ends well."""
    shipped, defaults = project.hashes(), (project.root / "params.yaml").read_text()
    (project.root / "params.yaml").write_text(
        defaults.split("  estimator:")[0]
        + "  estimator: sklearn.ensemble.RandomForestClassifier\n  threads: 1\n  n_estimators: 10000\n"
        + "  verbose: 2\n"
        + "infer:\n  decimals: 8\n"
    )
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(
            ["dvc", "repro", "train"],
            cwd=project.root,
            env=project.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process:
            try:
                assert any(line.startswith("building tree") for line in process.stdout or ())
                os.killpg(process.pid, sign)
                process.communicate(timeout=60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode != 0
        assert project.hashes() == shipped
    project.set_param("n_estimators: 10000", "n_estimators: 10")
    assert project.repro("train") == ["train"]
    assert project.hashes() != shipped
    (project.root / "params.yaml").write_text(defaults)
    assert project.repro() == ["train"]
    assert project.hashes() == shipped
    assert project.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_two_branches_are_compared(project: Project) -> None:
    """On a branch with another C, DVC shows the parameter's and the metrics' way from main."""
    project.run("git", "checkout", "--quiet", "-b", "stronger-regularisation")
    project.set_param("C: 1.0", "C: 0.01")
    assert project.repro() == AFTER_DATA
    project.commit("C 0.01")
    params = json.loads(project.run("dvc", "params", "diff", "main", "--json"))
    assert params == {"params.yaml": {"train.C": {"old": 1.0, "new": 0.01, "diff": -0.99}}}
    metrics = json.loads(project.run("dvc", "metrics", "diff", "main", "--json"))["metrics.json"]
    assert metrics["train.accuracy"]["old"] == 1.0
    assert metrics["train.accuracy"]["new"] < 1.0
    assert metrics["test.log_loss"]["diff"] != 0
    project.run("git", "checkout", "--quiet", "main")
    project.run("dvc", "checkout", "--quiet")
    assert project.repro() == []


def forget_outputs(project: Project) -> None:
    """Remove what DVC caches, as on a machine that was handed cache and lock only."""
    for path in (*OUTPUTS, "tests.json"):
        if path not in ("contract.json", "metrics.json", "parity.json", "quantization.json"):  # these are in git
            (project.root / path).unlink()


def test_cache_and_lock_are_enough_to_go_on(project: Project, built: Project) -> None:
    """Another machine that gets both checks the outputs out and runs nothing again."""
    forget_outputs(project)
    project.run("dvc", "checkout", "--quiet")
    project.run("dvc", "status", "--quiet")
    assert project.repro() == []
    assert project.hashes() == built.hashes()


def tamper_with_cached_model(project: Project, mode: int) -> None:
    """Replace the model in DVC's cache, and leave the object with this mode."""
    md5 = hash_file(project.root / "model_train.pkl", "md5")
    cached = project.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    cached.write_bytes(b"tampered")
    cached.chmod(mode)


@pytest.mark.slow
def test_a_tampered_object_is_noticed_once_it_is_writable(project: Project, built: Project) -> None:
    """`dvc checkout` copies it without a word; `dvc status` tells, and `dvc repro` makes the model again."""
    tamper_with_cached_model(project, 0o644)
    forget_outputs(project)
    project.run("dvc", "checkout", "--quiet")
    project.run("dvc", "status", "--quiet", code=1)
    assert project.repro() == ["train"]
    assert project.hashes() == built.hashes()


def test_a_tampered_object_that_dvc_trusts_is_not_opened(project: Project) -> None:
    """DVC believes a read-only object unseen (so CI makes received ones writable); `infer` still refuses it."""
    tamper_with_cached_model(project, 0o444)
    forget_outputs(project)
    project.run("dvc", "checkout", "--quiet")
    project.run("dvc", "status", "--quiet")
    printed = project.run("dvc", "repro", "--single-item", "--force", "infer", code=255)
    assert "error: model_train.pkl is not the model that contract.json names" in printed


@pytest.mark.parametrize("autocrlf", ["true", "input"])
@pytest.mark.slow
def test_a_clone_that_translates_line_ends_is_clean(project: Project, tmp_path: Path, autocrlf: str) -> None:
    """Whatever core.autocrlf says, a clone has the bytes that dvc.lock names, a table with CR LF included."""
    (project.root / "rows.csv").write_bytes(b"a,b\r\n1,2\r\n")
    project.run("git", "-c", f"core.autocrlf={autocrlf}", "add", "rows.csv")
    project.commit("A table")
    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "--quiet", "--config", f"core.autocrlf={autocrlf}", ".", str(clone.root))
    clone.run("dvc", "config", "--local", "cache.dir", str(project.root / ".dvc/cache"))
    clone.run("dvc", "checkout", "--quiet")
    clone.run("dvc", "status", "--quiet")
    assert (clone.root / "rows.csv").read_bytes() == b"a,b\r\n1,2\r\n"
    assert clone.run("git", "status", "--porcelain") == ""
