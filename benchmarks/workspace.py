"""Workspace: a git and DVC repository in the scratch folder, and the commands run and timed in it.

It is isolated from the user's caches, DVC configuration, and thread and kernel settings. It shares only the folder of
the data sets that scikit-learn downloads.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from artifact_flow.core.table.builtin import FETCHED, VARIABLE, data_folder

ROOT = Path(__file__).resolve().parents[1]
LOADING_CORE, *_, MEASURED_CORE = sorted(os.sched_getaffinity(0)) * 2  # nothing else runs on the measured core

# Prefixes of variables that a shell may export for DVC, git, BLAS, OpenMP and numpy; the bars assume compiled bytecode.
FOREIGN = ("BLIS_", "DVC_", "GIT_", "GOTO_", "MKL_", "NPY_", "OMP_", "OPENBLAS_", "PYTHONDONTWRITEBYTECODE")

TOY = """\
stages:
  one:
    cmd: echo one > one.txt
    outs: [one.txt]
  two:
    cmd: echo two > two.txt
    deps: [one.txt]
    outs: [two.txt]
"""


class CommandError(Exception):
    """A command failed that has to succeed to be measured."""


@dataclass(frozen=True)
class Cost:
    """The cost of a command: wall time in s, and peak memory in MB."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Workspace:
    """A directory in which commands run isolated from everything except this Python environment."""

    path: Path

    def run(self, *command: str) -> str:
        """Run a command and return its standard output; raise CommandError with its last lines if it fails."""
        done = subprocess.run(command, cwd=self.path, env=self._environ(), capture_output=True, text=True, check=False)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise CommandError(
                f"`{' '.join(command)}` ended with {done.returncode} in {self.path}; its last lines:\n{last}"
            )
        return done.stdout

    def time(self, *command: str) -> float:
        """Run a command and return its wall time in seconds."""
        start = time.perf_counter()
        self.run(*command)
        return time.perf_counter() - start

    def measure(self, *command: str) -> Cost:
        """Run a command on one core and return the cost of the whole process; raise CommandError if it fails."""
        environ = self._environ() | {"PYTHONPATH": "src"}
        with tempfile.TemporaryFile("w+") as said, one_core(MEASURED_CORE):
            start = time.perf_counter()
            process = subprocess.Popen(command, cwd=self.path, env=environ, stdout=said, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                raise CommandError(f"`{' '.join(command)}` failed in {self.path}:\n{said.read()[-2000:]}")
        return Cost(seconds, usage.ru_maxrss * 1024 / 1e6)  # Linux counts KiB

    def start(self, command: Sequence[str], environ: Mapping[str, str], out: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a process on one core, in its own session, with all its output in `out`, and return it."""
        environ = self._environ() | dict(environ)
        with one_core(MEASURED_CORE):
            return subprocess.Popen(
                command,
                cwd=self.path,
                env=environ,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _environ(self) -> dict[str, str]:
        private = self.path / ".dvc" / "tmp"
        return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            VARIABLE: str(fetched_folder()),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(private / "site-cache"),
            "DVC_GLOBAL_CONFIG_DIR": str(private / "config"),
            "DVC_SYSTEM_CONFIG_DIR": str(private / "config"),
        }


def fetched_folder() -> Path:
    """Return the folder of the data sets that scikit-learn downloads, the same for clones and this repository."""
    return data_folder(os.environ, ROOT).resolve()


def missing_data() -> list[str]:
    """Return the missing files of data sets that scikit-learn downloads; the benchmarks do not download them."""
    return [file for file, _ in FETCHED.values() if not (fetched_folder() / file).is_file()]


@contextmanager
def one_core(core: int) -> Iterator[None]:
    """Pin this thread, and the processes that it starts in the block, to one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def clone_head(path: Path) -> Workspace:
    """Return a fresh clone of the repository's HEAD at `path`, without outputs and with an empty cache."""
    Workspace(ROOT).run("git", "clone", "--quiet", ".", str(path))
    return Workspace(path)


def make_toy(path: Path) -> Workspace:
    """Return a new DVC project of two chained `echo` stages, configured like this one."""
    path.mkdir()
    toy = Workspace(path)
    toy.run("git", "init", "--quiet")
    toy.run("dvc", "init", "--quiet")
    (path / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (path / "dvc.yaml").write_text(TOY)
    return toy
