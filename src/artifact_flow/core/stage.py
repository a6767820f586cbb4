"""Stage: runs one stage of dvc.yaml by its name, `python -m artifact_flow.core.stage NAME [FLOW]`, as stage.sh does.

NAME is a module in src/artifact_flow/stages; its `main(params, folder)` does the work. The current directory is that of
the dvc.yaml. Without FLOW the stage runs on the main flow, whose files are in that directory; with FLOW it runs on that
flow of params.yaml, whose files are in the folder of the same name. Imports are inside the functions because their
order matters: an unsuitable Python is rejected before any third-party import, and the process is pinned before numpy.
"""

import os
import sys


def main() -> None:
    """Run the stage named on the command line; on a user's mistake, exit with one sentence on stderr."""
    from artifact_flow.core.base.interpreter import check_interpreter

    check_interpreter(os.environ)
    from artifact_flow.core.base import determinism  # noqa: F401 - pins the process
    from artifact_flow.core.base.fingerprint import take_fingerprint, unchanged_inputs

    start = take_fingerprint(os.environ)  # before the slow imports, so that edits made during them are noticed
    from artifact_flow.core.base.errors import exit_on_error
    from artifact_flow.core.base.without_pandas import leave_out_pandas

    leave_out_pandas()
    name, flow = parse_arguments(sys.argv[1:])
    with exit_on_error(f"flow {flow}: " if flow else ""), unchanged_inputs(start):
        run(name, flow)


def parse_arguments(argv: "list[str]") -> "tuple[str, str]":
    """Return the names of the stage and of the flow, "" for the main flow; on other arguments, exit with a sentence."""
    from argparse import ArgumentParser
    from importlib.util import find_spec

    parser = ArgumentParser(prog="stage", description="Run a stage of dvc.yaml.")
    parser.add_argument("name", metavar="NAME", help="a module in src/artifact_flow/stages")
    parser.add_argument(
        "flow", metavar="FLOW", nargs="?", default="", help="a flow in params.yaml; default: the main flow"
    )
    found = parser.parse_args(argv)
    if not found.name.isidentifier() or find_spec(f"artifact_flow.stages.{found.name}") is None:
        parser.error(
            f"there is no stage {found.name}: write src/artifact_flow/stages/{found.name}.py, or correct the name"
        )
    return found.name, found.flow


def run(name: str, flow: str = "") -> None:
    """Call a stage's `main` with the folder of its files and, if it takes them, the parameters (stage `test` does not).

    Raises ParamsError for invalid parameters, and whatever the stage raises.
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
