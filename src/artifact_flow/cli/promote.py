"""`artifact-flow promote`: make the challenger the champion."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_flow.cli.arguments import Commands, add_flows, add_registered_name, refuse_shared
from artifact_flow.cli.attest import REMEDY
from artifact_flow.cli.process import requires_extra

if TYPE_CHECKING:
    from artifact_flow.core.base.params import PromoteParams


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    promote = commands.add_parser(
        "promote",
        help="make the challenger the champion if it is not worse",
        description="Compare the challenger with the champion. The challenger becomes the champion if its accuracy or "
        "R² on the same test rows is at most promote.max_loss (params.yaml) lower, its result comes from a commit, and "
        "at least promote.min_rebuilders of the public keys in promote.keys say that they reproduced it. "
        "Exit code 0: promoted; 1: not promoted.",
    )
    add_flows(promote)
    add_registered_name(promote)
    promote.add_argument("--version", help="a version to promote instead of the challenger, for example to roll back")
    promote.add_argument(
        "--force", action="store_true", help="promote regardless of the comparison; a tag records the reason"
    )
    promote.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.tracking.client import Server
    from artifact_flow.tracking.registry import Registry
    from artifact_flow.tracking.result import find_flow

    refuse_shared(arguments.flows, "--name", arguments.name)
    refuse_shared(arguments.flows, "--version", arguments.version)
    gates = {flow: flow.load_params().promote for flow in map(find_flow, arguments.flows)}
    doubts = {flow: _require_rebuilders(flow.folder, gate) for flow, gate in gates.items()}
    registry = Registry(Server())
    promoted = True
    for flow, gate in gates.items():
        name = flow.name if arguments.name is None else arguments.name
        compared = registry.promote(name, gate.max_loss, arguments.version, arguments.force, doubts[flow])
        print(compared.table())
        print(compared.verdict())
        promoted = promoted and compared.promoted
    sys.exit(0 if promoted else 1)


def _require_rebuilders(folder: Path, gate: "PromoteParams") -> Callable[[str, str], str | None] | None:
    """Return what objects to a model file, by its name and sha256, that too few of the gate's keys have reproduced."""
    if not gate.min_rebuilders:
        return None
    from artifact_flow.core.base.errors import VerifyError
    from artifact_flow.core.base.files import repository_root

    with requires_extra(REMEDY, VerifyError):
        from artifact_flow.proof.trust import find_objection, find_statements
    keys = repository_root(folder) / gate.keys
    return lambda name, sha256: find_objection(name, sha256, find_statements(folder / name), keys, gate.min_rebuilders)
