"""`artifact-flow explain` names what made a stage run, by what it changed, and the stages around it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from project import Project

from artifact_flow.cli import main

Ask: TypeAlias = Callable[..., dict[str, Any]]


def changes(answer: dict[str, Any]) -> dict[str, list[str]]:
    """Return what changed, with the details of each."""
    return {change["name"]: change["details"] for change in answer["changes"]}


@pytest.fixture
def edit(patient: Project) -> Any:
    """A function that writes another text into a file, which is put back afterwards."""
    before: dict[Path, bytes | None] = {}

    def edited(path: str, change: Callable[[str], str]) -> None:
        file = patient.root / path
        before.setdefault(file, file.read_bytes() if file.exists() else None)
        file.write_text(change(file.read_text() if file.exists() else ""))

    yield edited
    for file, content in before.items():
        file.unlink() if content is None else file.write_bytes(content)


def test_a_stage_that_is_up_to_date(patient: Project, ask: Ask) -> None:
    """Nothing changed, and it is said for the stages of a flow too."""
    found = ask("explain", "train")
    assert (found["code"], found["verdict"], found["changes"], found["before"]) == (0, "is up to date", [], [])
    assert ask("explain", "flows/dvc.yaml:infer@iris")["verdict"] == "is up to date"


def test_a_parameter(patient: Project, ask: Ask, edit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Old and new value; a new and a missing key; later stages may run, and say of themselves that they may."""
    edit("params.yaml", lambda text: text.replace("C: 1.0", "C: 2.0").replace("max_iter: 1000", "tol: 0.1"))
    found = ask("explain", "train")
    assert found["verdict"] == "will run"
    assert changes(found) == {
        "train": ["train.C: 1.0 → 2.0", "train.max_iter: 1000 → nothing", "train.tol: nothing → 0.1"]
    }
    assert found["after"] == ["infer", "export", "quantize"]
    found = ask("explain", "infer")
    assert (found["verdict"], found["changes"], found["before"]) == ("may run", [], ["train"])
    main(["explain", "train"])
    assert capsys.readouterr().out == (
        "train will run:\n"
        "  params.yaml: train: modified\n"
        "    train.C: 1.0 → 2.0\n"
        "    train.max_iter: 1000 → nothing\n"
        "    train.tol: nothing → 0.1\n"
        "  after it may run: infer, export, quantize\n"
    )


def test_from_a_subfolder(
    patient: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The project around the folder is meant, and it is said where paths start."""
    for name, value in patient.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(patient.root / "docs")
    main(["explain", "infer"])
    printed = capsys.readouterr()
    assert printed.out == "infer is up to date\n"
    assert printed.err == f"in {patient.root}, where paths and commands start:\n"


def test_a_flow(patient: Project, ask: Ask, edit: Any) -> None:
    """Its name alone is enough if no other dvc.yaml has it; the paths start at the root."""
    edit("flows/params.yaml", lambda text: text.replace("seed: 42", "seed: 43"))
    found = ask("explain", "data@iris")
    assert found["stage"] == "flows/dvc.yaml:data@iris"
    assert changes(found) == {"flows.iris.data": ["flows.iris.data.seed: 42 → 43"]}
    assert found["after"][0] == "flows/dvc.yaml:train@iris"


def test_a_folder_of_code(patient: Project, ask: Ask, edit: Any) -> None:
    """The files that changed since the commit that locked the folder, new and deleted ones too, whatever came later."""
    commit = patient.run("git", "rev-parse", "--short", "HEAD~1").strip()
    edit("README.md", lambda text: f"{text}\n")
    patient.commit("Something else")
    edit("src/artifact_flow/portable/words.py", lambda text: f"# a comment\n{text}")
    edit("src/artifact_flow/portable/new.py", lambda text: "")
    edit("src/artifact_flow/portable/names.py", lambda text: text)
    (patient.root / "src/artifact_flow/portable/names.py").unlink()
    found = ask("explain", "quantize")
    assert changes(found) == {
        "src/artifact_flow/portable": [
            f"src/artifact_flow/portable/names.py: deleted since commit {commit}",
            f"src/artifact_flow/portable/words.py: +1 -0 lines since commit {commit}",
            "src/artifact_flow/portable/new.py: new",
        ]
    }
    assert found["before"] == ["test", "export"]
    patient.run("git", "reset", "--quiet", "HEAD~1")


def test_an_output_and_what_reads_it(patient: Project, ask: Ask, edit: Any) -> None:
    """The stage whose output was edited will run; one that reads it may, as the output will be made again."""
    edit("contract.json", lambda text: f"{text}\n")
    found = ask("explain", "train")
    assert (found["verdict"], found["changes"][0]["kind"]) == ("will run", "output")
    assert found["changes"][0]["state"] == "modified"
    found = ask("explain", "export")
    assert (found["verdict"], found["before"]) == ("may run", ["train"])
    assert changes(found) == {"contract.json": ["stage train makes it"]}


def test_a_command_and_a_new_stage(patient: Project, ask: Ask, edit: Any) -> None:
    """The locked command is shown; a stage that no lock has will run."""
    edit("dvc.yaml", lambda text: text.replace("core/stage.sh infer\n", "core/stage.sh infer --again\n"))
    edit(
        "dvc.yaml",
        lambda text: text.replace("\nplots:\n", "\n  late:\n    cmd: echo\n    deps: [metrics.json]\n\nplots:\n"),
    )
    found = ask("explain", "infer")
    assert changes(found) == {"infer": ["it was: sh src/artifact_flow/core/stage.sh infer"]}
    found = ask("explain", "late")
    assert (found["verdict"], found["changes"][0]["kind"]) == ("will run", "lock")
    assert changes(found) == {"late": ["the stage has never run to its end"]}


def test_a_folder_that_dvc_keeps(patient: Project, ask: Ask, edit: Any) -> None:
    """DVC's cache lists the files of such a folder with their hashes."""
    folder = patient.root / "pictures"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    edit(".gitignore", lambda text: text)
    edit("dvc.lock", lambda text: text)
    edit(
        "dvc.yaml",
        lambda text: text.replace("\nplots:\n", "\n  count:\n    cmd: echo\n    deps: [pictures]\n\nplots:\n"),
    )
    patient.run("dvc", "add", "pictures")
    assert patient.repro("count") == ["count"]
    (folder / "a").unlink()
    (folder / "b").unlink()
    (folder / "b").write_text("another")
    (folder / "d").write_text("d")
    found = ask("explain", "count")
    assert changes(found) == {"pictures": ["pictures/a: deleted", "pictures/b: modified", "pictures/d: new"]}
    (patient.root / "pictures.dvc").unlink()


def test_no_such_stage(patient: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the nearest stage."""
    monkeypatch.chdir(patient.root)
    with pytest.raises(SystemExit, match=r"^error: no dvc.yaml has a stage tran \(did you mean train\?\); there are: "):
        main(["explain", "tran"])
