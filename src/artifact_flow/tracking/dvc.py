"""DVC: its command line, which this package runs and never imports."""

import subprocess
import sys
from pathlib import Path


def run_dvc(*arguments: str, folder: Path | None = None, capture: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run a command of DVC in a folder (default: the working directory) and return how it ended.

    Its output goes to the terminal unless it is captured. A failure is for the caller to report: see `returncode`.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=capture, text=True)
