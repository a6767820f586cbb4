"""Aged projects: clones of HEAD, each changed in a usual way, on which everything that users do next must work.

`make aged` tests all of them, `make aged AGED="own-table no-flows"` only some; each takes longer than `make test`.
With `--fast`, for CI, all compatible changes are made to one project, and only a part of the tests runs, in about a
minute.
"""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ages import AGES, ROOT, TOGETHER, Age, Aged, clone, worktree
from ruamel.yaml import YAML
from shipped import changes

from artifact_flow.core.base.lock import parse_lock
from artifact_flow.core.base.pipeline import read_pipeline

WORKFLOW = Path(".github/workflows/pipeline.yml")
WORKSPACE = ROOT / ".artifact-flow"
EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")
OTHER_TOOLS = re.compile(r"\b(make|docker|artifact-flow|curl)\b")
SHELLS = {None: ("-e",), "bash": ("--noprofile", "--norc", "-eo", "pipefail")}  # as GitHub starts them


Step: TypeAlias = Callable[[Aged], str]


def reproduce(project: Aged) -> str:
    """Reproduce the project and commit the result; a second `dvc repro` must have nothing to do."""
    ran = project.repro(*(["--all-pipelines"] if project.is_complete else []))
    if project.run("git", "status", "--porcelain"):
        project.commit("Reproduced")
    assert project.repro() == []
    assert project.run("git", "status", "--porcelain") == ""
    return f"{len(ran)} stages"


def test(project: Aged) -> str:
    """Run `make test` and `make test-slow`."""
    return f"{last_line(project.make('test'))}; {last_line(project.make('test-slow'))}"


def test_a_part(project: Aged) -> str:
    """Run the fast tests about the repository itself."""
    parts = [f"tests/repo/test_{name}.py" for name in ("dependencies", "k8s", "readme", "workflow")]
    quick = "not test_the_sessions and not test_declared_files"
    command = ["pytest", "-k", quick, "--basetemp=.artifact-flow/pytest", *parts, "tests/pipeline/test_pipeline.py"]
    return last_line(project.run(*command))


def run_workflow(project: Aged) -> str:
    """Run the workflow's commands that need only DVC and git, as GitHub does; commands for a flow run for each flow."""
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
    assert ran, f"{WORKFLOW} contains no such command"
    return f"{ran} commands"


def run_step(project: Aged, step: dict[str, Any], flow: str) -> None:
    """Run a step's script, which must succeed; GitHub expressions with unknown values are replaced by nothing."""
    known = {"matrix.flow": flow, "github.event.repository.default_branch": project.branch}
    place = project.root / ".artifact-flow"
    variables = step.get("env", {}) | {
        "GITHUB_OUTPUT": place / "GITHUB_OUTPUT",
        "GITHUB_STEP_SUMMARY": place / "GITHUB_STEP_SUMMARY",
        "GITHUB_SHA": project.run("git", "rev-parse", "HEAD").strip(),
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": f"refs/heads/{project.branch}",
        "GITHUB_REF_NAME": project.branch,
        "RUNNER_TEMP": place,
    }
    words = [
        *(f"{name}={value}" for name, value in variables.items()),
        "bash",
        *SHELLS[step.get("shell")],
        "-c",
        step["run"],
    ]
    project.run("env", *(EXPRESSION.sub(lambda found: known.get(found[1], ""), word) for word in words))


def verify(project: Aged) -> str:
    """Verify the committed results in changed surroundings."""
    return last_line(project.run("artifact-flow", "verify", "--quick", *project.pipelines))


def verify_once(project: Aged) -> str:
    """Prove it in one clone, as it is."""
    code = (
        "import sys; from artifact_flow.proof.surroundings import AS_IT_IS; "
        "from artifact_flow.proof.verify import verify_head; sys.exit(not verify_head([AS_IT_IS], ['dvc.yaml']))"
    )
    return last_line(project.run("python", "-c", code))


def merge(project: Aged) -> str:
    """Merge two reproduced branches: git stops only at the lock, and `dvc repro` gives the combined result.

    Without .venv, as in a newly linked worktree, the merge also stops there and prints what to do.
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
    """Merge branch one, which must leave only dvc.lock unmerged, and valid; return what git printed."""
    printed = project.run("git", "merge", "--no-edit", "one", code=1)
    assert project.run("git", "diff", "--name-only", "--diff-filter=U") == "dvc.lock\n", printed
    assert parse_lock((project.root / "dvc.lock").read_bytes())
    return printed


def last_line(printed: str) -> str:
    """Return the last line that is not empty."""
    return printed.strip().splitlines()[-1]


def live(ages: Sequence[Age], steps: Sequence[Step], folder: Path) -> bool:
    """Apply ages and steps to one clone, print each step with its result and time, and return whether all succeeded."""
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
    """Return a function's name as on the command line."""
    return function.__name__.replace("_", "-")


FAST = (reproduce, test_a_part, run_workflow, verify_once, merge)
WHOLE = (reproduce, test, run_workflow, verify, merge)


def main() -> None:
    """Run the steps on the projects that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(AGES)}; default: all")
    parser.add_argument(
        "--fast", action="store_true", help="one project with all compatible changes, and a part of the tests"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in AGES]
    if unknown:
        sys.exit(f"error: unknown: {', '.join(unknown)}; allowed: {', '.join(AGES)}.")
    if changes():
        sys.exit(
            f"error: aged projects start from the shipped files, but {', '.join(changes())} differs from the copies "
            "and digests in tests/shipped.py: if the change is intended, update these too."
        )
    WORKSPACE.mkdir(exist_ok=True)
    chosen = [AGES[name] for name in arguments.names or AGES]
    failed = 0
    for ages in [TOGETHER] if arguments.fast else [(age,) for age in chosen]:
        with tempfile.TemporaryDirectory(prefix="aged-", dir=WORKSPACE) as folder:
            failed += not live(ages, FAST if arguments.fast else WHOLE, Path(folder))
    sys.exit(f"error: {failed} of these projects failed" if failed else None)


if __name__ == "__main__":
    main()
