"""Loader: what `mlflow.pyfunc.load_model` calls for a model that `runs` logged. It lies beside the model, in its code.

The estimator is the very file that the pipeline wrote, opened after its hash is checked; rows go the way they go in
`artifact-flow predict`, so they get the predictions of predictions.csv.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from artifact_flow.artifacts import MODEL
from artifact_flow.predict import PREDICTION, PROBABILITY, open_pair, predict_table


class Loaded:
    """A model as MLflow uses one."""

    def __init__(self, folder: Path) -> None:
        """Open the model in a folder after its checks."""
        self.model = open_pair(folder / MODEL.name)

    def predict(self, rows: Any, params: Any = None) -> Any:
        """Return a DataFrame with `prediction` and, of a classifier that gives one, `probability`, a row for each.

        `rows` is a DataFrame with the contract's columns. Raises ArtifactFlowError when one cannot be predicted.
        """
        table = predict_table(pa.Table.from_pandas(rows, preserve_index=False), self.model)
        names = [name for name in (PREDICTION, PROBABILITY) if name in table.column_names]
        return table.select(names).to_pandas().set_index(rows.index)


def _load_pyfunc(path: str) -> Loaded:
    return Loaded(Path(path))
