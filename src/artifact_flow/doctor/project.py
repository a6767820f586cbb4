"""Project: the repository in the working directory, and what git and DVC say about it, each asked once."""

import json
import os
import posixpath
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from artifact_flow.core.base.errors import LockError

SECONDS = 60  # that git or DVC may take to answer


@dataclass(frozen=True, eq=False)
class Project:
    """What is examined: the working directory, the environment that the user exported, and the URL of a service."""

    environ: Mapping[str, str]
    service: str | None = None

    def git(self, *arguments: str) -> str | None:
        """Return what a git command prints, without the last line end, or None if it fails or there is no git."""
        done = self._run("git", *arguments)
        return None if done is None or done.returncode else done.stdout.rstrip("\n")

    def blob(self, path: str) -> bytes | None:
        """Return the bytes of a file in the last commit, or None if it has no such file."""
        try:
            command = ["git", "cat-file", "blob", f"HEAD:./{path}"]
            done = subprocess.run(command, env=self.environ, check=False, capture_output=True)
        except OSError:
            return None
        return None if done.returncode else done.stdout

    def dvc(self, *arguments: str) -> "subprocess.CompletedProcess[str] | None":
        """Run a DVC command, by the `dvc` that the user would run; return None if it does not end in time."""
        program = shutil.which("dvc", path=self.environ.get("PATH"))
        return self._run(*([program] if program else [sys.executable, "-m", "dvc"]), *arguments)

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str] | None":
        try:
            return subprocess.run(
                command,
                env=self.environ,
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None

    @cached_property
    def folders(self) -> list[str]:
        """The folders with a dvc.yaml, such as "" and "flows", that git tracks or would add; "" if there is no git."""
        listed = self.git(
            "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "dvc.yaml", "*/dvc.yaml"
        )
        paths = ["dvc.yaml"] if listed is None else sorted(filter(None, listed.split("\0")))
        return [posixpath.dirname(path) for path in paths if Path(path).is_file()]

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """The locked stages of all folders by DVC's names, as `merge_locks` returns them; raise LockError."""
        from artifact_flow.core.base.lock import LOCK, merge_locks, read_lock

        locks = [posixpath.join(folder, LOCK.name) for folder in self.folders]
        return merge_locks({lock: read_lock(Path(lock)) for lock in locks if Path(lock).is_file()})

    @cached_property
    def status(self) -> dict[str, list[Any]]:
        """What `dvc status` finds changed: stage → changes; raise LockError with DVC's words when it cannot tell."""
        done = self.dvc("status", "--json")
        try:
            if done is not None and not done.returncode:
                return dict(json.loads(done.stdout))
        except ValueError:
            pass
        raise LockError(f"`dvc status` fails ({last_words(done)})")

    @cached_property
    def config(self) -> dict[str, str]:
        """DVC's settings of every level, such as "core.remote" → "store"; paths of remotes are absolute."""
        done = self.dvc("config", "--list")
        lines = done.stdout.splitlines() if done is not None else ()
        return {name: value for name, found, value in (line.partition("=") for line in lines) if found}

    @cached_property
    def cache(self) -> Path:
        """The folder of DVC's cached files, relative to the working directory if it is below."""
        folder = Path(self.config.get("cache.dir") or ".dvc/cache") / "files/md5"
        return Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder

    def object(self, md5: str) -> Path:
        """Return the path of a file with this md5 in DVC's cache, whether it exists or not."""
        return self.cache / md5[:2] / md5[2:]


def last_words(done: "subprocess.CompletedProcess[str] | None") -> str:
    """Return the first line by which a command says what it did not like."""
    if done is None:
        return f"no answer within {SECONDS} seconds"
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[0].removeprefix("ERROR: ").rstrip(".") if lines else f"exit code {done.returncode}"
