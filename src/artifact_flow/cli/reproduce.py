"""`artifact-flow reproduce`: rebuild a model from the commit that names it."""

import argparse
import sys
from pathlib import Path

from artifact_flow.cli.arguments import Commands
from artifact_flow.cli.attest import REMEDY
from artifact_flow.cli.process import note, requires_extra


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    reproduce = commands.add_parser(
        "reproduce",
        help="rebuild a model from the commit that names it, and compare the bytes",
        description="Find the commit that made a model, by its statement or in the history of a repository, check all "
        "that contradicts it, rebuild its flow in a clean clone, which runs the repository's code, and compare. Exit "
        "code 0: REPRODUCED; 1: DIVERGED, other bytes; 3: INCONCLUSIVE, as this machine, the data or the repository "
        "does not permit an answer; 4: TAMPERED, model, statement, contract and commit contradict each other; 2: the "
        "question could not be asked.",
    )
    reproduce.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    reproduce.add_argument(
        "--repo",
        default=".",
        metavar="REPOSITORY",
        help="a folder or an address, whose code you trust to run; default: the current repository",
    )
    reproduce.add_argument(
        "--statement", type=Path, metavar="FILE", help="default: MODEL.statement.json, if it is beside the model"
    )
    reproduce.add_argument("--keys", type=Path, metavar="DIR", help="the public keys, *.pub, that may sign a statement")
    reproduce.add_argument(
        "--key", type=Path, metavar="FILE", help="a private key: write a rebuild statement with the verdict"
    )
    reproduce.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments; exit with 2 where others exit with 1, which is a verdict here."""
    from artifact_flow.core.base.errors import ArtifactFlowError, VerifyError

    try:
        with requires_extra(REMEDY, VerifyError):
            from artifact_flow.proof.envelope import read_keys, read_private
            from artifact_flow.proof.rebuild import CODES, reproduce_model, write_rebuild
        keys = read_keys(arguments.keys) if arguments.keys else None
        signer = read_private(arguments.key) if arguments.key else None
        answer = reproduce_model(
            arguments.model, arguments.repo, arguments.statement, keys, lambda stage: note(f"rebuilding: {stage}")
        )
        for text in answer.notes:
            note(text)
        print(f"{answer.verdict}: {arguments.model}: {answer.sentence}")
        if signer is not None:
            note(f"{write_rebuild(arguments.model, answer, signer)} says so.")
    except ArtifactFlowError as error:
        note(f"error: {error}")
        sys.exit(2)
    sys.exit(CODES[answer.verdict])
