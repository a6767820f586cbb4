"""Ages: the usual ways in which people change a clone of this project, as functions that change one."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from project import Project

from artifact_flow.core.table.builtin import FETCHED, VARIABLE, data_folder, is_here

ROOT = Path(__file__).resolve().parents[1]
INIT = ("artifact-flow", "init", "--data", "docs/houses.csv", "--target", "price")
OWN_MODULE = '''\
"""Stage clean: a stage that a user has added: it counts the rows of data.parquet in cleaning.json."""

import json
from pathlib import Path

from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.params import Params
from artifact_flow.core.table.tables import DATA, read_table


def main(params: Params, folder: Path) -> None:
    """Write cleaning.json."""
    rows = min(read_table(folder / DATA).columns.num_rows, params.clean["limit"])
    with replace_files(folder / "cleaning.json") as (part,):
        part.write_text(json.dumps({"rows": rows}) + "\\n")
'''
OWN_STAGES = """
  clean:
    cmd: {cmd}
    params:
      - clean
    deps:
      - data.parquet
      - requirements/lean.txt
      - src/artifact_flow/core
      - src/artifact_flow/stages/clean.py
    outs:
      - cleaning.json:
          cache: false

  report:
    cmd: mkdir -p report && cp metrics.json report/
    deps:
      - metrics.json
    outs:
      - report
"""


@dataclass(frozen=True)
class Aged(Project):
    """A clone of HEAD that a user has changed, with the environment of this checkout in its .venv."""

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a project, with its own code first on the import path, and this checkout's data sets."""
        inherited = {name: value for name, value in super().environ.items() if not name.startswith(("PYTEST_", "MAKE"))}
        return inherited | {"PYTHONPATH": str(self.root / "src"), VARIABLE: str(data_folder(os.environ, ROOT))}

    @property
    def is_complete(self) -> bool:
        """Whether every pipeline can run here: no flow needs a downloaded data set that is missing on this machine."""
        path = self.root / "flows/params.yaml"
        wanted = path.read_text() if path.is_file() else ""
        return all(is_here(name, data_folder(os.environ, ROOT)) for name in FETCHED if name in wanted)

    @property
    def pipelines(self) -> list[str]:
        """The arguments that limit a command to the pipelines that can run here."""
        return [] if self.is_complete else ["dvc.yaml"]

    @property
    def branch(self) -> str:
        """The current branch."""
        return self.run("git", "branch", "--show-current").strip()

    def make(self, *arguments: str, code: int = 0) -> str:
        """Run make without updating the environment."""
        stamps = [f"--assume-old={self.root}/.venv/{name}.stamp" for name in ("lean", "dev")]
        return self.run("make", "--no-print-directory", *stamps, *arguments, code=code)

    def set_up(self) -> None:
        """Do what `make setup` does, with the installed environment of this checkout instead of a new one."""
        (self.root / ".venv").symlink_to(Path(sys.prefix))
        self.make("--eval", "tell: ; $(drivers)", "tell")


Age: TypeAlias = Callable[[Aged], None]


def regularised(project: Aged) -> None:
    """Change the value of a parameter."""
    project.set_param("C: 1.0", "C: 0.01")


def own_stage(project: Aged) -> None:
    """Add a stage with a module, parameters and an output in git before `train`, and a shell stage after `infer`."""
    (project.root / "src/artifact_flow/stages/clean.py").write_text(OWN_MODULE)
    with (project.root / "params.yaml").open("a") as file:
        file.write("\nclean:\n  limit: 1000\n")
    cmd = re.findall(r"cmd: (.*\bdata)$", (project.root / "dvc.yaml").read_text(), re.MULTILINE)[0]
    own = OWN_STAGES.format(cmd=cmd.removesuffix("data") + "clean")
    project.edit("dvc.yaml", lambda text: text.replace("\nplots:\n", f"{own}\nplots:\n", 1))
    project.edit(
        "dvc.yaml",
        lambda text: text.replace(
            "      - tests.json\n    outs:\n      - contract",
            "      - tests.json\n      - cleaning.json\n    outs:\n      - contract",
            1,
        ),
    )


def own_table(project: Aged) -> None:
    """Use another table."""
    project.run(*INIT)


def tree(project: Aged) -> None:
    """Fit a tree to another table: it can be exported to ONNX, and its leaves can be quantized."""
    project.run(*INIT, "--estimator", "sklearn.tree.DecisionTreeRegressor")


def boosted(project: Aged) -> None:
    """Use an estimator that cannot be exported to ONNX."""
    project.run(*INIT, "--estimator", "sklearn.ensemble.HistGradientBoostingRegressor")


def no_flows(project: Aged) -> None:
    """Delete the folder flows."""
    project.run("git", "rm", "-r", "--quiet", "flows")
    shutil.rmtree(project.root / "flows", ignore_errors=True)


def empty_flows(project: Aged) -> None:
    """Delete every flow but keep the folder flows."""
    (project.root / "flows/params.yaml").write_text("flows: {}\n\nquantize: {}\n\npromote:\n  max_loss: 0.0\n")


def other_branch(project: Aged) -> None:
    """Call the default branch trunk, without any branch main."""
    project.run("git", "branch", "--move", "trunk")
    project.run("git", "remote", "remove", "origin")


def own_readme(project: Aged) -> None:
    """Replace README.md."""
    (project.root / "README.md").write_text("# Houses\n\nPrices of houses, by `make`.\n")


def worktree(project: Aged) -> None:
    """Use a linked worktree, which shares git's settings; `clone` creates it."""


def small_gate(project: Aged) -> None:
    """Delete most unit tests, so that stage `test` takes seconds; the others use every folder that it depends on."""
    kept = {f"tests/unit/test_{name}.py" for name in ("export", "files", "pipeline", "search")}
    named = project.run("git", "ls-files", "tests/unit/test_*.py").split()
    project.run("git", "rm", "--quiet", *(name for name in named if name not in kept))


AGES: dict[str, Age] = {
    age.__name__.replace("_", "-"): age
    for age in (
        regularised,
        own_stage,
        own_table,
        tree,
        boosted,
        no_flows,
        empty_flows,
        other_branch,
        own_readme,
        worktree,
    )
}
TOGETHER = (
    other_branch,
    no_flows,
    own_readme,
    own_stage,
    boosted,
    small_gate,
)  # the changes that CI makes to one project


def clone(folder: Path, linked: bool) -> Aged:
    """Return a clone of HEAD in a folder, or a worktree linked to that clone."""
    project = Aged(folder / "project")
    Project(ROOT).run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(project.root))
    project.set_up()
    if linked:
        project.run("git", "worktree", "add", "--quiet", "-b", "linked", str(folder / "linked"))
        project = Aged(folder / "linked")
        project.set_up()
    return project
