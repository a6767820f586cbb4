"""Aged projects: clones of HEAD that were changed as people change theirs, each taken through everything they do next.

`make aged` takes all of them, `make aged AGED="own-table no-flows"` some; each takes as long as `make test` and more.
`--fast`, for CI, is one project with all that goes together in it, and a part of the tests: about a minute.
"""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from project import Project
from ruamel.yaml import YAML
from shipped import changes

from artifact_flow.core.table.builtin import FETCHED, VARIABLE, data_folder, is_here
from artifact_flow.core.base.lock import parse_lock
from artifact_flow.core.base.pipeline import read_pipeline

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = Path(".github/workflows/pipeline.yml")
WORKSPACE = ROOT / ".artifact-flow"
EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")
OTHER_TOOLS = re.compile(r"\b(make|docker|artifact-flow|curl)\b")
SHELLS = {None: ("-e",), "bash": ("--noprofile", "--norc", "-eo", "pipefail")}  # as GitHub starts them
INIT = ("artifact-flow", "init", "--data", "docs/houses.csv", "--target", "price")
OWN_MODULE = '''\
"""Stage clean: a user's own: data.parquet becomes cleaning.json, the number of its rows."""

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
    """A clone of HEAD that has lived, with the environment of this checkout in its .venv."""

    @property
    def environ(self) -> dict[str, str]:
        """Those of a project; its own code comes before the installed one, and fetched sets from this checkout."""
        told = {name: value for name, value in super().environ.items() if not name.startswith(("PYTEST_", "MAKE"))}
        return told | {"PYTHONPATH": str(self.root / "src"), VARIABLE: str(data_folder(os.environ, ROOT))}

    @property
    def is_complete(self) -> bool:
        """Whether every pipeline can run here: no flow needs a fetched set that this machine has not."""
        path = self.root / "flows/params.yaml"
        wanted = path.read_text() if path.is_file() else ""
        return all(is_here(name, data_folder(os.environ, ROOT)) for name in FETCHED if name in wanted)

    @property
    def pipelines(self) -> list[str]:
        """What a command is given that is about all that can run here."""
        return [] if self.is_complete else ["dvc.yaml"]

    @property
    def branch(self) -> str:
        """The branch that is checked out."""
        return self.run("git", "branch", "--show-current").strip()

    def make(self, *arguments: str, code: int = 0) -> str:
        """Run make with the environment as it is."""
        stamps = [f"--assume-old={self.root}/.venv/{name}.stamp" for name in ("lean", "dev")]
        return self.run("make", "--no-print-directory", *stamps, *arguments, code=code)

    def set_up(self) -> None:
        """Do what `make setup` does, with the installed environment of this checkout instead of a new one."""
        (self.root / ".venv").symlink_to(Path(sys.prefix))
        self.make("--eval", "tell: ; $(drivers)", "tell")


Age: TypeAlias = Callable[[Aged], None]
Step: TypeAlias = Callable[[Aged], str]


def regularised(project: Aged) -> None:
    """Another value of a parameter."""
    project.set_param("C: 1.0", "C: 0.01")


def own_stage(project: Aged) -> None:
    """A stage with a module, a block and an output that git keeps, before train; one of plain commands, after infer."""
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
    """A table of one's own."""
    project.run(*INIT)


def tree(project: Aged) -> None:
    """A tree on one's own table: there is an ONNX form of it, and no 8-bit one."""
    project.run(*INIT, "--estimator", "sklearn.tree.DecisionTreeRegressor")


def boosted(project: Aged) -> None:
    """An estimator without a portable form."""
    project.run(*INIT, "--estimator", "sklearn.ensemble.HistGradientBoostingRegressor")


def no_flows(project: Aged) -> None:
    """The other models are gone."""
    project.run("git", "rm", "-r", "--quiet", "flows")
    shutil.rmtree(project.root / "flows", ignore_errors=True)


def empty_flows(project: Aged) -> None:
    """There is room for other models, and none."""
    (project.root / "flows/params.yaml").write_text("flows: {}\n\nquantize: {}\n\npromote:\n  max_loss: 0.0\n")


def other_branch(project: Aged) -> None:
    """The default branch is trunk, and nothing is called main."""
    project.run("git", "branch", "--move", "trunk")
    project.run("git", "remote", "remove", "origin")


def own_readme(project: Aged) -> None:
    """The first page is one's own."""
    (project.root / "README.md").write_text("# Houses\n\nPrices of houses, by `make`.\n")


def worktree(project: Aged) -> None:
    """A linked worktree, which shares git's settings; `clone` has made it one."""


def small_gate(project: Aged) -> None:
    """Most unit tests are gone, so that the gate takes a second."""
    kept = {f"tests/unit/test_{name}.py" for name in ("cli", "files", "pipeline")}
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
TOGETHER = (other_branch, no_flows, own_readme, own_stage, boosted, small_gate)  # in one project, for CI


def clone(folder: Path, linked: bool) -> Aged:
    """Return a clone of HEAD in a folder, or a worktree that is linked to one."""
    project = Aged(folder / "project")
    Project(ROOT).run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(project.root))
    project.set_up()
    if linked:
        project.run("git", "worktree", "add", "--quiet", "-b", "linked", str(folder / "linked"))
        project = Aged(folder / "linked")
        project.set_up()
    return project


def reproduce(project: Aged) -> str:
    """Reproduce what was changed, and commit what that has changed; nothing is left to do then."""
    ran = project.repro(*(["--all-pipelines"] if project.is_complete else []))
    if project.run("git", "status", "--porcelain"):
        project.commit("Reproduced")
    assert project.repro() == []
    assert project.run("git", "status", "--porcelain") == ""
    return f"{len(ran)} stages"


def test(project: Aged) -> str:
    """Run the whole test command."""
    return last_line(project.make("test"))


def test_a_part(project: Aged) -> str:
    """Run the tests about the repository itself that are done at once."""
    parts = [f"tests/repo/test_{name}.py" for name in ("dependencies", "k8s", "readme", "workflow")]
    quick = "not test_the_sessions and not test_declared_files"
    command = ["pytest", "-k", quick, "--basetemp=.artifact-flow/pytest", *parts, "tests/pipeline/test_pipeline.py"]
    return last_line(project.run(*command))


def run_workflow(project: Aged) -> str:
    """Run the commands of the workflow that need DVC and git alone, as GitHub would, and those of a flow for each."""
    document = YAML(typ="safe").load(project.root / WORKFLOW)
    pipeline = read_pipeline(project.root / "flows")
    flows = [name.removeprefix("data@") for name in (pipeline.stages if pipeline else ()) if name.startswith("data@")]
    ran = 0
    for job in document["jobs"].values():
        defaults = (document.get("defaults", {}) | job.get("defaults", {})).get("run", {})
        for step in (defaults | step for step in job["steps"]):
            if "dvc " in step.get("run", "") and not OTHER_TOOLS.search(step["run"]):
                for flow in flows if "matrix.flow" in str(step) else [""]:
                    run_step(project, step, flow)
                    ran += 1
    assert ran, f"{WORKFLOW} holds no such command"
    return f"{ran} commands"


def run_step(project: Aged, step: dict[str, Any], flow: str) -> None:
    """Run a step's script, which must end well; what GitHub would fill in and is not known here is empty."""
    known = {"matrix.flow": flow, "github.event.repository.default_branch": project.branch}
    place = project.root / ".artifact-flow"
    told = step.get("env", {}) | {
        "GITHUB_OUTPUT": place / "GITHUB_OUTPUT",
        "GITHUB_STEP_SUMMARY": place / "GITHUB_STEP_SUMMARY",
        "GITHUB_SHA": project.run("git", "rev-parse", "HEAD").strip(),
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": f"refs/heads/{project.branch}",
        "GITHUB_REF_NAME": project.branch,
        "RUNNER_TEMP": place,
    }
    words = [
        *(f"{name}={value}" for name, value in told.items()),
        "bash",
        *SHELLS[step.get("shell")],
        "-c",
        step["run"],
    ]
    project.run("env", *(EXPRESSION.sub(lambda found: known.get(found[1], ""), word) for word in words))


def verify(project: Aged) -> str:
    """Prove what was committed, under changed surroundings."""
    return last_line(project.run("artifact-flow", "verify", "--quick", *project.pipelines))


def verify_once(project: Aged) -> str:
    """Prove it in one clone, as it is."""
    code = "from artifact_flow.proof.verify import *; import sys; sys.exit(not verify_head([AS_IT_IS], ['dvc.yaml']))"
    return last_line(project.run("python", "-c", code))


def merge(project: Aged) -> str:
    """Merge two branches that both reproduced: git stops at the lock alone, and `dvc repro` leads to what both say.

    Without .venv, as in a worktree that was just linked, it stops there too and says what to do.
    """
    trunk = project.branch
    for name, change in (("one", ("decimals: 8", "decimals: 6")), ("two", ("test_size: 0.2 ", "test_size: 0.25 "))):
        project.run("git", "checkout", "--quiet", "-b", name, trunk)
        project.run("dvc", "checkout", "--quiet", *project.pipelines)
        project.set_param(*change)
        project.repro()
        project.commit(name)
    (project.root / ".venv").unlink()
    assert "dvc.lock: not merged, because this worktree has no .venv: git merge --abort, make setup" in stop(project)
    project.run("git", "merge", "--abort")
    project.set_up()
    assert re.search(r"dvc.lock: no side has reproduced .*infer.* as merged: run `dvc repro`, then", stop(project))
    ran = project.repro()
    project.commit("Merged")
    assert "infer" in ran
    assert project.repro() == []
    assert project.run("git", "status", "--porcelain") == ""
    return f"{len(ran)} stages"


def stop(project: Aged) -> str:
    """Merge branch one, which must leave dvc.lock alone unmerged and valid, and return what git printed."""
    printed = project.run("git", "merge", "--no-edit", "one", code=1)
    assert project.run("git", "diff", "--name-only", "--diff-filter=U") == "dvc.lock\n", printed
    assert parse_lock((project.root / "dvc.lock").read_bytes())
    return printed


def last_line(printed: str) -> str:
    """Return the last line with something in it."""
    return printed.strip().splitlines()[-1]


def live(ages: Sequence[Age], steps: Sequence[Step], folder: Path) -> bool:
    """Take one clone through ages and steps; print each step, its result and time; tell whether all went well."""
    title = ", ".join(map(name_of, ages))
    try:
        project = clone(folder, linked=worktree in ages)
        for age in ages:
            age(project)
            if project.run("git", "status", "--porcelain"):
                project.commit(name_of(age))
        for step in steps:
            started = time.monotonic()
            print(f"{title}: {name_of(step)}:", end=" ", flush=True)
            print(f"{step(project)} ({time.monotonic() - started:.0f} s)", flush=True)
    except AssertionError as error:
        print(f"{title}: FAILED: {error}", flush=True)
        return False
    return True


def name_of(function: Age | Step) -> str:
    """Return a function's name as people type it."""
    return function.__name__.replace("_", "-")


FAST = (reproduce, test_a_part, run_workflow, verify_once, merge)
WHOLE = (reproduce, test, run_workflow, verify, merge)


def main() -> None:
    """Take what the command line names through its steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(AGES)}; default: each")
    parser.add_argument("--fast", action="store_true", help="one project for all, and a part of the tests")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in AGES]
    if unknown:
        sys.exit(f"error: there is no {' and no '.join(unknown)}; there are: {', '.join(AGES)}.")
    if changes():
        sys.exit(
            f"error: aged projects begin as shipped, and here {', '.join(changes())} differs from what "
            "tests/shipped.py calls shipped: change its copies and digest too, if this is to be."
        )
    WORKSPACE.mkdir(exist_ok=True)
    chosen = [AGES[name] for name in arguments.names or AGES]
    failed = 0
    for ages in [TOGETHER] if arguments.fast else [(age,) for age in chosen]:
        with tempfile.TemporaryDirectory(prefix="aged-", dir=WORKSPACE) as folder:
            failed += not live(ages, FAST if arguments.fast else WHOLE, Path(folder))
    sys.exit(f"error: {failed} of these projects do not hold" if failed else None)


if __name__ == "__main__":
    main()
