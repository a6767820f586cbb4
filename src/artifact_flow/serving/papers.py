"""Papers: the documents about a model that `artifact-flow card` wrote beside it, read when the model is opened.

A document is served only if it holds the sha256 of what it describes: the model's own file, or the table that the
contract names. The service believes nothing else in it, and passes its bytes on as they are.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_flow.core.base.contract import Contract

MOST_BYTES = 10_000_000  # of a document; croissant.json, the largest, has 400 for each column
TABLE = "data.parquet"

logger = logging.getLogger("artifact_flow.serving")


@dataclass(frozen=True)
class Form:
    """What a document is: its file's name, its title, its media type and the schema of its content."""

    name: str
    title: str
    media: str
    schema: dict[str, Any]
    of_table: bool = False  # it describes the table, not the model


FORMS = (
    Form("MODEL_CARD.md", "The model card as a page in Markdown", "text/markdown; charset=utf-8", {"type": "string"}),
    Form(
        "model.cdx.json",
        "The model's bill of materials: CycloneDX 1.6",
        "application/vnd.cyclonedx+json; version=1.6",
        {"type": "object", "description": "http://cyclonedx.org/schema/bom-1.6.schema.json"},
    ),
    Form(
        "croissant.json",
        "The data set that the model was trained on: Croissant 1.0",
        "application/ld+json",
        {"type": "object", "description": "http://mlcommons.org/croissant/1.0"},
        of_table=True,
    ),
)
PAPERS = tuple(Path(form.name) for form in FORMS)


@dataclass(frozen=True)
class Paper:
    """One document about a model."""

    form: Form
    content: bytes


def read_papers(folder: Path, contract: Contract, sha256: str) -> dict[str, Paper]:
    """Return name → document for those in a folder that are about the model with this contract and sha256.

    One that is about another model, is too large or cannot be read is left out, and the log says so in a sentence.
    """
    papers = {}
    for form in FORMS:
        path = folder / form.name
        if not path.is_file():
            continue
        try:
            content = _read(path)
        except OSError as error:
            logger.warning("%s is not served (%s): make it readable.", path, error.strerror)
            continue
        subject = contract.sha256.get(TABLE) if form.of_table else sha256
        if len(content) > MOST_BYTES:
            logger.warning("%s is not served: it has more than %s bytes.", path, f"{MOST_BYTES:,}")
        elif not subject or subject.encode() not in content:
            what = f"the {TABLE} that contract.json names" if form.of_table else "the served model"
            logger.warning(
                "%s is not served: it does not hold the sha256 of %s; `artifact-flow card` writes it anew.", path, what
            )
        else:
            papers[form.name] = Paper(form, content)
    return papers


def _read(path: Path) -> bytes:
    """Return the content of a file, cut off a byte after the largest size that is served."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)
