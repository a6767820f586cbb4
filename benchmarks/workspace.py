"""Workspace: a git and DVC repository under the scratch folder, and the commands run and timed in it.

Nothing reaches in from outside but the folder of the data that scikit-learn fetches: no cache, no DVC configuration of
the user's, no thread or kernel settings.
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
LOADING_CORE, *_, MEASURED_CORE = sorted(os.sched_getaffinity(0)) * 2  # what is on the latter is alone there

# What a shell may export about DVC, BLAS, OpenMP and numpy; and bytecode, which the bars take as compiled.
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
    """A command that had to succeed did not, so there is nothing to time."""


@dataclass(frozen=True)
class Cost:
    """What a command took: wall time in s, and its memory at its highest, in MB."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Workspace:
    """A directory in which commands run as if nothing but this Python environment existed."""

    path: Path

    def run(self, *command: str) -> str:
        """Return what a command run here writes to stdout; raise CommandError with its last lines if it fails."""
        done = subprocess.run(command, cwd=self.path, env=self._environ(), capture_output=True, text=True, check=False)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise CommandError(
                f"`{' '.join(command)}` ended with {done.returncode} in {self.path}; its last lines:\n{last}"
            )
        return done.stdout

    def time(self, *command: str) -> float:
        """Return the wall time of a command run here, in seconds."""
        start = time.perf_counter()
        self.run(*command)
        return time.perf_counter() - start

    def measure(self, *command: str) -> Cost:
        """Return what a command run here on one core takes as a whole process; raise CommandError if it fails."""
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
        """Return a process started here on one core, in a session of its own, which says all it says into `out`."""
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
    """Return where the data sets that scikit-learn fetches lie, for a clone as for this repository."""
    return data_folder(os.environ, ROOT).resolve()


def missing_data() -> list[str]:
    """Return the files of fetched data sets that are not here: the benchmarks fetch nothing."""
    return [file for file, _ in FETCHED.values() if not (fetched_folder() / file).is_file()]


@contextmanager
def one_core(core: int) -> Iterator[None]:
    """Pin this thread, and what it starts meanwhile, to one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def clone_head(path: Path) -> Workspace:
    """Return a fresh clone of the repository's HEAD at `path`: no outputs, an empty cache."""
    Workspace(ROOT).run("git", "clone", "--quiet", ".", str(path))
    return Workspace(path)


def make_toy(path: Path) -> Workspace:
    """Return a new DVC project of two chained stages that echo a word, configured as this one is."""
    path.mkdir()
    toy = Workspace(path)
    toy.run("git", "init", "--quiet")
    toy.run("dvc", "init", "--quiet")
    (path / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (path / "dvc.yaml").write_text(TOY)
    return toy
