"""The model served by LitServe, as in its documentation for scikit-learn. Arguments: the model's path, a port."""

import sys
from typing import Any

import joblib
import litserve  # type: ignore[import-not-found] # in its own venv only
import numpy as np


class Iris(litserve.LitAPI):  # type: ignore[misc]
    """The classifier."""

    def setup(self, device: str) -> None:
        """Open the model."""
        self.model = joblib.load(sys.argv[1])

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """Return the rows of a request body."""
        return np.asarray(request["rows"])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return one label per row."""
        labels: np.ndarray = self.model.predict(x)
        return labels

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """Return the answer."""
        return {"labels": output.tolist()}


if __name__ == "__main__":
    litserve.LitServer(Iris(), accelerator="cpu").run(
        host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False
    )
