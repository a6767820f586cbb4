"""Stage test: the gate. When the fast unit tests of the pipeline's code pass, tests.json says so."""

import sys
from pathlib import Path

import pytest

from artifact_flow.errors import told_in_one_sentence
from artifact_flow.files import replace_files
from artifact_flow.stages import unchanged_inputs

VERDICT = Path("tests.json")
SCRATCH = Path(".artifact-flow/gate")


def main() -> None:
    """Write tests.json, which changes only when the verdict does, or end the process as pytest ends."""
    SCRATCH.parent.mkdir(exist_ok=True)
    code = pytest.main(["--confcutdir=tests/unit", f"--basetemp={SCRATCH}", "tests/unit"])
    if code:
        sys.exit(code)
    # only now: what the tests themselves write is none of the stage's outputs
    with told_in_one_sentence(), unchanged_inputs(), replace_files(VERDICT) as (verdict,):
        verdict.write_text('{"passed":true}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
