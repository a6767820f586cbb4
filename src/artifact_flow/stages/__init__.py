"""Stages: each module is one stage of dvc.yaml and reads like its sentence: read, compute, write.

Run as `python -m artifact_flow.stages.<name> [FLOW]` in the directory of its dvc.yaml: without a flow on the main
flow, whose files lie right there; with one on that flow of params.yaml, whose files lie in the folder of its name.
"""

from artifact_flow import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import sys
from collections.abc import Callable
from pathlib import Path

from artifact_flow.errors import told_in_one_sentence
from artifact_flow.lean import leave_out_pandas
from artifact_flow.params import PARAMS, Params, load_params


if sys.argv[0] == "-m":  # as a stage, and not when a test imports one
    leave_out_pandas()


def run(stage: Callable[[Params, Path], None]) -> None:
    """Run a stage's function with the parameters and the folder of the flow that the command line names."""
    flow = sys.argv[1] if len(sys.argv) > 1 else None
    with told_in_one_sentence(f"flow {flow}: " if flow else ""):
        stage(load_params(PARAMS, flow), Path(flow or "."))
