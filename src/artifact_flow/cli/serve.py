"""`artifact-flow serve`: serve models over HTTP."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_flow.cli.arguments import MODEL, Commands, add_threshold, check_processes, check_threshold
from artifact_flow.cli.attest import REMEDY
from artifact_flow.cli.models import find_model
from artifact_flow.cli.process import requires_extra

if TYPE_CHECKING:
    from artifact_flow.serving.settings import ServiceSettings


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    serve = commands.add_parser(
        "serve",
        help="serve predictions over HTTP: a REST API and a page",
        description="Serve model.onnx files, each with the contract.json in its folder, after checking their hashes. "
        "Secrets and values of the build come from the environment: ARTIFACT_FLOW_API_KEY, MODEL_SHA256, "
        "ARTIFACT_FLOW_COMMIT.",
    )
    serve.add_argument(
        "models", nargs="*", default=["model.onnx"], metavar="MODEL", help=f"{MODEL}; the first is also at /"
    )
    serve.add_argument(
        "--shadow",
        action="append",
        default=[],
        metavar="MODEL",
        help="a challenger of the served model of the same name: it predicts the same rows; its answers are logged and "
        "compared, never returned",
    )
    serve.add_argument(
        "--require-statement",
        type=Path,
        metavar="DIR",
        help="serve, and reload, only models that enough of the public keys in this folder say they reproduced: a "
        "rebuild statement of each lies beside the model (`artifact-flow reproduce --key`)",
    )
    add_threshold(serve, "of these keys must say so")
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    serve.add_argument("--port", type=int, default=8000, help="default: 8000; 0 chooses a free port")
    serve.add_argument("--workers", type=int, default=1, help="number of processes; default: 1")
    serve.add_argument("--log-file", metavar="FILE", help="also write the log to this file, which rotates at 100 MB")
    serve.add_argument("--no-log-inputs", action="store_true", help="log predictions without their input rows")
    serve.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.errors import ServeError

    with requires_extra("`make serve` installs what the service needs", ServeError):
        from artifact_flow.serving.server import serve
    check_processes("--workers", arguments.workers, ServeError)
    if arguments.require_statement:
        check_threshold(arguments.threshold, ServeError)
    serve(lambda: _find_settings(arguments))


def _find_settings(arguments: argparse.Namespace) -> "ServiceSettings":
    """Return the settings with the version that each registry's name means now, and the commit that is checked out."""
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.serving.settings import build_commit, load_settings

    found = [find_model(model) for model in arguments.models]
    shadows = [find_model(model) for model in arguments.shadow]
    return replace(
        load_settings(),
        models=tuple(str(path) for path, _ in found),
        shadows=tuple(str(path) for path, _ in shadows),
        reproduced=_find_reproduced(arguments, [path for path, _ in (*found, *shadows)]),
        vouched=tuple(sha256 for _, hashes in [*found, *shadows] for sha256 in hashes),
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        log_file=arguments.log_file,
        log_inputs=not arguments.no_log_inputs,
        commit=build_commit(os.environ, repository_root()),
    )


def _find_reproduced(arguments: argparse.Namespace, models: Sequence[Path]) -> tuple[str, ...] | None:
    """Return the hashes of the models that enough of the required keys have reproduced, None if none are required."""
    if arguments.require_statement is None:
        return None
    from artifact_flow.core.base.errors import VerifyError
    from artifact_flow.core.model.artifacts import QUANTIZED, holds_model

    with requires_extra(REMEDY, VerifyError):
        from artifact_flow.proof.trust import require_rebuilders

    quantized = [path.with_name(QUANTIZED.name) for path in models]
    served = dict.fromkeys([*models, *filter(holds_model, quantized)])
    return tuple(require_rebuilders(path, arguments.require_statement, arguments.threshold) for path in served)
