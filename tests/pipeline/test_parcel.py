"""A job receives what the jobs before it handed over, and nothing that somebody put in its place on the way."""

import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import pytest
from forgery import KINDS
from project import Project

from artifact_flow.core.base.errors import ParcelError
from artifact_flow.core.base.files import hash_file
from artifact_flow.proof.parcel import MANIFEST, Parcel, list_files, pack, parse_manifest, read_parcels, receive, unpack

COMMAND = "artifact-flow"


def clone(project: Project, root: Path) -> Project:
    """Return a fresh checkout of a project, as a job begins with one."""
    project.run("git", "clone", "--quiet", "--no-hardlinks", str(project.root), str(root))
    return Project(root)


def hand_over(project: Project, folder: Path, name: str, *stages: str, earlier: tuple[Parcel, ...] = ()) -> Parcel:
    """Pack what stages left into the folder's parcel of that name."""
    return pack(project.root, stages, name, folder / name, earlier)


def paths(folder: Path, parcel: Parcel) -> set[str]:
    """Return what a parcel holds, but for objects."""
    held = parse_manifest((folder / parcel.name / MANIFEST).read_bytes())
    return {path for path in held if not path.startswith(".dvc/cache/")}


def everything(root: Path) -> dict[str, str]:
    """Return each file of a workspace, but for git's, by its hash."""
    found = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(root)): hash_file(path) for path in found if "tmp" not in path.parts}


@pytest.mark.parametrize("kind", KINDS)
def test_a_forged_parcel_is_refused_before_anything_is_opened(project: Project, tmp_path: Path, kind: str) -> None:
    """Whatever agrees with itself, the digest that travelled apart does not agree with it; the workspace stays."""
    told = hand_over(project, tmp_path / "parcels", "train", "train")
    KINDS[kind](tmp_path / "parcels/train", tmp_path / "ran")
    job = clone(project, tmp_path / "job")
    before = everything(job.root)
    arguments = "--from", str(tmp_path / "parcels"), "--parcels", json.dumps([told.model_dump()])
    printed = job.run(COMMAND, "receive", *arguments, "train", code=1)
    assert printed.startswith("error: train ")
    assert "nothing of it was opened: run the whole workflow again" in printed
    assert everything(job.root) == before
    assert not (tmp_path / "ran").exists()


def test_only_the_digest_tells_a_consistent_forgery(project: Project, tmp_path: Path) -> None:
    """With the digest of the forged manifest all else fits, down to the pickle that runs: the forgery is a real one."""
    hand_over(project, tmp_path / "parcels", "train", "train")
    KINDS["all changed consistently"](tmp_path / "parcels/train", tmp_path / "ran")
    forged = Parcel(name="train", sha256=hash_file(tmp_path / "parcels/train" / MANIFEST))
    job = clone(project, tmp_path / "job")
    assert receive(job.root, tmp_path / "parcels", [forged], ["train"]) == ["test", "data", "train"]
    joblib.load(job.root / "model_train.pkl")
    assert (tmp_path / "ran").is_file()


def test_jobs_receive_what_each_one_before_added(project: Project, tmp_path: Path) -> None:
    """Each parcel holds what its own stages left; together they are all, nothing runs again, and the lock stays."""
    parcels, folder = [], tmp_path / "parcels"
    jobs = [("test", ["test"]), ("train", ["train"]), ("infer", ["infer"]), ("export", ["infer", "export", "quantize"])]
    for number, (name, stages) in enumerate(jobs):
        job = clone(project, tmp_path / f"job {number}")
        if parcels:
            received = receive(job.root, folder, parcels, jobs[number - 1][1])
            assert job.repro(*stages)[-1:] == stages[-1:]
            assert not set(job.repro(*stages)) & set(received)
        else:
            job.repro(*stages)
        parcels.append(hand_over(job, folder, name, *stages, earlier=tuple(parcels)))
    last = clone(project, tmp_path / "last")
    assert receive(last.root, folder, parcels, jobs[-1][1]) == ["test", "data", "train", "infer", "export", "quantize"]
    assert last.hashes() == project.hashes()
    assert last.run("git", "status", "--porcelain") == ""
    assert [paths(folder, parcel) for parcel in parcels] == [
        {"dvc.lock", "tests.json"},
        {"contract.json", "data.parquet", "model_train.pkl", "plots/search.csv"},
        {
            "metrics.json",
            "plots/confusion.csv",
            "plots/curves.csv",
            "plots/importance.csv",
            "plots/predicted_actual.csv",
            "predictions.csv",
        },
        {"model.onnx", "model_quantized.onnx", "parity.json", "plots/float_8bit.csv", "quantization.json"},
    ]


OWN = """\
  words:
    cmd: mkdir -p words/two && echo 1 > words/one.txt && echo 2 > words/two/2.txt && echo '{}' > words.json
    deps: [params.yaml]
    outs:
      - words
      - words.json: {cache: false}
  lists:
    cmd: mkdir -p lists && echo 3 > lists/3.txt
    outs:
      - lists: {cache: false}
  said:
    cmd: cat words.json
    deps: [words.json]
  always:
    cmd: echo here
  copied:
    cmd: cp words.json lists.json
    deps: [words, words.json, lists]
    frozen: true
    outs: [lists.json]
"""


def test_stages_of_ones_own_are_handed_over(project: Project, tmp_path: Path) -> None:
    """The lock says what there is: directories, files that only git keeps, stages that are frozen or leave nothing."""
    project.edit("dvc.yaml", lambda text: text.replace("stages:\n", f"stages:\n{OWN}", 1))
    project.edit("dvc.yaml", lambda text: text.replace("frozen: true", "frozen: false"))
    own = ["words", "lists", "said", "always", "copied"]
    project.repro(*own)
    project.edit("dvc.yaml", lambda text: text.replace("frozen: false", "frozen: true"))
    project.edit(".gitignore", lambda text: f"{text}/words.json\n/lists/\n")
    project.commit("Stages of my own")
    told = hand_over(project, tmp_path / "parcels", "own", *own)
    assert paths(tmp_path / "parcels", told) == {
        "dvc.lock",
        "lists.json",
        "lists/3.txt",
        "words.json",
        "words/one.txt",
        "words/two/2.txt",
    }
    job = clone(project, tmp_path / "job")
    kept = receive(job.root, tmp_path / "parcels", [told], own)
    assert {"words", "lists", "said"} <= set(kept)
    assert "always" not in kept
    assert job.repro(*own) == ["always"]
    assert (job.root / "words/two/2.txt").read_text() == "2\n"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("nothing", "parcels/train is not there: download the artifact train into it first"),
        ("no manifest", "train is not what the job before handed over: its manifest has the sha256 e3b0c44298fc…"),
        ("a file less", "train lacks [0-9a-f]{64}; nothing of it was opened"),
        ("a link", "train holds .*, which is not a plain file; nothing of it was opened"),
        ("a folder", "train holds more, which is not a plain file"),
    ],
)
def test_a_parcel_that_is_not_whole_is_refused(built: Project, tmp_path: Path, change: str, sentence: str) -> None:
    """What is missing, and what is no file, is named; nothing is copied."""
    told = hand_over(built, tmp_path / "parcels", "train", "train")
    folder = tmp_path / "parcels/train"
    some = next(path for path in sorted(folder.iterdir()) if path.name != MANIFEST)
    if change == "nothing":
        shutil.rmtree(folder)
    elif change == "no manifest":
        (folder / MANIFEST).unlink()
    elif change == "a file less":
        some.unlink()
    elif change == "a link":
        some.rename(tmp_path / "elsewhere")
        some.symlink_to(tmp_path / "elsewhere")
    else:
        (folder / "more").mkdir()
    with pytest.raises(ParcelError, match=sentence):
        unpack(tmp_path, tmp_path / "parcels", [told])


def rewrite(folder: Path, files: dict[str, bytes]) -> Parcel:
    """Write a parcel with these files and return what its own job would tell of it."""
    import forgery

    folder.mkdir(parents=True)
    forgery.write(folder, files)
    return Parcel(name=folder.name, sha256=hash_file(folder / MANIFEST))


@pytest.mark.parametrize("path", ["Makefile", "new.py", ".git/hooks/post-checkout", ".dvc/config"])
def test_only_what_dvc_yaml_declares_is_copied(built: Project, tmp_path: Path, path: str) -> None:
    """A job that was taken over hands over no code to the next: the commit says what an output is."""
    told = rewrite(tmp_path / "parcels/train", {path: b"", "dvc.lock": b""})
    job = clone(built, tmp_path / "job")
    before = everything(job.root)
    with pytest.raises(ParcelError, match=rf"{path} was handed over, but no dvc.yaml of this commit declares it"):
        unpack(job.root, tmp_path / "parcels", [told])
    assert everything(job.root) == before


def test_an_object_must_be_what_its_name_says(built: Project, tmp_path: Path) -> None:
    """DVC believes what lies in its cache; on receipt an object's md5 is its name."""
    name = f".dvc/cache/files/md5/00/{'0' * 30}"
    told = rewrite(tmp_path / "parcels/train", {name: b"another"})
    job = clone(built, tmp_path / "job")
    with pytest.raises(ParcelError, match=rf"{name}: objects that are not what their names say; nothing of it was"):
        unpack(job.root, tmp_path / "parcels", [told])


def test_a_damaged_cache_is_not_handed_over(project: Project, tmp_path: Path) -> None:
    """The job that made it stops, and says what helps."""
    md5 = hash_file(project.root / "model_train.pkl", "md5")
    damaged = project.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    with pytest.raises(ParcelError, match=rf"{md5[2:]} in DVC's cache is not what its name says, so nothing was"):
        hand_over(project, tmp_path / "parcels", "train", "train")
    assert not (tmp_path / "parcels").exists()


def test_what_does_not_fit_the_lock_is_refused(project: Project, tmp_path: Path) -> None:
    """An output that was edited after its stage is found by DVC, and named."""
    project.edit("metrics.json", lambda text: text.replace("0.958", "0.998"))
    told = hand_over(project, tmp_path / "parcels", "infer", "infer")
    job = clone(project, tmp_path / "job")
    with pytest.raises(ParcelError, match=r"handed over is not what its dvc.lock names .*metrics.json.*modified"):
        receive(job.root, tmp_path / "parcels", [told], ["infer"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff", "the manifest is no text"),
        (b"no line\n", "the manifest holds a line that names no file .'no line'."),
        (f"{'0' * 64}  /etc/passwd\n".encode(), "the manifest names '/etc/passwd', which leaves the folder"),
        (f"{'0' * 64}  a/../../b\n".encode(), "the manifest names 'a/../../b', which leaves the folder"),
        (f"{'0' * 64}  ./a\n".encode(), "the manifest names './a', which leaves the folder or stands there twice"),
        (f"{'0' * 64}  a\n{'1' * 64}  a\n".encode(), "the manifest names 'a', which leaves the folder or stands"),
    ],
)
def test_a_manifest_stays_in_the_folder(content: bytes, sentence: str) -> None:
    """Absolute paths, parents and names that stand twice are refused, even with the right digest."""
    with pytest.raises(ParcelError, match=sentence):
        parse_manifest(content)


@pytest.mark.parametrize("given", ["{", '[{"name": "../x", "sha256": "%s"}]' % ("0" * 64), '[{"name": "x"}]', "x"])
def test_what_names_no_parcels_is_one_sentence(given: str) -> None:
    """A name is that of a folder, and a digest is whole."""
    with pytest.raises(ParcelError, match=r"does not name parcels: give what `artifact-flow hand-over` printed"):
        read_parcels(given)
    assert read_parcels("") == []


def test_mistakes_at_the_command_are_one_sentence(project: Project, tmp_path: Path) -> None:
    """A stage that no lock names, a folder in use, an output that is gone, a parcel that was not received here."""

    def told(*arguments: str) -> str:
        return project.run(COMMAND, "hand-over", "--name", "x", *arguments, code=1)

    assert told("--into", str(tmp_path / "new"), "absent").startswith("error: dvc.lock has no stage absent: `dvc repro")
    assert f"{project.root} is not empty, and a parcel" in told("--into", str(project.root), "test")
    given: dict[str, Any] = {"name": "train", "sha256": "0" * 64}
    arguments = "--received", json.dumps([given]), "--into", str(tmp_path / "new"), "test"
    assert told(*arguments).startswith("error: train was not received here: `artifact-flow receive` it before")
    (project.root / "tests.json").unlink()
    assert "tests.json, which dvc.lock names, is not there" in told("--into", str(tmp_path / "new"), "test")


def test_a_folder_that_git_refuses_is_one_sentence(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another user owns it."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    with pytest.raises(ParcelError, match=r"^`git ls-files .*` fails: fatal: not a git repository"):
        list_files(built.root, ["train"])


def test_files_of_another_pipeline_go_with_its_lock(project: Project) -> None:
    """A stage of flows/dvc.yaml brings that lock, and what it reads of the root's."""
    (project.root / "flows").mkdir()
    flow = "stages:\n  own:\n    cmd: cp ../tests.json own.json\n    deps: [../tests.json]\n    outs: [own.json]\n"
    (project.root / "flows/dvc.yaml").write_text(flow)
    project.run("dvc", "repro", "flows/dvc.yaml")
    project.commit("A flow")
    found = [path for path in list_files(project.root, ["flows/dvc.yaml:own"]) if not path.startswith(".dvc")]
    assert found == ["dvc.lock", "flows/dvc.lock", "flows/own.json", "tests.json"]
