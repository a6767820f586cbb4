"""`artifact-flow card`: write a model card, a bill of materials and a description of the data set."""

import argparse
from pathlib import Path

from artifact_flow.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    card = commands.add_parser(
        "card",
        help="write a model card, a bill of materials and a description of the data set",
        description="Write MODEL_CARD.md (with Hugging Face's front matter), model.cdx.json (a CycloneDX ML-BOM) and "
        "croissant.json (MLCommons Croissant, of data.parquet) from the files of a finished flow, after checking each "
        "against dvc.lock. The same result gives the same bytes. A stale or unfinished flow is refused.",
    )
    card.add_argument(
        "flow",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="FLOW",
        help="the folder of a flow, such as flows/iris; default: the main flow",
    )
    card.add_argument("--out", type=Path, metavar="FOLDER", help="where to write; default: the flow's folder")
    card.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base import determinism  # noqa: F401 - first: it must pin before numpy is imported
    from artifact_flow.core.base.files import replace_files
    from artifact_flow.evidence.bom import BOM, render_bom
    from artifact_flow.evidence.card import CARD, render_card
    from artifact_flow.evidence.croissant import CROISSANT, render_croissant
    from artifact_flow.evidence.facts import read_facts

    facts = read_facts(arguments.flow)
    folder = arguments.flow if arguments.out is None else arguments.out
    texts = {CARD: render_card(facts), BOM: render_bom(facts), CROISSANT: render_croissant(facts)}
    paths = [folder / name for name in texts]
    with replace_files(*paths) as parts:
        for part, text in zip(parts, texts.values(), strict=True):
            part.write_text(text, encoding="utf-8", newline="\n")
    for path in paths:
        print(path)
