"""Stage test: the gate. When the fast unit tests of the pipeline's code pass, tests.json says so."""

import subprocess
import sys
from pathlib import Path

from artifact_flow.core.base.files import replace_files

VERDICT = Path("tests.json")
SCRATCH = Path(".artifact-flow/gate")


def main(folder: Path) -> None:
    """Write tests.json, which changes only when the verdict does, or end the process as pytest ends."""
    SCRATCH.parent.mkdir(exist_ok=True)
    chosen = ["--confcutdir=tests/unit", f"--basetemp={SCRATCH}", "-m", "not long", "tests/unit"]
    command = [sys.executable, "-m", "pytest", *chosen]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)
    with replace_files(folder / VERDICT) as (verdict,):
        verdict.write_text('{"passed":true}\n', encoding="utf-8")
