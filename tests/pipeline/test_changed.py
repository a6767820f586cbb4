"""An edit while a stage runs: it is refused in one sentence, and dvc.lock and the earlier outputs stay as they were."""

import pytest
from project import Project

TRIGGER = "__import__('os').system('sh edit.sh')"
WRITING = "    with replace_files("
CODE = "echo '# a comment' >> src/artifact_flow/{}.py"
ROWS = "a,b,y\n" + "".join(f"{i % 7},{i % 5},{'pq'[i % 2]}\n" for i in range(60))
OWN_TABLE = """data:
  source: rows.csv
  table:
    target: y
    task: classification
    columns: {a: number, b: number}
  test_size: 0.2
  seed: 42
  stratify: true

train:"""


def edit_before_writing(project: Project, stage: str, *commands: str) -> None:
    """Let a stage run shell commands when it has computed and is about to write."""
    (project.root / "edit.sh").write_text("\n".join(commands))
    project.edit(
        f"src/artifact_flow/stages/{stage}.py", lambda text: text.replace(WRITING, f"    {TRIGGER}\n{WRITING}")
    )


def take_own_table(project: Project) -> None:
    """Let the table come from a file."""
    (project.root / "rows.csv").write_text(ROWS)
    project.edit("params.yaml", lambda text: OWN_TABLE + text.split("\ntrain:")[1])
    project.edit(
        "dvc.yaml",
        lambda text: text.replace(
            "      - src/artifact_flow/core/base\n", "      - rows.csv\n      - src/artifact_flow/core/base\n", 1
        ),
    )


def refused(project: Project, stage: str, changed: str) -> None:
    """Run a stage that must be refused because of what changed; lock and outputs must be the earlier ones."""
    kept = [path for path in project.hashes() if path != "data.parquet"]  # which a test itself may change
    lock, before = (project.root / "dvc.lock").read_bytes(), project.hashes()
    printed = project.run("dvc", "repro", "--single-item", stage, code=255)
    sentence = (
        f"error: {changed} changed while stage {stage} ran, so dvc.lock would record inputs that the stage did not use"
    )
    assert f"{sentence}: run `dvc repro` again." in printed.splitlines(), printed
    assert "Traceback" not in printed
    assert (project.root / "dvc.lock").read_bytes() == lock
    assert [project.hashes()[path] for path in kept] == [before[path] for path in kept]
    assert not list(project.root.glob(".*.part"))


def test_an_edit_during_the_split_is_refused(project: Project) -> None:
    """Stage data: its block, a module and the file that the rows come from."""
    take_own_table(project)
    edit_before_writing(
        project,
        "data",
        "sed -i 's/seed: 42/seed: 43/' params.yaml",
        CODE.format("core/table/source"),
        "echo 1,2,p >> rows.csv",
    )
    refused(project, "data", "params.yaml: data.seed, rows.csv, src/artifact_flow/core/table/source.py")


@pytest.mark.parametrize(
    ("stage", "old", "new", "module"),
    [
        ("train", "C: 1.0", "C: 0.01", "core/model/models"),
        ("infer", "decimals: 8", "decimals: 7", "core/model/predictions"),
        ("export", "opset: 17", "opset: 18", "portable/export"),
        ("quantize", "min_agreement: 0.995", "min_agreement: 0.99", "portable/quantize"),
    ],
)
@pytest.mark.slow
def test_an_edit_during_the_run_is_refused(project: Project, stage: str, old: str, new: str, module: str) -> None:
    """The stage's block, a module and the table; the sentence names each of the three."""
    edit_before_writing(
        project, stage, f"sed -i 's/{old}/{new}/' params.yaml", CODE.format(module), "printf x >> data.parquet"
    )
    key = f"{stage}.{old.split(':', maxsplit=1)[0]}"
    refused(project, stage, f"params.yaml: {key}, data.parquet, src/artifact_flow/{module}.py")


@pytest.mark.slow
def test_the_lock_names_the_parameters_that_were_fitted(project: Project) -> None:
    """An edit of C before the stage has read it is refused too; run again, contract and lock say the new one."""
    (project.root / "edit.sh").write_text("sed -i 's/C: 1.0/C: 0.01/' params.yaml")
    project.edit(
        "src/artifact_flow/stages/train.py", lambda text: text.replace("import os\n", f"import os\n{TRIGGER}\n", 1)
    )
    refused(project, "train", "params.yaml: train.C")
    project.run("dvc", "repro", "--single-item", "train")
    assert '"C": 0.01' in (project.root / "contract.json").read_text()
    assert "C: 0.01" in (project.root / "dvc.lock").read_text()


@pytest.mark.slow
def test_an_edit_that_is_not_the_stages_is_let_through(project: Project) -> None:
    """A comment, another stage's block, a page, another stage's module, and a touched file change nothing for train."""
    edit_before_writing(
        project,
        "train",
        "sed -i -e 's/# inverse strength/# strength/' -e 's/decimals: 8/decimals: 7/' params.yaml",
        "echo >> README.md",
        CODE.format("stages/infer"),
        "touch data.parquet src/artifact_flow/core/model/models.py",
    )
    project.run("dvc", "repro", "--single-item", "train")
    assert "decimals: 7" in (project.root / "params.yaml").read_text()


def test_an_edit_during_the_gate_is_refused(project: Project) -> None:
    """A module that changes while its tests run has not passed them."""
    (project.root / "edit.sh").write_text(CODE.format("core/model/models") + "; echo >> tests/unit/own.py")
    (project.root / "tests/unit/test_edit.py").write_text(f"def test_edit() -> None:\n    {TRIGGER}\n")
    refused(project, "test", "src/artifact_flow/core/model/models.py, tests/unit/own.py")
    assert not (project.root / "tests.json").exists()  # which DVC removes before it runs the stage


@pytest.mark.slow
def test_a_stage_of_ones_own_is_watched(project: Project) -> None:
    """It needs nothing but a `main`, and may write as it likes."""
    (project.root / "src/artifact_flow/stages/own.py").write_text(
        "from pathlib import Path\n"
        "def main(params, folder):\n"
        "    (folder / 'own.txt').write_text(Path('notes.txt').read_text())\n"
        f"    {TRIGGER}\n"
    )
    (project.root / "notes.txt").write_text("one")
    (project.root / "edit.sh").write_text("echo two > notes.txt")
    stage = "  own:\n    cmd: sh src/artifact_flow/core/stage.sh own\n    deps: [notes.txt]\n    outs: [own.txt]\n"
    project.edit("dvc.yaml", lambda text: text.replace("\nplots:", stage + "\nplots:"))
    refused(project, "own", "notes.txt")
    (project.root / "edit.sh").write_text("")
    project.run("dvc", "repro", "--single-item", "own")
    assert (project.root / "own.txt").read_text() == "two\n"


@pytest.mark.slow
def test_an_edit_during_a_flows_stage_is_refused(project: Project) -> None:
    """A flow's own block and the folder of the code count; another flow's block and what DVC ignores do not."""
    project.add_iris()
    other = "flows:\n  other:\n    train:\n      max_depth: 25\n"
    project.edit("flows/params.yaml", lambda text: text.replace("flows:\n", other, 1))
    project.run("dvc", "repro", "--single-item", "flows/dvc.yaml:data@iris")
    edit_before_writing(
        project,
        "train",
        "sed -i -e 's/max_iter: 200/max_iter: 100/' -e 's/max_depth: 25/max_depth: 5/' params.yaml",
        "echo >> ../src/artifact_flow/serving/app.py; echo >> ../src/artifact_flow/core/model/models.py",
    )
    project.edit("src/artifact_flow/stages/train.py", lambda text: text.replace("sh edit.sh", "sh ../edit.sh"))
    lock = (project.root / "flows/dvc.lock").read_bytes()
    printed = project.run("dvc", "repro", "--single-item", "flows/dvc.yaml:train@iris", code=255)
    changed = "params.yaml: flows.iris.train.max_iter, ../src/artifact_flow/core/model/models.py"
    assert f"error: flow iris: {changed} changed while stage train@iris ran" in printed
    assert (project.root / "flows/dvc.lock").read_bytes() == lock
    assert not (project.root / "flows/iris/contract.json").exists()


@pytest.mark.parametrize("stage", ["infer", "export", "quantize"])
def test_a_model_of_other_parameters_is_not_gone_on_with(project: Project, stage: str) -> None:
    """Asked for one stage alone after an edit of `train`, DVC runs it; the stage says that its model is another one."""
    project.set_param("C: 1.0", "C: 0.5")
    printed = project.run("dvc", "repro", "--single-item", "--force", stage, code=255)
    assert "error: contract.json was made with train.C 1.0, but params.yaml says 0.5: run `dvc repro`" in printed


def test_a_table_of_other_parameters_is_not_trained_on(project: Project) -> None:
    """So is a table of another split."""
    project.set_param("seed: 42", "seed: 43")
    printed = project.run("dvc", "repro", "--single-item", "--force", "train", code=255)
    assert "error: data.parquet was made with data.seed 42, but params.yaml says 43: run `dvc repro`" in printed
