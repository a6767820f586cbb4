"""The documents of `artifact-flow card` beside a model that the stages made without DVC."""

import json
from pathlib import Path

from artifact_flow.core.base.contract import read_contract
from artifact_flow.core.base.files import hash_file
from artifact_flow.evidence.bom import BOM, render_bom
from artifact_flow.evidence.card import CARD, render_card
from artifact_flow.evidence.croissant import CROISSANT, render_croissant
from artifact_flow.evidence.facts import gather_facts
from artifact_flow.tracking.result import read_result

DOCUMENTS = (CARD.name, BOM.name, CROISSANT.name)


def write_papers(folder: Path) -> dict[str, bytes]:
    """Write the documents into a model's folder, and a dvc.lock that names its files; return name → content."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".parquet", ".json", ".pkl", ".onnx"))
    outs = [{"path": name, "md5": hash_file(folder / name, "md5")} for name in names if name not in DOCUMENTS]
    params = {"params.yaml": read_contract(folder / "contract.json", folder / "dvc.lock").params}
    stage = {"cmd": "train", "params": params, "outs": outs}
    (folder / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"train": stage}}))
    facts = gather_facts(read_result(folder))
    texts = (render_card(facts), render_bom(facts), render_croissant(facts))
    for name, text in zip(DOCUMENTS, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    return {name: (folder / name).read_bytes() for name in DOCUMENTS}
