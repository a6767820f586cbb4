"""`artifact-flow attest`: a signed statement of what made a model, and the keys for it."""

import argparse
from pathlib import Path

from artifact_flow.cli.arguments import Commands
from artifact_flow.cli.process import note, requires_extra

REMEDY = "`make setup`, or `pip install artifact-flow[attest]`"


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    attest = commands.add_parser(
        "attest",
        help="write a signed statement beside a model: its commit, inputs, outputs, libraries and machine",
        description="Write an in-toto statement (SLSA provenance v1, in a DSSE envelope) beside a model that the "
        "dvc.lock of HEAD names, signed with an ed25519 key. The same commit, machine and key give the same bytes.",
    )
    attest.add_argument(
        "model",
        nargs="?",
        type=Path,
        default=Path("model.onnx"),
        metavar="MODEL",
        help="a model file or a flow's folder; default: model.onnx",
    )
    key = attest.add_mutually_exclusive_group(required=True)
    key.add_argument("--key", type=Path, metavar="FILE", help="the private key that signs")
    key.add_argument("--new-key", type=Path, metavar="FILE", help="only make a private key, and FILE.pub beside it")
    attest.add_argument("--out", type=Path, metavar="FILE", help="the statement; default: MODEL.statement.json")
    attest.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.errors import VerifyError

    with requires_extra(REMEDY, VerifyError):
        from artifact_flow.proof.attest import attest
        from artifact_flow.proof.envelope import make_key
    if arguments.new_key:
        public = make_key(arguments.new_key)
        note(f"{arguments.new_key} signs, and is yours alone; give {public} to those who are to believe you.")
        return
    path, origin = attest(arguments.model, arguments.key, arguments.out)
    print(f"{path}: {origin.path} of commit {origin.head.commit}, {len(origin.head.stages)} stages")
