"""`artifact-flow verify` on real clones: it believes what it reproduced, and nothing else."""

import io
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from project import Project
from rich.console import Console

from artifact_flow.core.base.determinism import is_reference_cpu
from artifact_flow.core.base.errors import VerifyError
from artifact_flow.core.table.builtin import VARIABLE
from artifact_flow.proof.surroundings import AS_IT_IS, QUICK, Surroundings
from artifact_flow.proof.verify import verify_head

SOURCE = Path(__file__).resolve().parents[2]

# Stages with the usual outputs that take no time, for what verify says of any pipeline
PIPELINE = """\
stages:
  data:
    cmd: cp rows.csv data.parquet
    deps: [rows.csv]
    outs: [data.parquet]
  train:
    cmd: cat data.parquet params.yaml > model_train.pkl
    params: [train]
    deps: [data.parquet]
    outs: [model_train.pkl]
  infer:
    cmd:
      - cp rows.csv predictions.csv
      - 'echo "{\\"test\\": {\\"accuracy\\": 0.958}}" > metrics.json'
    deps: [rows.csv, model_train.pkl]
    outs: [predictions.csv]
    metrics:
      - metrics.json: {cache: false}
"""
ROWS = "id,split,target,prediction,probability\n0,train,3,3,0.99999995\n4,test,4,4,0.75\n"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with that pipeline, reproduced and committed; tests get copies."""
    project = Project(tmp_path_factory.mktemp("locked") / "project")
    (project.root / "requirements").mkdir(parents=True)
    shutil.copy(SOURCE / "requirements/lean.txt", project.root / "requirements")
    (project.root / "rows.csv").write_text(ROWS)
    (project.root / "params.yaml").write_text("train:\n  C: 1.0\n")
    (project.root / "dvc.yaml").write_text(PIPELINE)
    (project.root / ".gitignore").write_text("/.artifact-flow/\n/data.parquet\n/model_train.pkl\n/predictions.csv\n")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    project.repro()
    project.commit("Reproduced")
    return project.root


@pytest.fixture
def plain(locked: Path, tmp_path: Path) -> Project:
    """A reproduced project whose stages take no time, that one test may change."""
    return Project(Path(shutil.copytree(locked, tmp_path / "plain", symlinks=True)))


def verify(project: Project, every: Sequence[Surroundings] = (AS_IT_IS,), *pipelines: str) -> tuple[bool, str]:
    """Return the verdict on a project and what it printed."""
    console = Console(file=io.StringIO(), width=200)
    verdict = verify_head(every, pipelines, repository=project.root, console=console).holds
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    return verdict, " ".join(printed.split())


@pytest.mark.slow
def test_an_honest_lock_is_verified(plain: Project) -> None:
    """Every tracked file comes out with the same bytes, and the project is left as it was.

    The shipped pipeline is proven in both surroundings by the README's session.
    """
    (plain.root / "notes.txt").write_text("not committed")
    verdict, printed = verify(plain, QUICK)
    assert verdict
    assert "uncommitted changes; `verify` checks commit" in printed
    assert "5 files, 2 surroundings: 5 same bytes" in printed
    assert plain.run("git", "status", "--porcelain") == "?? notes.txt\n"
    assert list((plain.root / ".artifact-flow").glob("verify*")) == []


def test_a_forged_lock_is_found(plain: Project) -> None:
    """`dvc commit -f` writes an edited output into the lock; a reproduction does not give it."""
    plain.edit("predictions.csv", lambda text: text.replace("4,test,4,4,", "4,test,4,9,"))
    plain.run("dvc", "commit", "--force", "infer")
    plain.commit("Forged")
    assert plain.repro() == []
    verdict, printed = verify(plain)
    assert not verdict
    assert "predictions.csv different all runs agree on different bytes: dvc.lock was edited, forged" in printed
    assert "3 same bytes, 2 different" in printed


@pytest.mark.slow
def test_a_named_pipeline_is_verified_alone(plain: Project) -> None:
    """A forged lock of another pipeline is found when all are verified, and ignored when one pipeline is named."""
    for name in ("dvc.yaml", "params.yaml", "rows.csv", ".gitignore"):
        (plain.root / "other").mkdir(exist_ok=True)
        shutil.copy(plain.root / name, plain.root / "other" / name)
    plain.repro("other/dvc.yaml")
    plain.edit("other/predictions.csv", lambda text: text.replace("4,test,4,4,", "4,test,4,9,"))
    plain.run("dvc", "commit", "--force", "other/dvc.yaml:infer")
    plain.commit("Forged elsewhere")
    assert not verify(plain)[0]
    verdict, printed = verify(plain, (AS_IT_IS,), "dvc.yaml")
    assert verdict
    assert "other/" not in printed


def test_a_changed_model_is_found(plain: Project) -> None:
    """A parameter committed without its reproduction is named as the cause."""
    plain.set_param("C: 1.0", "C: 0.01")
    plain.commit("Another C, not reproduced")
    verdict, printed = verify(plain)
    assert not verdict
    assert "model_train.pkl different dvc.lock was made with a different params.yaml (train)" in printed
    assert "data.parquet same bytes" in printed


def test_an_edited_metrics_file_is_found(plain: Project) -> None:
    """metrics.json in git must equal the one that the lock names."""
    plain.edit("metrics.json", lambda text: text.replace("0.958", "0.998"))
    plain.commit("Better on paper")
    verdict, printed = verify(plain)
    assert not verdict
    assert "metrics.json different the committed file is not the one that dvc.lock names" in printed


@pytest.mark.skipif(not is_reference_cpu(), reason="kernels differ on x86-64 Linux with AVX2 and FMA")
@pytest.mark.slow
def test_code_that_does_not_pin_threads_and_kernel_is_found(project: Project) -> None:
    """Without the pin, bytes of a fit in native arithmetic differ where kernel or threads change, or in every run."""
    project.set_param("arithmetic: fixed", "arithmetic: native")
    project.edit(
        "src/artifact_flow/core/base/determinism.py",
        lambda text: text.replace("\npin(os.", "\n# pin(os."),
    )
    project.edit("dvc.yaml", lambda text: text.partition("\n  infer:\n")[0] + "\n")  # which is enough
    (project.root / "dvc.lock").unlink()
    project.repro()
    project.commit("No pin")
    verdict, printed = verify(project, QUICK)
    assert not verdict
    assert re.search(r"model_train.pkl different (depends on: everything changed|not deterministic)", printed)
    assert "data.parquet same bytes" in printed


def commit_as_another_machine(plain: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit a lock with one probability a little off, and make this a machine on which bytes are not promised."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F")
    plain.edit("predictions.csv", lambda text: text.replace("0.99999995", "0.98", 1))
    plain.run("dvc", "commit", "--force", "infer")
    plain.commit("As another machine would")


def test_predictions_are_compared_where_bytes_are_not_guaranteed(
    plain: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small change of a probability is accepted there; another label is not."""
    commit_as_another_machine(plain, monkeypatch)
    verdict, printed = verify(plain)
    assert verdict
    assert "Bytes are not guaranteed here (GLIBC_TUNABLES selects other math functions): comparing labels" in printed
    assert "predictions.csv same predictions different bytes, as another machine or library may give" in printed
    assert "data.parquet same bytes" in printed


def test_missing_committed_predictions_limit_the_verdict_to_metrics(
    plain: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a clone without DVC's cache only the metrics can be compared, and the table reports only that."""
    commit_as_another_machine(plain, monkeypatch)
    shutil.rmtree(plain.root / ".dvc/cache")
    verdict, printed = verify(plain)
    assert verdict
    assert "predictions.csv same metrics labels not compared: the committed predictions.csv is not in" in printed


def test_verify_ignores_the_git_variables_of_a_hook(
    plain: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run from a hook, which exports GIT_DIR, `verify` uses the repository of the current directory."""
    other = tmp_path / "other"
    plain.run("git", "clone", "--quiet", ".", str(other))
    head = (other / ".git/HEAD").read_text()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert verify(plain)[0]
    assert (other / ".git/HEAD").read_text() == head == (plain.root / ".git/HEAD").read_text()


def test_a_pipeline_that_fails_has_no_verdict(plain: Project) -> None:
    """A commit with a stage that fails cannot be verified, and the last lines of output say why."""
    plain.edit("dvc.yaml", lambda text: text.replace("cat data.parquet params.yaml", "cat data.parquet absent.yaml"))
    plain.commit("Broken")
    with pytest.raises(
        VerifyError, match=r"(?s)fails in a clean clone of commit \w+ \(as it is\).*absent.yaml: No such"
    ):
        verify(plain)


def test_lock_entries_of_deleted_stages_are_ignored(plain: Project) -> None:
    """DVC leaves the entries of deleted stages in the lock; `verify` does not require their files."""
    plain.edit("dvc.yaml", lambda text: text.partition("  infer:")[0])
    plain.repro()
    plain.run("git", "rm", "--quiet", "metrics.json")
    plain.commit("Without infer")
    assert "predictions.csv" in (plain.root / "dvc.lock").read_text()
    verdict, printed = verify(plain)
    assert verdict
    assert "3 files, 1 surroundings: 3 same bytes" in printed


def test_a_commit_without_a_lock_is_an_error(plain: Project) -> None:
    """Without a committed lock there is nothing to verify."""
    plain.run("git", "rm", "--quiet", "dvc.lock")
    plain.commit("No lock")
    with pytest.raises(VerifyError, match=r"has no dvc.lock: run `dvc repro`"):
        verify(plain)


FLOWS = """\
stages:
  data:
    foreach: ${flows}
    do:
      cmd: cp ${item.file} ${key}.csv
      params: ["flows.${key}.data"]
      deps: ["${item.file}"]
      outs: ["${key}.csv"]
  train:
    foreach: ${flows}
    do:
      cmd: cat ${key}.csv ../base.txt > ${key}.txt
      deps: ["${key}.csv", ../base.txt]
      outs: ["${key}.txt"]
"""
BLOCKS = """\
flows:
  here: {file: here.in, data: {source: iris}}
  own: {file: ../own/table.in, data: {source: own}}
  faces: {file: here.in, data: {source: olivetti_faces}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Project:
    """A repository whose stages copy files: `base`, and three flows, of which one reads what git does not keep."""
    project = Project(tmp_path / "small")
    for path, text in {
        "dvc.yaml": "stages:\n  base:\n    cmd: echo 1 > base.txt\n    outs: [base.txt]\n",
        "flows/dvc.yaml": FLOWS,
        "flows/params.yaml": BLOCKS,
        "flows/here.in": "here",
        "own/table.in": "own",
        ".gitignore": "/own/\n/.artifact-flow/\n",
    }.items():
        (project.root / path).parent.mkdir(parents=True, exist_ok=True)
        (project.root / path).write_text(text)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    project.repro("-P")
    project.commit("Reproduced")
    return project


def test_stages_without_their_data_are_left_out_and_the_others_verified(
    small: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow whose data cannot be fetched or was not pulled is left out; the other flows of its lock are verified."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between two tries
    shutil.rmtree(small.root / "own")
    console = Console(file=io.StringIO(), width=1000)
    proof = verify_head([AS_IT_IS], repository=small.root, console=console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert proof.holds
    assert proof.left_out == {
        f"flows/dvc.yaml:{stage}@{flow}" for stage in ("data", "train") for flow in ("own", "faces")
    }
    assert "Not verified: stage flows/dvc.yaml:data@own and 1 after it, because own/table.in is not in the" in printed
    assert "Not verified: stage flows/dvc.yaml:data@faces and 1 after it, because olivetti_faces is not in" in printed
    lines = [line.split("  ")[0].strip() for line in printed.splitlines() if "same bytes" in line]
    assert lines[:-1] == ["base.txt", "dvc.lock", "flows/dvc.lock", "flows/here.csv", "flows/here.txt"]
    assert small.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_left_out_stages_have_their_own_exit_code(
    small: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 3, so that a script can tell it from 0 and 1; with a difference it is 1."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "olivetti_py3.pkz").touch()
    assert "9 same bytes" in small.run("artifact-flow", "verify", "--quick")
    shutil.rmtree(small.root / "own")
    assert "2 stages were skipped because their data is not available" in small.run(
        "artifact-flow", "verify", "--quick", code=3
    )
    small.edit("flows/here.in", lambda text: f"{text} and there")
    small.commit("Not reproduced")
    small.run("artifact-flow", "verify", "--quick", code=1)


def test_nothing_left_to_verify_is_one_sentence(small: Project) -> None:
    """If the data of every stage is missing, `verify` fails with one sentence."""
    small.edit("dvc.yaml", lambda text: text.replace("echo 1 >", "cat own/table.in >") + "    deps: [own/table.in]\n")
    shutil.rmtree(small.root / "flows")
    small.repro()
    small.commit("One stage")
    shutil.rmtree(small.root / "own")
    printed = small.run("artifact-flow", "verify", "--quick", code=1)
    assert "error: no stage is left to verify: provide the data named above." in printed
