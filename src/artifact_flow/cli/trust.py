"""`artifact-flow trust`: count who reproduced a model."""

import argparse
import sys
from pathlib import Path

from artifact_flow.cli.arguments import Commands, add_threshold, check_threshold
from artifact_flow.cli.attest import REMEDY
from artifact_flow.cli.process import requires_extra


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    trust = commands.add_parser(
        "trust",
        help="count the keys whose rebuild statements say that they reproduced a model",
        description="Count the distinct public keys in a folder whose rebuild statements say REPRODUCED of exactly "
        "this file. A statement with a bad signature, by an unknown key or about another file is named, not counted, "
        "nor is a key that says both REPRODUCED and DIVERGED or TAMPERED. Exit code 0: at least as many keys as the "
        "threshold; 1: fewer.",
    )
    trust.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    trust.add_argument("--keys", type=Path, required=True, metavar="DIR", help="the public keys, *.pub, that you trust")
    add_threshold(trust, "must say so")
    trust.add_argument(
        "--statements", type=Path, metavar="DIR", help="a folder of *.rebuild.json; default: MODEL.*.rebuild.json"
    )
    trust.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.errors import VerifyError
    from artifact_flow.core.base.files import hash_bytes

    with requires_extra(REMEDY, VerifyError):
        from artifact_flow.proof.envelope import read_keys
        from artifact_flow.proof.origin import read_model
        from artifact_flow.proof.trust import count_keys, find_statements, hear
    check_threshold(arguments.threshold, VerifyError)
    statements = find_statements(arguments.model, arguments.statements)
    voices = hear(hash_bytes(read_model(arguments.model)), statements, read_keys(arguments.keys))
    for voice in voices:
        who = ", ".join(f"key {key[:12]}" for key in voice.keys)
        print(f"{voice.path.name}: {f'{who}: ' if who else ''}{voice.says}")
    found = count_keys(voices)
    print(f"{arguments.model}: reproduced by {found} of {arguments.threshold} keys")
    sys.exit(0 if found >= arguments.threshold else 1)
