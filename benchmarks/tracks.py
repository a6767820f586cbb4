"""Tracks: what it takes to log a finished flow, beside the import of MLflow that every client of it pays."""

import shutil
import sys
from collections.abc import Iterator

from benchmarks.figure import Figure, Meter, Series, limit_series
from benchmarks.workspace import Workspace

ALLOWED = 3.0  # seconds beyond the import
FLOWS = {"digits": ".", "olivetti_faces, 4096 columns": "flows/olivetti_faces"}


def compare_tracks(flows: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield the time that `artifact-flow track` takes beyond `import mlflow`, each time into a database made for it."""
    for name, folder in FLOWS.items():
        beyond = []
        for _ in range(meter.runs):
            shutil.rmtree(flows.path / ".artifact-flow/mlflow", ignore_errors=True)
            imported = flows.time(sys.executable, "-c", "import mlflow.pyfunc")
            meter.advance()
            beyond.append(flows.time(sys.executable, "-m", "artifact_flow.cli", "track", folder) - imported)
            meter.advance()
        yield limit_series(Series(f"artifact-flow track, beyond importing MLflow: {name}", beyond), ALLOWED)
