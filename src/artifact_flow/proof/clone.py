"""Clone: a clean clone of a commit in which `dvc repro --force` runs under given surroundings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artifact_flow.core.base.determinism import KERNEL_VARIABLES, THREAD_VARIABLES
from artifact_flow.core.base.errors import VerifyError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.lock import merge_locks, output_hashes, parse_lock
from artifact_flow.core.table.builtin import VARIABLE, data_folder
from artifact_flow.proof.head import Head, Stages, find_sources, git, is_available, plain_environ
from artifact_flow.proof.surroundings import Surroundings


@dataclass(frozen=True)
class Reproduction:
    """The result of `dvc repro --force` in one clone: its root, its locked stages and the md5 of each output."""

    surroundings: Surroundings
    root: Path
    stages: Stages
    hashes: dict[str, str]


def reproduce(head: Head, surroundings: Surroundings, folder: Path, announce: Callable[[str], object]) -> Reproduction:
    """Clone the commit into `folder`, run `dvc repro --force` there on its pipelines, and return the result.

    `announce` is called with the name of each stage as it starts. Raises VerifyError when a stage fails.
    """
    clone = folder / surroundings.directory
    announce("clone")
    git(head.root, "clone", "--quiet", "--no-hardlinks", str(head.root), str(clone))
    git(clone, "checkout", "--quiet", "--detach", head.revision)
    _copy_data(head, clone)
    output = []
    with subprocess.Popen(
        ["dvc", "repro", "--force", *head.targets],
        cwd=clone,
        env=_clone_environ(head, clone, surroundings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            if line.startswith("Running stage '"):
                announce(line.split("'")[1])
    if process.returncode:
        tail = "".join(output[-25:])
        raise VerifyError(
            f"`dvc repro --force` fails in a clean clone of commit {head.commit} ({surroundings.name}), so there is "
            f"nothing to compare; its last lines:\n{tail}"
        )
    return _collect(head, surroundings, clone)


def _copy_data(head: Head, clone: Path) -> None:
    """Copy into the clone the data that the locks name but git does not track, such as a table that DVC tracks."""
    for dep in find_sources(head.stages):
        here, there = head.root / dep["path"], clone / dep["path"]
        if not there.exists() and is_available(here, dep):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(here, there) if here.is_dir() else shutil.copy(here, there)


def _clone_environ(head: Head, clone: Path, surroundings: Surroundings) -> dict[str, str]:
    pinned = {*THREAD_VARIABLES, *KERNEL_VARIABLES}  # set in this process; the clone's code must set them itself
    return {k: v for k, v in plain_environ().items() if k not in pinned and not k.startswith("DVC_")} | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "DVC_SITE_CACHE_DIR": str(clone / ".dvc/tmp/site-cache"),
        VARIABLE: str(data_folder(os.environ, head.root)),
        **surroundings.environ,
    }


def _collect(head: Head, surroundings: Surroundings, clone: Path) -> Reproduction:
    stages = merge_locks({path: parse_lock((clone / path).read_bytes()) for path in head.locks})
    stages = {name: stage for name, stage in stages.items() if name not in head.left_out}
    made = output_hashes(stages)
    hashes = {path: md5 for path, md5 in made.items() if (clone / path).is_dir()}  # DVC has just hashed its files
    hashes |= {path: hash_file(clone / path, "md5") for path in (*made, *head.locks) if (clone / path).is_file()}
    return Reproduction(surroundings, clone, stages, hashes)
