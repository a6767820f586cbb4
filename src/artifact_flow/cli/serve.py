"""`artifact-flow serve`: serve models over HTTP."""

import argparse
import os
from dataclasses import replace

from artifact_flow.cli.commands import Commands
from artifact_flow.cli.models import find_model


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    serve = commands.add_parser(
        "serve",
        help="answer predictions over HTTP: a REST API and a page",
        description="Serve model.onnx files, each with the contract.json beside it, after their hashes are checked. "
        "The environment gives what is secret or of the build: ARTIFACT_FLOW_API_KEY, MODEL_SHA256, "
        "ARTIFACT_FLOW_COMMIT.",
    )
    serve.add_argument(
        "models",
        nargs="*",
        default=["model.onnx"],
        metavar="MODEL",
        help="a file, or models:/iris@champion of the registry; default: model.onnx; the first is at /",
    )
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    serve.add_argument("--port", type=int, default=8000, help="default: 8000; 0 takes a free one")
    serve.add_argument("--workers", type=int, default=1, help="processes; default: 1")
    serve.add_argument("--log-file", metavar="FILE", help="write the log there too; it rotates at 100 MB")
    serve.add_argument("--no-log-inputs", action="store_true", help="leave what was asked out of the log")
    serve.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base.errors import ServeError
    from artifact_flow.core.base.files import repository_root

    try:
        from artifact_flow.serving.server import serve
        from artifact_flow.serving.settings import build_commit, load_settings
    except ModuleNotFoundError as error:
        raise ServeError(f"{error.name} is not installed: `make serve` installs what the service needs.") from error
    if not 1 <= arguments.workers <= 64:
        raise ServeError(f"--workers is {arguments.workers}: give 1 to 64.")
    found = [find_model(model) for model in arguments.models]
    told = replace(
        load_settings(),
        models=tuple(str(path) for path, _ in found),
        vouched=tuple(sha256 for _, hashes in found for sha256 in hashes),
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        log_file=arguments.log_file,
        log_inputs=not arguments.no_log_inputs,
        commit=build_commit(os.environ, repository_root()),
    )
    serve(told)
