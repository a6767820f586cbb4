"""Environment: whether this Python, its libraries, the variables, the machine and the disk suit the pipeline."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from artifact_flow.core.base.determinism import (
    KERNEL_VARIABLES,
    THREAD_VARIABLES,
    broken_promises,
    is_reference_cpu,
    pin,
)
from artifact_flow.core.base.interpreter import LEAN, find_fault, find_others, installed_versions, locked_versions
from artifact_flow.doctor.findings import Finding
from artifact_flow.doctor.project import Project

NEWEST = (3, 13)  # that the tests run with
SET_UP, ACTIVATE = "make setup", "source .venv/bin/activate"
ENOUGH = 2**20  # bytes that must fit on the disk; all outputs of the shipped flows take less


def check_python(project: Project) -> Iterator[Finding]:
    """Find a Python that is not tested; one that is too old cannot run this."""
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info[:2] > NEWEST:
        what = f"Python {version} is newer than {'.'.join(map(str, NEWEST))}, the newest that is tested"
        yield Finding(sys.executable, what, "make clean, then make PYTHON=python3.13 setup", "warning")


def check_libraries(project: Project) -> Iterator[Finding]:
    """Find libraries that are missing or of another version than the locked one."""
    installed, lock = installed_versions(sys.path), _locked()
    fault = find_fault(sys.version_info[:3], installed)
    if fault:
        yield Finding(sys.executable, f"this Python {fault}", f"{SET_UP}, then {ACTIVATE}")
        return
    others = find_others(installed, lock)
    if "dvc" in lock and installed.get("dvc") != lock["dvc"]:
        others = f"{others}, " * bool(others) + f"dvc {installed.get('dvc', 'missing')}, not the locked {lock['dvc']}"
    if others:
        what = f"this Python has {others}, which may give other bytes"
        yield Finding(sys.executable, what, f"rm .venv/*.stamp, then {SET_UP}")


def check_path(project: Project) -> Iterator[Finding]:
    """Find that `python` and `dvc` in the PATH, which run the stages, are not those of this environment."""
    path = project.environ.get("PATH")
    for program in ("python", "dvc"):
        if not shutil.which(program, path=path):
            yield Finding("PATH", f"there is no {program} in the PATH, and the stages run by it", ACTIVATE)
    found = shutil.which("python", path=path)
    if found:
        command = [found, "-c", "import sys; print(sys.prefix)"]
        done = subprocess.run(command, env=project.environ, capture_output=True, text=True, check=False)
        if done.stdout.strip() != sys.prefix:
            what = f"the first python in the PATH is {found}, not that of {sys.prefix}, and the stages run by it"
            yield Finding("PATH", what, ACTIVATE, "warning")


def check_variables(project: Project) -> Iterator[Finding]:
    """Find exported variables of BLAS and numpy that the pipeline overrides."""
    pinned: dict[str, str] = {}
    pin(pinned, is_reference_cpu())
    for name in (*THREAD_VARIABLES, *KERNEL_VARIABLES):
        value = project.environ.get(name)
        if value is not None and value != pinned.get(name):
            what = f"{name} is set to {value}, which the pipeline overrides: it has no effect on a result"
            yield Finding(name, what, f"unset {name}", "warning")


def check_machine(project: Project) -> Iterator[Finding]:
    """Find what lets this machine give other bytes than the lock names, although its libraries are the locked ones."""
    try:
        portable = json.loads(Path("contract.json").read_bytes()).get("portable", False)
    except (OSError, ValueError, AttributeError):
        portable = False
    text = Path(LEAN).read_text(encoding="utf-8") if Path(LEAN).is_file() else ""
    for reason in broken_promises(text, dict(project.environ), portable) if text else ():
        what = f"{reason}, so the bytes of a result may differ from those of other machines"
        cure = "artifact-flow verify, which then compares metrics and predictions"
        if "GLIBC_TUNABLES" in reason:
            cure = "unset GLIBC_TUNABLES"
        yield Finding("machine", what, cure, "warning")


def check_disk(project: Project) -> Iterator[Finding]:
    """Find a folder in which nothing can be written: read-only, of somebody else, or on a full disk."""
    try:
        with tempfile.TemporaryFile(dir=".") as file:
            file.write(bytes(ENOUGH))
            file.flush()
    except OSError as error:
        what = f"nothing can be written in {Path.cwd()} ({error.strerror})"
        yield Finding(".", what, "free disk space, or allow writing there")


def _locked() -> dict[str, str]:
    return locked_versions(Path(LEAN).read_text(encoding="utf-8")) if Path(LEAN).is_file() else {}
