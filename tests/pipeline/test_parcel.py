"""A job receives the parcels of earlier jobs and refuses any parcel that was changed on the way."""

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
    """Return the paths in a parcel, except objects of DVC's cache."""
    held = parse_manifest((folder / parcel.name / MANIFEST).read_bytes())
    return {path for path in held if not path.startswith(".dvc/cache/")}


def everything(root: Path) -> dict[str, str]:
    """Return path → sha256 of each file in a workspace, except git's and temporary files."""
    found = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(root)): hash_file(path) for path in found if "tmp" not in path.parts}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_a_forged_parcel_is_refused_before_anything_is_opened(project: Project, tmp_path: Path, kind: str) -> None:
    """Even a consistent forgery does not match the sha256 in the job output, and the workspace stays unchanged."""
    parcel = hand_over(project, tmp_path / "parcels", "train", "train")
    KINDS[kind](tmp_path / "parcels/train", tmp_path / "ran")
    job = clone(project, tmp_path / "job")
    before = everything(job.root)
    arguments = "--from", str(tmp_path / "parcels"), "--parcels", json.dumps([parcel.model_dump()])
    printed = job.run(COMMAND, "receive", *arguments, "train", code=1)
    assert printed.startswith("error: train ")
    assert "nothing was opened: run the whole workflow again" in printed
    assert everything(job.root) == before
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_consistent_forgery_is_detected_only_by_the_manifest_hash(project: Project, tmp_path: Path) -> None:
    """With the forged manifest's own sha256, `receive` accepts the parcel and its pickle runs: the forgery is real."""
    hand_over(project, tmp_path / "parcels", "train", "train")
    KINDS["all changed consistently"](tmp_path / "parcels/train", tmp_path / "ran")
    forged = Parcel(name="train", sha256=hash_file(tmp_path / "parcels/train" / MANIFEST))
    job = clone(project, tmp_path / "job")
    assert receive(job.root, tmp_path / "parcels", [forged], ["train"]) == ["test", "data", "train"]
    joblib.load(job.root / "model_train.pkl")
    assert (tmp_path / "ran").is_file()


@pytest.mark.slow
def test_each_job_receives_the_outputs_of_the_earlier_jobs(project: Project, tmp_path: Path) -> None:
    """Each parcel contains only its own stages' outputs; together they are complete, and no stage runs again."""
    parcels, folder = [], tmp_path / "parcels"
    jobs = [("test", ["test"]), ("train", ["train"]), ("infer", ["infer"]), ("export", ["infer", "export", "quantize"])]
    for number, (name, stages) in enumerate(jobs):
        job = clone(project, tmp_path / f"job {number}")
        received = receive(job.root, folder, parcels, jobs[number - 1][1]) if parcels else []
        ran = job.repro(*stages)
        assert ran[-1:] == stages[-1:]
        assert not set(ran) & set(received)
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


@pytest.mark.slow
def test_custom_stages_are_handed_over(project: Project, tmp_path: Path) -> None:
    """Directories, outputs that DVC does not cache, frozen stages and stages without outputs are handed over."""
    project.edit("dvc.yaml", lambda text: text.replace("stages:\n", f"stages:\n{OWN}", 1))
    project.edit("dvc.yaml", lambda text: text.replace("frozen: true", "frozen: false"))
    own = ["words", "lists", "said", "always", "copied"]
    project.repro(*own)
    project.edit("dvc.yaml", lambda text: text.replace("frozen: false", "frozen: true"))
    project.edit(".gitignore", lambda text: f"{text}/words.json\n/lists/\n")
    project.commit("Stages of my own")
    parcel = hand_over(project, tmp_path / "parcels", "own", *own)
    assert paths(tmp_path / "parcels", parcel) == {
        "dvc.lock",
        "lists.json",
        "lists/3.txt",
        "words.json",
        "words/one.txt",
        "words/two/2.txt",
    }
    job = clone(project, tmp_path / "job")
    kept = receive(job.root, tmp_path / "parcels", [parcel], own)
    assert {"words", "lists", "said"} <= set(kept)
    assert "always" not in kept
    assert job.repro(*own) == ["always"]
    assert (job.root / "words/two/2.txt").read_text() == "2\n"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("nothing", "parcels/train does not exist: download the artifact train into it first"),
        (
            "no manifest",
            "train is not the parcel that the earlier job handed over: its manifest has the sha256 e3b0c44298fc…",
        ),
        ("a file less", "train lacks files that its manifest names: [0-9a-f]{64}; nothing was opened"),
        ("a link", "train contains .*, which is not a regular file; nothing was opened"),
        ("a folder", "train contains more, which is not a regular file"),
    ],
)
def test_an_incomplete_parcel_is_refused(built: Project, tmp_path: Path, change: str, sentence: str) -> None:
    """The error names the missing file or the entry that is not a regular file."""
    parcel = hand_over(built, tmp_path / "parcels", "train", "train")
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
        unpack(tmp_path, tmp_path / "parcels", [parcel])


def rewrite(folder: Path, files: dict[str, bytes]) -> Parcel:
    """Write a parcel with these files and return it as the job that made it would."""
    import forgery

    folder.mkdir(parents=True)
    forgery.write(folder, files)
    return Parcel(name=folder.name, sha256=hash_file(folder / MANIFEST))


@pytest.mark.parametrize("path", ["Makefile", "new.py", ".git/hooks/post-checkout", ".dvc/config"])
@pytest.mark.slow
def test_a_path_that_no_dvc_yaml_declares_is_not_copied(built: Project, tmp_path: Path, path: str) -> None:
    """A compromised job cannot hand code to the next one: only outputs that the commit declares are copied."""
    parcel = rewrite(tmp_path / "parcels/train", {path: b"", "dvc.lock": b""})
    job = clone(built, tmp_path / "job")
    before = everything(job.root)
    with pytest.raises(ParcelError, match=rf"{path} was handed over, but no dvc.yaml of this commit declares it"):
        unpack(job.root, tmp_path / "parcels", [parcel])
    assert everything(job.root) == before


@pytest.mark.slow
def test_an_object_must_have_the_md5_in_its_name(built: Project, tmp_path: Path) -> None:
    """DVC trusts the objects in its cache, so `unpack` compares the md5 of each with its name."""
    name = f".dvc/cache/files/md5/00/{'0' * 30}"
    parcel = rewrite(tmp_path / "parcels/train", {name: b"another"})
    job = clone(built, tmp_path / "job")
    with pytest.raises(ParcelError, match=rf"{name} does not have the md5 in its name; nothing was"):
        unpack(job.root, tmp_path / "parcels", [parcel])


def test_a_damaged_cache_is_not_handed_over(project: Project, tmp_path: Path) -> None:
    """The job whose cache is damaged fails, and the error says how to repair it."""
    md5 = hash_file(project.root / "model_train.pkl", "md5")
    damaged = project.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    with pytest.raises(
        ParcelError, match=rf"{md5[2:]} in DVC's cache does not have the md5 in its name, so nothing was"
    ):
        hand_over(project, tmp_path / "parcels", "train", "train")
    assert not (tmp_path / "parcels").exists()


@pytest.mark.slow
def test_an_output_that_differs_from_the_lock_is_refused(project: Project, tmp_path: Path) -> None:
    """`dvc status` finds an output that was edited after its stage ran, and the error names it."""
    project.edit("metrics.json", lambda text: text.replace("0.961", "0.998"))
    parcel = hand_over(project, tmp_path / "parcels", "infer", "infer")
    job = clone(project, tmp_path / "job")
    with pytest.raises(ParcelError, match=r"received files differ from dvc.lock .*metrics.json.*modified"):
        receive(job.root, tmp_path / "parcels", [parcel], ["infer"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff", "the manifest is not UTF-8 text"),
        (b"no line\n", "the manifest has a line that is not a sha256 and a path .'no line'."),
        (
            f"{'0' * 64}  /etc/passwd\n".encode(),
            "the manifest names '/etc/passwd', which is a duplicate, not normalized or outside",
        ),
        (
            f"{'0' * 64}  a/../../b\n".encode(),
            "the manifest names 'a/../../b', which is a duplicate, not normalized or outside",
        ),
        (
            f"{'0' * 64}  ./a\n".encode(),
            "the manifest names './a', which is a duplicate, not normalized or outside the repo",
        ),
        (
            f"{'0' * 64}  a\n{'1' * 64}  a\n".encode(),
            "the manifest names 'a', which is a duplicate, not normalized or",
        ),
    ],
)
def test_a_manifest_with_a_path_outside_the_repository_is_refused(content: bytes, sentence: str) -> None:
    """Absolute paths, parents, paths that are not normalized and duplicates are refused."""
    with pytest.raises(ParcelError, match=sentence):
        parse_manifest(content)


@pytest.mark.parametrize("given", ["{", '[{"name": "../x", "sha256": "%s"}]' % ("0" * 64), '[{"name": "x"}]', "x"])
def test_malformed_parcels_are_one_sentence(given: str) -> None:
    """A parcel needs a valid artifact name and a complete sha256."""
    with pytest.raises(ParcelError, match=r"does not name parcels: give what `artifact-flow hand-over` printed"):
        read_parcels(given)
    assert read_parcels("") == []


def test_hand_over_reports_a_mistake_in_one_sentence(project: Project, tmp_path: Path) -> None:
    """An unknown stage, a folder that is not empty, a missing output, a parcel that was not received in this job."""

    def refused(*arguments: str) -> str:
        return project.run(COMMAND, "hand-over", "--name", "x", *arguments, code=1)

    assert refused("--into", str(tmp_path / "new"), "absent").startswith(
        "error: dvc.lock has no stage absent: run `dvc repro"
    )
    assert f"{project.root} is not empty: choose an empty" in refused("--into", str(project.root), "test")
    given: dict[str, Any] = {"name": "train", "sha256": "0" * 64}
    arguments = "--received", json.dumps([given]), "--into", str(tmp_path / "new"), "test"
    assert refused(*arguments).startswith(
        "error: train was not received in this job: run `artifact-flow receive` first."
    )
    (project.root / "tests.json").unlink()
    assert "tests.json, which dvc.lock names, does not exist" in refused("--into", str(tmp_path / "new"), "test")


def test_a_failed_git_command_is_one_sentence(built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git fails, for example, if another user owns the folder."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    with pytest.raises(ParcelError, match=r"^`git ls-files .*` failed: fatal: not a git repository"):
        list_files(built.root, ["train"])


def test_a_flows_stage_is_handed_over_with_both_locks(project: Project) -> None:
    """A stage of flows/dvc.yaml is listed with that folder's lock and the root's outputs that it reads."""
    (project.root / "flows").mkdir()
    flow = "stages:\n  own:\n    cmd: cp ../tests.json own.json\n    deps: [../tests.json]\n    outs: [own.json]\n"
    (project.root / "flows/dvc.yaml").write_text(flow)
    project.run("dvc", "repro", "flows/dvc.yaml")
    project.commit("A flow")
    found = [path for path in list_files(project.root, ["flows/dvc.yaml:own"]) if not path.startswith(".dvc")]
    assert found == ["dvc.lock", "flows/dvc.lock", "flows/own.json", "tests.json"]
