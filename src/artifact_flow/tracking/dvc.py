"""DVC: its command line, which this package runs instead of importing DVC."""

import subprocess
import sys
from pathlib import Path


def run_dvc(*arguments: str, folder: Path | None = None, capture: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run a DVC command in a folder (default: the working directory) and return the completed process.

    Its output goes to the terminal unless `capture` is set. The caller has to check `returncode`.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=capture, text=True)
