"""Answers: the types of what the endpoints answer, for the OpenAPI document; each model's have names of their own.

The names are stable: a model's own with `Row`, `Prediction`, `Predictions` or `Probabilities` after it. The types of
the model card and of drift are the same for all models. Responses are built without them, which takes less time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.legend import Legend
from artifact_flow.serving.drift import Verdict
from artifact_flow.serving.history import POINTS
from artifact_flow.serving.model import ServedModel

NAMED = 40  # classes listed in a description, at most


class DataframeSplit(BaseModel):
    """A table as its columns' names and its rows."""

    columns: list[str]
    data: list[list[Any]]


class Invocation(BaseModel):
    """Rows as an MLflow scoring server takes them, in one of four forms."""

    dataframe_split: DataframeSplit | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = Field(None, description="objects, or the rows of a matrix of numbers")
    inputs: Any = Field(None, description="an object of columns, or the rows of a matrix of numbers")


class ImageGrid(BaseModel):
    """The pixels that a model sees of an image."""

    height: int
    width: int
    white: float = Field(description="the value of a white pixel")
    ink: bool = Field(description="whether the pixels show ink on a background")


class ModelCard(BaseModel):
    """What a model is: its files, its metrics, an example and the contract that `train` wrote."""

    name: str
    commit: str = Field(description="of the service's build")
    sha256: dict[str, str] = Field(description="name of the weights → hash of their file")
    weights: list[str] = Field(description="what ?weights= may be")
    image: ImageGrid | None = Field(description="null for a model that takes no images")
    example: dict[str, Any] = Field(description="a row of each column's middle value in training")
    optional: list[str] = Field(description="columns that may be left out")
    columns: Legend = Field(description="unit and description of those columns, and of the target, that have them")
    metrics: dict[str, Any] | None = Field(description="null if they are not those of this model")
    papers: list[str] = Field(description="names of the documents at papers/<name>")
    contract: Contract


class DriftColumn(BaseModel):
    """How far the recent values of one column are from those in training."""

    name: str
    status: Verdict
    psi: float = Field(description="population stability index")
    p_value: float
    missing: float
    missing_reference: float
    unseen: float
    bins: list[str]
    reference: list[float]
    current: list[float]
    history: list[float] = Field(description="population stability index at each time of the report's history")


class DriftPoint(BaseModel):
    """How far the recent rows were from those in training at an earlier time."""

    time: datetime
    rows: int = Field(description="in the window")
    status: Verdict
    psi: float = Field(description="the largest population stability index of all columns")


class DriftReport(BaseModel):
    """How far the recent rows are from those in training."""

    status: Verdict
    rows: int
    min_rows: int = Field(description="fewer rows have no verdict")
    warn: float = Field(description="population stability index from which a column deserves attention")
    alert: float = Field(description="population stability index from which a column has changed")
    columns_in_all: int
    columns: list[DriftColumn] = Field(description="the most drifted first")
    history: list[DriftPoint] = Field(
        max_length=POINTS, description="since the start, the oldest first; the time between two grows with it"
    )


@dataclass(frozen=True)
class AnswerTypes:
    """The types of one model: its prediction for a row and those for a batch, and the name of its rows' type."""

    row: str
    one: type[BaseModel]
    many: type[BaseModel]


def name_types(models: Collection[str]) -> dict[str, str]:
    """Return model → the beginning of its types' names, in letters and digits, each different."""
    names: dict[str, str] = {}
    for model in models:
        words = "".join(mark if mark.isascii() and mark.isalnum() else " " for mark in model).split()
        stem = "".join(word[0].upper() + word[1:] for word in words)
        stem = stem if stem[:1].isalpha() else f"Model{stem}"
        taken = {name.lower() for name in names.values()}
        unique, number = stem, 2
        while unique.lower() in taken:
            unique, number = f"{stem}{number}", number + 1
        names[model] = unique
    return names


def build_types(model: ServedModel, stem: str) -> AnswerTypes:
    """Return the types of a model, whose names begin with `stem`."""
    target, words = model.contract.target, model.target
    if not model.classes:
        predicted = f"{words.lead}the predicted {target.name}{words.in_unit}"
        fields: dict[str, Any] = {"value": (float, Field(description=predicted))}
    else:
        classes = model.classes
        fields = {
            "class_index": (int, Field(ge=0, lt=len(classes), description="index in the contract's classes")),
            "class_name": (str, Field(description=f"{words.lead}one of {', '.join(classes[:NAMED])}")),
        }
        if any("probabilities" in weights.names for weights in model.weights.values()):
            shares = TypedDict(f"{stem}Probabilities", dict.fromkeys(classes, float))  # type: ignore[misc]
            fields["confidence"] = (float, Field(description="probability of the predicted class"))
            fields["probabilities"] = (shares, Field(description="class name → probability"))
    one = create_model(f"{stem}Prediction", __doc__=f"What {model.name} predicts for a row.", **fields)
    about = f"What {model.name} predicts for rows, in their order."
    many = create_model(f"{stem}Predictions", __doc__=about, predictions=(list[one], ...))  # type: ignore[valid-type]
    return AnswerTypes(f"{stem}Row", one, many)
