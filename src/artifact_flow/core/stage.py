"""Stage: runs one stage of dvc.yaml by its name, `python -m artifact_flow.core.stage NAME [FLOW]`, as stage.sh does.

NAME is a module in src/artifact_flow/stages; its `main(params, folder)` does the work. It runs in the directory of its
dvc.yaml: without FLOW on the main flow, whose files are in that directory; with FLOW on that flow of params.yaml, whose
files are in the folder of that name. Imports are inside the functions because their order matters: an unfit Python is
refused before a third-party package is imported, and the process is pinned before numpy is imported.
"""

import os
import sys


def main() -> None:
    """Run the stage that the command line names, or end the process with one sentence that says why not."""
    from artifact_flow.core.base.interpreter import check_interpreter

    check_interpreter(os.environ)
    from artifact_flow.core.base import determinism  # noqa: F401 - pins the process
    from artifact_flow.core.base.fingerprint import take_fingerprint, unchanged_inputs

    start = take_fingerprint(os.environ)  # before the imports that take long: what is edited during them counts
    from artifact_flow.core.base.errors import told_in_one_sentence
    from artifact_flow.core.base.without_pandas import leave_out_pandas

    leave_out_pandas()
    with told_in_one_sentence(f"flow {sys.argv[2]}: " if len(sys.argv) > 2 else ""), unchanged_inputs(start):
        run(*sys.argv[1:])


def run(name: str, flow: str = "") -> None:
    """Run a stage's `main` with what it takes: the folder of its files, and the parameters, which the gate has not.

    Raises ParamsError for parameters that do not fit, and what the stage raises.
    """
    from importlib import import_module
    from inspect import signature
    from pathlib import Path

    from artifact_flow.core.base.params import PARAMS, load_params

    stage = import_module(f"artifact_flow.stages.{name}").main
    given = (load_params(PARAMS, flow or None),) if "params" in signature(stage).parameters else ()
    stage(*given, Path(flow or "."))


if __name__ == "__main__":
    main()
