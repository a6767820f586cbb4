"""The workflow: hand-over between jobs, minimal permissions, and a gate that needs all jobs to pass."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github/workflows/pipeline.yml"
PIPELINE: dict[str, Any] = YAML(typ="safe").load(WORKFLOW)
JOBS: dict[str, Any] = PIPELINE["jobs"]
FILES = [WORKFLOW, *sorted((ROOT / ".github/actions").glob("*/action.yml"))]
ACTIONS: dict[str, Any] = {file.parent.name: YAML(typ="safe").load(file) for file in FILES[1:]}
WANTED = (
    "github.event_name != 'push' || startsWith(github.ref, 'refs/tags/') || "
    "github.ref == format('refs/heads/{0}', github.event.repository.default_branch)"
)


def step(job: str, name: str) -> dict[str, Any]:
    """Return the step of a job whose name starts with `name`."""
    (found,) = [step for step in JOBS[job]["steps"] if step.get("name", "").startswith(name)]
    return dict(found)


def run(script: str, tmp_path: Path, **environ: str) -> tuple[int, str]:
    """Run a step's script like GitHub's `shell: bash`; return its exit code and its output."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    environ = {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(tmp_path)} | environ
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def put(tmp_path: Path, name: str, script: str) -> str:
    """Create a substitute for a command first in the path, and return the path."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / name).chmod(0o755)
    return os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"]))


def test_the_jobs_follow_the_stages() -> None:
    """The jobs test, train, infer, export run in this order, then container and report; flows follow test."""
    needs = {name: job.get("needs") for name, job in JOBS.items() if name != "gate"}
    assert needs == {
        "lint": None,
        "tests": None,
        "test": None,
        "flow": "test",
        "train": "test",
        "infer": "train",
        "export": "infer",
        "container": "export",
        "report": "export",
        "verify": None,
        "elsewhere": None,
    }


def test_a_commit_runs_once() -> None:
    """It runs as a pull request, in a merge queue, on the default branch, as a tag, or by hand; no branch is named."""
    assert set(PIPELINE["on"]) == {"push", "pull_request", "merge_group", "workflow_dispatch"}
    assert not any(PIPELINE["on"].values())
    assert [name for name, job in JOBS.items() if "needs" not in job and job["if"] != WANTED] == []
    assert JOBS["gate"]["if"] == f"always() && ({WANTED})"
    assert "main'" not in WORKFLOW.read_text()
    assert "/main" not in WORKFLOW.read_text()


def test_only_a_pull_request_cancels_its_previous_run() -> None:
    """Every other run has its own group, so that no later push cancels it, not even while it waits."""
    others = "github.event_name == 'pull_request' && github.ref || github.run_id"
    assert PIPELINE["concurrency"] == {
        "group": f"${{{{ github.workflow }}}}-${{{{ {others} }}}}",
        "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
    }


def test_every_script_fails_with_its_first_failing_command() -> None:
    """Without pipefail, `make track | tee` hides a failure; GitHub sets it only for an explicit `shell: bash`."""
    assert PIPELINE["defaults"] == {"run": {"shell": "bash"}}
    assert not any("shell" in step for job in JOBS.values() for step in job["steps"])
    steps = [step for action in ACTIONS.values() for step in action["runs"]["steps"] if "run" in step]
    assert [step["shell"] for step in steps] == ["bash"] * len(steps)


def test_every_supported_python_is_tested() -> None:
    """The matrix is equal to the versions in pyproject.toml."""
    declared = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert JOBS["test"]["strategy"]["matrix"]["python"] == declared


@pytest.mark.parametrize("name", JOBS)
def test_a_job_has_minimal_permissions_and_a_time_limit(name: str) -> None:
    """Each job may only read the code, and has a time limit; counting the lines of the tests takes longest."""
    assert PIPELINE["permissions"] == {}
    assert JOBS[name]["permissions"] == {"contents": "read"}
    assert JOBS[name]["timeout-minutes"] <= (45 if name == "tests" else 30)


@pytest.mark.parametrize("name", ACTIONS)
def test_shellcheck_finds_nothing_in_the_actions(name: str) -> None:
    """It checks the scripts of composite actions, which actionlint does not check."""
    for step in [step for step in ACTIONS[name]["runs"]["steps"] if "run" in step]:
        script = "".join(f"export {name}=given\n" for name in step.get("env", ())) + step["run"]
        command = [Path(sys.executable).with_name("shellcheck"), "--shell=bash", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_actions_are_pinned_by_hash(file: Path) -> None:
    """A tag can change, a hash cannot; a comment names the version. Only GitHub's own actions are used."""
    for use in re.findall(r"uses: (.*)$", file.read_text(), re.MULTILINE):
        assert re.fullmatch(r"\./\.github/actions/[a-z-]+|actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_no_secret_is_required(file: Path) -> None:
    """Forks run the same jobs; only steps of the owner use secrets, and they are skipped without them."""
    asked = re.findall(r"secrets\.(\w+)", file.read_text())
    known = ["REGISTRY", "REGISTRY_USER", "REGISTRY_PASSWORD", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]
    own = [name for name in asked if name != "DVC_REMOTE_CONFIG"]
    assert own == (known if file == WORKFLOW else [])
    assert "github.token" not in file.read_text()


def test_parcels_and_their_digests_travel_separately() -> None:
    """The parcel is an artifact, its digest a job output; each job receives both and adds to them."""
    before = {"train": "test", "infer": "train", "export": "infer"}
    for job, former in before.items():
        handed = f"${{{{ needs.{former}.outputs.parcels }}}}"
        uses = {step["uses"]: step["with"] for step in JOBS[job]["steps"] if step.get("uses", "").startswith("./")}
        assert uses["./.github/actions/receive"]["parcels"] == handed
        assert uses["./.github/actions/hand-over"]["received"] == handed
        assert JOBS[job]["outputs"]["parcels"] == "${{ steps.hand-over.outputs.parcels }}"
    downloads = [step for step in ACTIONS["receive"]["runs"]["steps"] if "download-artifact" in step.get("uses", "")]
    assert len(downloads) == len(before) + 1
    assert all(step["with"]["path"].startswith("${{ runner.temp }}/parcels/") for step in downloads)


def test_the_flow_job_is_skipped_without_flows() -> None:
    """An empty matrix is an error on GitHub."""
    assert JOBS["flow"]["if"] == "needs.test.outputs.flows != '[]'"


@pytest.mark.parametrize("there", [True, False])
def test_the_flows_are_those_of_the_commit(tmp_path: Path, there: bool) -> None:
    """They are JSON for the matrix; without the folder the list is empty and the step passes."""
    path = put(
        tmp_path, "dvc", "echo flows/dvc.yaml:data@iris; echo flows/dvc.yaml:train@iris; echo flows/dvc.yaml:data@b"
    )
    if there:
        (tmp_path / "flows").mkdir()
        (tmp_path / "flows/dvc.yaml").touch()
    code, _ = run(step("test", "The flows")["run"], tmp_path, PATH=path, GITHUB_OUTPUT=str(tmp_path / "out"))
    assert code == 0
    assert (tmp_path / "out").read_text() == ('names=["iris","b"]\n' if there else "names=[]\n")


PASSED = ("success " * 8).strip()


@pytest.mark.parametrize(
    ("must", "may", "code"),
    [
        (PASSED, "success success", 0),
        (PASSED, "skipped skipped", 0),
        (PASSED.replace("success", "failure", 1), "success success", 1),
        (PASSED.replace("success", "cancelled", 1), "success success", 1),
        (PASSED.replace("success", "skipped", 1), "success success", 1),
        (PASSED, "failure success", 1),
        (PASSED, "success cancelled", 1),
    ],
)
def test_the_gate_passes_only_if_all_jobs_passed(tmp_path: Path, must: str, may: str, code: int) -> None:
    """Only the flows and the image may be skipped; any other failed, cancelled or skipped job fails it."""
    found, _ = run(step("gate", "Every job passed")["run"], tmp_path, MUST_PASS=must, MAY_BE_SKIPPED=may)
    assert found == code


def test_the_gate_needs_every_promised_job() -> None:
    """It needs all jobs; if no job runs, it has another name. Only macOS, where nobody has measured, may differ."""
    assert JOBS["gate"]["needs"] == [name for name in JOBS if name != "gate"]
    environ = step("gate", "Every job passed")["env"]
    assert re.findall(r"needs\.(\w+)\.result", " ".join(environ.values())) == [
        *(name for name in JOBS["gate"]["needs"] if name not in ("flow", "container")),
        "flow",
        "container",
    ]
    assert JOBS["gate"]["name"] == f"${{{{ ({WANTED}) && 'gate' || 'no gate on this push' }}}}"
    assert JOBS["elsewhere"]["continue-on-error"] == "${{ matrix.machine == 'macos-latest' }}"


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("user", "docker.io"),
        ("user/team", "docker.io"),
        ("docker.io/user", "docker.io"),
        ("ghcr.io/user", "ghcr.io"),
        ("registry.example.org:5000/team", "registry.example.org:5000"),
        ("localhost/team", "localhost"),
        ("localhost:5000", "localhost:5000"),
    ],
)
def test_the_registry_may_be_any(tmp_path: Path, registry: str, host: str) -> None:
    """Like docker, the step takes a name without a dot or port in its first part as an account on Docker Hub."""
    put(tmp_path, "make", 'echo "make $* to $REGISTRY"')
    path = put(tmp_path, "docker", 'echo "docker $* by $(cat)"')
    secrets = {"REGISTRY": registry, "REGISTRY_USER": "me", "REGISTRY_PASSWORD": "secret"}
    code, printed = run(step("container", "Push it")["run"], tmp_path, PATH=path, **secrets)
    assert (code, printed.splitlines()) == (
        0,
        [f"docker login --username me --password-stdin {host} by secret", f"make push-docker to {registry}"],
    )


@pytest.mark.parametrize(
    "given", [{"REGISTRY": "", "REGISTRY_PASSWORD": ""}, {"REGISTRY": "a", "REGISTRY_PASSWORD": ""}]
)
def test_without_secrets_nothing_is_pushed_and_nothing_fails(tmp_path: Path, given: dict[str, str]) -> None:
    """Pushes of Dependabot get no secrets."""
    code, printed = run(step("container", "Push it")["run"], tmp_path, REGISTRY_USER="", **given)
    assert code == 0
    assert printed.startswith("::notice::The image was not pushed")
    assert "github.actor != 'dependabot[bot]'" in step("report", "Track it")["if"]


def test_failed_tracking_fails_the_step(tmp_path: Path) -> None:
    """It fails although the output goes through a pipe."""
    path = put(tmp_path, "make", "exit 2")
    environ = {"PATH": path, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "GITHUB_STEP_SUMMARY": str(tmp_path / "sum")}
    assert run(step("report", "Track it")["run"], tmp_path, **environ)[0] == 2


@pytest.mark.parametrize(("proof", "code", "warned"), [(0, 0, False), (3, 0, True), (1, 1, False), (2, 2, False)])
def test_what_could_not_be_verified_is_a_warning(tmp_path: Path, proof: int, code: int, warned: bool) -> None:
    """An unavailable data set is a warning, because the commit is not at fault; a difference is an error."""
    path = put(tmp_path, "artifact-flow", f"exit {proof}")
    found, printed = run(step("verify", "artifact-flow verify")["run"], tmp_path, PATH=path)
    assert (found, "::warning::Not all was verified" in printed) == (code, warned)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository: commits 1, 2 (tag v1) and 3 on its default branch, 4 on a branch from 2, 5 that merges it."""
    script = """
        git init --quiet --initial-branch trunk .
        git config user.name test; git config user.email test@localhost
        make() { echo "$1" > "$2"; git add "$2"; git commit --quiet --message "$1"; git tag "at-$1"; }
        make 1 a; make 2 a; git tag v1
        git switch --quiet --create branch; make 4 b
        git switch --quiet trunk; make 3 a
        git update-ref refs/remotes/origin/trunk trunk
        git switch --quiet --detach trunk; git merge --quiet --message 5 branch; git tag at-5
        for tag in $(git tag --list 'at-*'); do
          git update-ref "refs/$tag" "$tag^{commit}"
          git tag --delete "$tag"
        done
    """
    assert run(script, tmp_path, GIT_CONFIG_GLOBAL="/dev/null", HOME=str(tmp_path))[0] == 0
    return tmp_path


@pytest.mark.parametrize(
    ("event", "ref", "head", "base"),
    [
        ("pull_request", "refs/pull/1/merge", "at-5", "at-3"),
        ("push", "refs/tags/v2", "at-3", "at-2"),
        ("push", "refs/tags/v1", "at-2", "at-1"),
        ("push", "refs/heads/trunk", "at-3", "at-1"),
        ("merge_group", "refs/heads/gh-readonly-queue/trunk/pr-1", "at-5", "at-2"),
        ("workflow_dispatch", "refs/heads/branch", "at-4", "at-2"),
        ("workflow_dispatch", "refs/heads/trunk", "at-1", None),
    ],
)
def test_the_report_compares_with_the_right_base(
    history: Path, event: str, ref: str, head: str, base: str | None
) -> None:
    """The base is the target of a pull request, the previous tag, or the commit before a push, if there is one."""

    def commit(name: str) -> str:
        return subprocess.check_output(["git", "rev-parse", name], cwd=history, text=True).strip()

    path = put(history, "dvc", 'echo "dvc $*"')
    run(f"git checkout --quiet --detach refs/{head}", history)
    (history / "dvc.lock").touch()
    code, printed = run(
        step("report", "Compare")["run"],
        history,
        PATH=path,
        GITHUB_EVENT_NAME=event,
        GITHUB_REF=ref,
        GITHUB_SHA=commit("HEAD"),
        GITHUB_STEP_SUMMARY=str(history / "summary"),
        DEFAULT="trunk",
        BEFORE=commit("refs/at-1") if event == "push" else "",
        QUEUED_ON=commit("refs/at-2") if event == "merge_group" else "",
    )
    assert code == 0, printed
    summary = (history / "summary").read_text()
    found = re.findall(r"^Compared with (\w+):$", summary, re.MULTILINE)
    assert [commit(name) for name in found] == ([commit(f"refs/{base}")] if base else [])
