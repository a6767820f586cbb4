"""`artifact-flow doctor` finds each fault planted in a real project, alone, and its cure removes it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from project import Project

from artifact_flow.core.base.files import hash_file
from artifact_flow.doctor import project as examined
from artifact_flow.doctor.examination import CHECKS, examine

Find: TypeAlias = Callable[..., list[tuple[str, str, str, str]]]
SRC = Path(__file__).resolve().parents[2] / "src"
IN_NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]


@contextmanager
def changed(project: Project, path: str, content: str | Callable[[str], str] | None) -> Iterator[None]:
    """Write other text into a file, or remove it, and put it back afterwards."""
    file = project.root / path
    before, mode = file.read_bytes() if file.exists() else None, file.stat().st_mode if file.exists() else 0
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content if isinstance(content, str) else content((before or b"").decode()))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        if before is not None:
            file.write_bytes(before)
            file.chmod(mode)


@contextmanager
def configured(project: Project, *setting: str) -> Iterator[None]:
    """Change one of git's settings, and restore the file afterwards."""
    before = (project.root / ".git/config").read_bytes()
    project.run("git", "config", *setting)
    try:
        yield
    finally:
        (project.root / ".git/config").write_bytes(before)


@contextmanager
def moved(place: Path, elsewhere: Path) -> Iterator[None]:
    """Take a file or folder away, and put it back afterwards."""
    shutil.move(place, elsewhere)
    try:
        yield
    finally:
        shutil.move(elsewhere, place)


def only(found: list[tuple[str, str, str, str]]) -> tuple[str, str, str, str]:
    """Return the one finding that there is."""
    assert len(found) == 1, found
    return found[0]


def cure(project: Project, command: str) -> None:
    """Run the steps of a cure."""
    for step in command.split(", then "):
        project.run("sh", "-ec", step)


def test_a_healthy_project_has_no_fault(find: Find) -> None:
    """Nothing is found where nothing is wrong, and the exit code is 0."""
    assert find() == []


def test_what_has_not_run_in_a_clone_is_a_note(
    patient: Project, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a fresh clone is faulty nor one in which only the main flow has run."""
    patient.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    found = find()
    assert [(check, severity) for severity, check, *_ in found if severity == "error"] == []
    assert [(severity, cure) for severity, check, _, cure in found if check == "outputs"] == [
        ("note", "dvc repro dvc.yaml"),
        ("note", "dvc repro flows/dvc.yaml"),
    ]


def test_git(patient: Project, find: Find, tmp_path: Path) -> None:
    """No repository, a shallow clone, and no hooks."""
    with moved(patient.root / ".git", tmp_path / "git"):
        found = only(find())
    assert found[:2] == ("error", "git")
    assert found[2].startswith("this folder is not in a git repository")
    with changed(patient, ".git/shallow", patient.run("git", "rev-parse", "HEAD")):
        found = only(find())
    assert (found[0], found[3]) == ("warning", "git fetch --unshallow --tags")
    with changed(patient, ".git/hooks/pre-commit", None):
        assert [(found[0], found[3]) for found in find()] == [("note", "pre-commit install")]


@pytest.mark.slow
def test_merges_and_line_ends(patient: Project, find: Find) -> None:
    """A merge driver that git does not know, one whose program is missing, and translated line ends."""
    with configured(patient, "--unset", "merge.dvc-lock.driver"):
        found = only(find())
    assert found[2].startswith("git does not know dvc-lock, the merge drivers of .gitattributes")
    assert (found[0], found[3]) == ("warning", "make setup")
    with configured(patient, "merge.dvc-lock.driver", "if [ -x .venv/bin/no ]; then .venv/bin/no %O; fi"):
        found = only(find())
    assert (found[0], found[1], found[3]) == ("warning", "merge drivers", "make setup")
    assert ".venv/bin/no, which does not exist" in found[2]
    with (
        configured(patient, "core.autocrlf", "true"),
        changed(patient, ".gitattributes", lambda text: text.replace("* -text", "")),
    ):
        found = only(find())
        assert (found[0], found[1]) == ("warning", "line ends")
        cure(patient, found[3])
        assert find() == []


def test_parameters_and_pipeline(patient: Project, find: Find) -> None:
    """A wrong value, a params.yaml that is not YAML, one of a flow, a dvc.yaml that is not YAML or not DVC's."""
    with changed(patient, "params.yaml", lambda text: text.replace("threads: 1", "threads: 0")):
        found = only(find())
    assert found[:2] == ("error", "parameters")
    assert found[2].startswith("params.yaml: train.threads")
    with changed(patient, "params.yaml", lambda text: text + "  - x: [\n"):
        found, *_ = find()
    assert found[:2] == ("error", "parameters")
    assert "is not YAML" in found[2]
    with changed(patient, "flows/params.yaml", lambda text: text.replace("seed: 42", "seed: -1")):
        found = only(find())
    assert found[2].startswith("flows/params.yaml: data.seed")
    assert found[2].endswith("(flow iris)")
    with changed(patient, "dvc.yaml", lambda text: f"<<<<<<< HEAD\n{text}"):
        found = only(find())
    assert found[:2] == ("error", "pipeline")
    assert found[3] == "edit dvc.yaml until `dvc stage list` lists its stages"
    with changed(patient, "dvc.yaml", lambda text: text.replace("    desc: The gate.", "    bogus: The gate.")):
        found = only(find())
    assert found[:2] == ("error", "DVC")
    assert "'./dvc.yaml' validation failed" in found[2]


def test_lock(patient: Project, find: Find) -> None:
    """A lock that is missing, in conflict, or names a stage that dvc.yaml does not have."""
    with changed(patient, "dvc.lock", None):
        found = only(find())
        assert found[:2] == ("error", "lock")
        cure(patient, found[3].partition(", then")[0])
        assert find() == []
    with changed(patient, "flows/dvc.lock", lambda text: f"<<<<<<< HEAD\n{text}"):
        found = only(find())
    assert found[:2] == ("error", "lock")
    assert found[2].startswith("flows/dvc.lock is damaged or holds a merge conflict")
    assert found[3] == "git checkout HEAD -- flows/dvc.lock, then dvc repro flows/dvc.yaml"
    with changed(patient, "dvc.lock", lambda text: text + "  old:\n    cmd: x\n    outs: []\n"):
        found = only(find())
    assert (found[0], found[1], found[3]) == ("warning", "lock", "delete old from dvc.lock")


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("metrics.json", "{}", ("is not as dvc.lock names it", "git checkout HEAD -- metrics.json")),
        ("model.onnx", "another", ("is not as dvc.lock names it", "dvc checkout --force model.onnx")),
        ("flows/iris/predictions.csv", None, ("is missing; DVC's cache has", "dvc checkout flows/dvc.yaml")),
    ],
)
def test_an_output(patient: Project, find: Find, path: str, content: str | None, expected: tuple[str, str]) -> None:
    """An output that was edited, replaced or deleted comes back from git or from DVC's cache."""
    with changed(patient, path, content):
        found = only(find())
        assert (found[0], found[1], found[3]) == ("error", "outputs", expected[1])
        assert found[2].startswith(f"{path} {expected[0]}")
        cure(patient, found[3])
        assert find() == []


@pytest.mark.slow
def test_data_of_a_dvc_file(patient: Project, find: Find) -> None:
    """Edited data is to be added or restored, a file or a folder; missing data comes from DVC's cache."""
    (patient.root / "pictures").mkdir()
    (patient.root / "pictures/a").write_text("a")
    with changed(patient, ".gitignore", lambda text: text):
        patient.run("dvc", "add", "--quiet", "pictures")
        patient.run("git", "add", "pictures.dvc")
        (patient.root / "pictures/b").write_text("b")
        found = only(find())
        assert (found[0], found[2]) == ("warning", "pictures is not as pictures.dvc names it")
        assert found[3] == "dvc add pictures, or to undo: dvc checkout --force pictures"
        shutil.rmtree(patient.root / "pictures")
        found = only(find())
        assert (found[0], found[3]) == ("error", "dvc checkout pictures.dvc")
        cure(patient, found[3])
        assert find() == []
        patient.run("git", "rm", "--quiet", "--force", "pictures.dvc")
        shutil.rmtree(patient.root / "pictures")


def object_of(project: Project, path: str) -> str:
    """Return the path of an output's object in DVC's cache."""
    md5 = hash_file(project.root / path, "md5")
    return f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"


@pytest.mark.slow
def test_a_missing_object(patient: Project, find: Find) -> None:
    """It comes from the file in the workspace; if that is gone too, from the remote or from its stage."""
    place = object_of(patient, "model_train.pkl")
    with changed(patient, place, None):
        found = only(find())
        assert (found[0], found[1], found[3]) == ("warning", "cache", "dvc commit dvc.yaml")
        cure(patient, found[3])
        assert find() == []
        (patient.root / place).unlink()
        with changed(patient, "model_train.pkl", None):
            found = only(find())
        assert found[:2] == ("error", "outputs")
        assert found[2] == "model_train.pkl is missing, and there is no copy here"
        assert found[3] == "dvc pull dvc.yaml, or dvc repro dvc.yaml"


@pytest.mark.slow
def test_a_damaged_object(patient: Project, find: Find) -> None:
    """It is found although DVC trusts it, because it is read-only, and comes from the workspace."""
    place = object_of(patient, "model_train.pkl")
    with changed(patient, place, "damaged"):
        (patient.root / place).chmod(0o444)
        found = only(find())
        assert (found[0], found[1], found[3]) == ("error", "cache", f"rm -f {place}, then dvc commit dvc.yaml")
        cure(patient, found[3])
        assert find() == []


@pytest.mark.slow
def test_stages(patient: Project, find: Find) -> None:
    """Stages whose parameter or code changed, and a dependency that is missing."""
    with changed(patient, "params.yaml", lambda text: text.replace("C: 1.0", "C: 2.0")):
        found = only(find())
    assert (found[0], found[1], found[3]) == ("warning", "stages", "dvc repro")
    assert found[2].startswith("train is stale: params.yaml: train changed since dvc.lock was written")
    with changed(patient, "src/artifact_flow/stages/infer.py", lambda text: f"{text}\n"):
        main_flow, iris = find()
    assert main_flow[2].startswith("test, infer are stale: src/artifact_flow/stages, src/artifact_flow/stages/infer.py")
    assert (iris[0], iris[3]) == ("warning", "dvc repro flows/dvc.yaml")
    shutil.rmtree(patient.root / "src/own")
    missing, *_ = find()
    assert (missing[0], missing[1], missing[3]) == ("error", "stages", "git checkout HEAD -- src/own")
    cure(patient, missing[3])
    assert find() == []


@pytest.mark.slow
def test_a_contract_that_a_forged_lock_hides(patient: Project, find: Find) -> None:
    """Parameters changed and accepted by `dvc commit`: DVC finds nothing to do, but the model has the old ones."""
    with (
        changed(patient, "dvc.lock", lambda text: text),
        changed(patient, "params.yaml", lambda text: text.replace("C: 1.0", "C: 2.0")),
    ):
        patient.run("dvc", "commit", "--force", "train")
        found = only(find())
    assert (found[0], found[1], found[3]) == ("error", "contracts", "dvc repro --force data train")
    assert found[2] == "contract.json was made with train.C 1.0, but params.yaml says 2.0, and dvc.lock hides it"


@pytest.mark.slow
def test_remote(patient: Project, find: Find, tmp_path: Path) -> None:
    """A remote that is missing, unknown or does not listen; none at all is a note."""
    store = patient.root.parent / "store"
    with moved(store, tmp_path / "store"):
        found = only(find())
    assert found[:2] == ("error", "remote")
    assert found[2].endswith("cannot be reached: the folder does not exist")
    settings = ".dvc/config.local"
    with changed(patient, settings, lambda text: text.replace("remote = store", "remote = stor")):
        found = only(find())
    assert found[2] == "DVC's default remote is stor, but no remote has this name"
    with changed(patient, settings, lambda text: text.replace(str(store), "http://127.0.0.1:9/store")):
        found = only(find())
    assert found[2].endswith("cannot be reached: Connection refused")
    with changed(patient, settings, ""):
        found = only(find())
    assert found[:2] == ("note", "remote")


def test_variables(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell exports for BLAS has no effect; other math functions have, unless the model is portable."""
    surroundings = [check for check in CHECKS if check.name in ("variables", "machine")]
    report = examine(examined.Project({**os.environ, "OMP_NUM_THREADS": "8", "GLIBC_TUNABLES": "hwcaps"}), surroundings)
    portable = json.loads(Path("contract.json").read_text()).get("portable", False)
    cures = ["unset OMP_NUM_THREADS"] if portable else ["unset OMP_NUM_THREADS", "unset GLIBC_TUNABLES"]
    assert [found.cure for _, found in report.findings] == cures
    assert not report.failed


@pytest.mark.slow
def test_surroundings(find: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another scikit-learn than the locked one, another Python in the PATH, and no folder of data sets."""
    (tmp_path / "scikit_learn-1.8.0.dist-info").mkdir()
    with monkeypatch.context() as other:
        other.syspath_prepend(tmp_path)
        found = only(find())
    assert found[:2] == ("error", "libraries")
    assert "scikit-learn 1.8.0, not the locked 1.9.1, which may give other bytes" in found[2]
    (tmp_path / "python").write_text("#!/bin/sh\necho /elsewhere\n")
    (tmp_path / "python").chmod(0o755)
    with monkeypatch.context() as other:
        other.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        found = only(find())
    assert (found[0], found[1], found[3]) == ("warning", "PATH", "source .venv/bin/activate")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "nowhere"))
    found = only(find())
    assert found[:2] == ("warning", "data sets")


def test_a_data_set_that_must_be_fetched(patient: Project, find: Find) -> None:
    """It is a note beside the stale stage."""
    with changed(patient, "flows/params.yaml", lambda text: text.replace("source: iris", "source: olivetti_faces")):
        stale, fetched = find()
    assert stale[:2] == ("warning", "stages")
    assert fetched[:2] == ("note", "data sets")


def test_without_any_library(patient: Project, tmp_path: Path) -> None:
    """A Python that has nothing installed is told so, without a traceback, and the checks that need none are made."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-m", "artifact_flow.cli", "doctor"],
        cwd=patient.root,
        env=patient.environ | {"PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "this Python lacks joblib, numpy, onnx and " in done.stdout
    assert "Cure: make setup, then source .venv/bin/activate" in done.stdout


FULL = ".artifact-flow/full"


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("mount --bind . . && mount -o remount,bind,ro . .", "Read-only file system"),
        (f"mkdir -p {FULL} && mount -t tmpfs -o size=64k none {FULL} && cd {FULL}", "No space left on device"),
    ],
)
def test_a_folder_that_takes_no_file(patient: Project, mount: str, reason: str) -> None:
    """A read-only folder and a full disk."""
    if subprocess.run([*IN_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs user namespaces: sysctl -w kernel.unprivileged_userns_clone=1")
    root = "mkdir .dvc" if FULL in mount else "true"
    script = f'{mount} && cd "$PWD" && {root} && exec "$0" -m artifact_flow.cli doctor'
    done = subprocess.run(
        [*IN_NAMESPACE, script, sys.executable],
        cwd=patient.root,
        env=patient.environ | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"({reason}). Cure: free disk space, or allow writing there" in done.stdout
