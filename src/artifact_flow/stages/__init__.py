"""Stages: each module is one stage of dvc.yaml and reads like its sentence: read, compute, write.

Run as `sh src/stage <name> [FLOW]` in the directory of its dvc.yaml: without a flow on the main flow, whose files lie
right there; with one on that flow of params.yaml, whose files lie in the folder of its name.
"""

import os
import sys

from artifact_flow.interpreter import check_interpreter

IS_RUN = sys.argv[0] == "-m"  # as a stage, and not when a test imports one
if IS_RUN:
    check_interpreter(os.environ)

from artifact_flow import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from artifact_flow.errors import told_in_one_sentence
from artifact_flow.files import asked_before_replacing
from artifact_flow.fingerprint import take_fingerprint

START = take_fingerprint(os.environ)  # before the imports that take long: what is edited during them counts

from artifact_flow.lean import leave_out_pandas
from artifact_flow.params import PARAMS, Params, load_params

if IS_RUN:
    leave_out_pandas()


def run(stage: Callable[[Params, Path], None]) -> None:
    """Run a stage's function with the parameters and the folder of the flow that the command line names."""
    flow = sys.argv[1] if len(sys.argv) > 1 else None
    with told_in_one_sentence(f"flow {flow}: " if flow else ""), unchanged_inputs():
        stage(load_params(PARAMS, flow), Path(flow or "."))


@contextmanager
def unchanged_inputs() -> Iterator[None]:
    """Let a block put outputs in place only while the inputs of the stage are those of its start.

    Raises ChangedError when they are not, at the latest after the block.
    """
    if START is None:
        yield
        return
    with asked_before_replacing(START.check):
        yield
    START.check()
