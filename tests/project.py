"""Project: a git and DVC repository in its own folder, with the operations of the tests."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from warm import start_hosts

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.core.base.files import hash_file
from artifact_flow.tracking.result import read_result

OUTPUTS = (
    "contract.json",
    "data.parquet",
    "metrics.json",
    "model.onnx",
    "model_quantized.onnx",
    "model_train.pkl",
    "parity.json",
    "plots/confusion.csv",
    "plots/curves.csv",
    "plots/float_8bit.csv",
    "plots/importance.csv",
    "plots/predicted_actual.csv",
    "plots/search.csv",
    "predictions.csv",
    "quantization.json",
)
FLOWS = Path(__file__).with_name("flows.yaml")  # a copy, because a user may delete flows/dvc.yaml
IRIS = """\
flows:
  iris:
    data:
      source: iris
      preprocess: none
      test_size: 0.2
      seed: 42
      stratify: false
    train:
      estimator: sklearn.linear_model.LogisticRegression
      threads: 1
      max_iter: 200
    infer:
      decimals: 8
    export:
      opset: 17
      max_difference: 1.0e-5

quantize:
  iris:
    max_quality_loss: 0.003
    min_agreement: 0.995
"""


@dataclass(frozen=True)
class Project:
    """A git and DVC repository in its own folder."""

    root: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands: this interpreter first in PATH, and no files written outside the project."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_"))}
        return inherited | {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "DVC_SITE_CACHE_DIR": str(self.root / ".dvc/tmp/site-cache"),
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@localhost",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@localhost",
        }

    def run(self, *command: str, code: int = 0, given: str | None = None) -> str:
        """Run a command with `given` as its input, expect its exit code, and return what it printed."""
        done = subprocess.run(
            command,
            check=False,
            cwd=self.root,
            env=self.environ | {"PATH": os.pathsep.join(filter(None, (start_hosts(), self.environ["PATH"])))},
            input=given,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == code, f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}"
        return done.stdout

    def repro(self, *arguments: str, code: int = 0) -> list[str]:
        """Run `dvc repro` and return the stages that ran, in order."""
        return re.findall(r"^Running stage '(.+)'", self.run("dvc", "repro", *arguments, code=code), re.MULTILINE)

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Change a text file; the change must have an effect."""
        file = self.root / path
        before = file.read_text()
        after = change(before)
        assert after != before, f"{path} contains nothing to change"
        file.write_text(after)

    def set_param(self, old: str, new: str) -> None:
        """Replace a text in params.yaml."""
        self.edit("params.yaml", lambda text: text.replace(old, new))

    def add_iris(self) -> None:
        """Add the folder flows with only iris, not reproduced."""
        (self.root / "flows").mkdir()
        shutil.copy(FLOWS, self.root / "flows/dvc.yaml")
        (self.root / "flows/params.yaml").write_text(IRIS)

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every output."""
        return {path: hash_file(self.root / path) for path in OUTPUTS}


def copy_tree(source: Path, target: Path, is_needed: Callable[[str], bool] = lambda name: True) -> None:
    """Copy the needed files of a working tree that git tracks or would add; `is_needed` gets their paths in it."""
    listed = Project(source).run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in sorted(filter(is_needed, set(filter(None, listed.split("\0"))))):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)


def is_finished(flow: Path) -> bool:
    """Return whether a flow's folder contains every output in dvc.lock, with the locked hash."""
    try:
        read_result(flow)
    except ArtifactFlowError:
        return False
    return True
