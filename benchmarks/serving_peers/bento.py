"""The model behind BentoML, as its documentation serves a scikit-learn model. MODEL is the model's file."""

import os

import bentoml  # type: ignore[import-not-found] # in its own venv only
import joblib
import numpy as np


@bentoml.service
class Iris:
    """The classifier."""

    def __init__(self) -> None:
        """Open the model."""
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return a label a row."""
        labels: np.ndarray = self.model.predict(rows)
        return labels
