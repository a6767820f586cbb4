"""The documents of `artifact-flow card` beside a model that the stages made without DVC."""

from pathlib import Path

from serving.server import lock_for

from artifact_flow.core.base.contract import read_contract
from artifact_flow.evidence.bom import BOM, render_bom
from artifact_flow.evidence.card import CARD, render_card
from artifact_flow.evidence.croissant import CROISSANT, render_croissant
from artifact_flow.evidence.facts import gather_facts
from artifact_flow.tracking.result import read_result

DOCUMENTS = (CARD.name, BOM.name, CROISSANT.name)


def write_papers(folder: Path) -> dict[str, bytes]:
    """Write the documents into a model's folder, and a dvc.lock that names its files; return name → content."""
    outputs = {path.name for path in folder.iterdir() if path.suffix in (".parquet", ".json", ".pkl", ".onnx")}
    others = sorted(outputs - {"model.onnx", "contract.json", *DOCUMENTS})
    lock_for(folder, *others, params=read_contract(folder / "contract.json", folder / "dvc.lock").params)
    facts = gather_facts(read_result(folder))
    texts = (render_card(facts), render_bom(facts), render_croissant(facts))
    for name, text in zip(DOCUMENTS, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    return {name: (folder / name).read_bytes() for name in DOCUMENTS}
