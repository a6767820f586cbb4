"""The model served by BentoML, as in its documentation for scikit-learn. MODEL is the path of the model."""

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
        """Return one label per row."""
        labels: np.ndarray = self.model.predict(rows)
        return labels
