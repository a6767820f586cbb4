"""The service of a typical tutorial: FastAPI, the pickle, and a printed JSON line for each prediction.

MODEL is the path of the model, COLUMNS its column names, separated by commas.
"""

import json
import os
from datetime import UTC, datetime
from typing import Any

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, create_model

COLUMNS = os.environ["COLUMNS"].split(",")
FIELDS: dict[str, Any] = dict.fromkeys(COLUMNS, (float, ...))
Row: Any = create_model("Row", **FIELDS)

app = FastAPI()
model = joblib.load(os.environ["MODEL"])


class Answer(BaseModel):
    """The answer to a row."""

    class_index: int
    confidence: float
    probabilities: list[float]


def classify(rows: list[Any]) -> list[Answer]:
    """Return one answer per row, and print one line per row."""
    X = np.array([[getattr(row, column) for column in COLUMNS] for row in rows])
    answers = []
    for row, label, shares in zip(rows, model.predict(X), model.predict_proba(X), strict=True):
        answer = Answer(class_index=int(label), confidence=float(shares.max()), probabilities=shares.tolist())
        line = {
            "timestamp": datetime.now(UTC).isoformat(),
            "input": row.model_dump(),
            "prediction": answer.model_dump(),
        }
        print(json.dumps(line))
        answers.append(answer)
    return answers


@app.post("/predict")
def predict(row: Row) -> Answer:
    """Answer one row."""
    return classify([row])[0]


@app.post("/predict/batch")
def predict_batch(rows: list[Row]) -> list[Answer]:
    """Answer rows."""
    return classify(rows)
