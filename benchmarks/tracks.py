"""Tracks: what it takes to log a finished flow, beside the import of MLflow that every client of it pays."""

import sys
from collections.abc import Iterator

from benchmarks.figure import Figure, Meter, Series, limit_series
from benchmarks.workspace import Workspace

ALLOWED = 3.0  # seconds beyond the import
FLOWS = {"digits": ".", "olivetti_faces": "flows/olivetti_faces"}
TRACK = (sys.executable, "-m", "artifact_flow.cli", "track")
# so that the next one is logged and not found
FORGET = """
import sys, mlflow
client = mlflow.MlflowClient("sqlite:///.artifact-flow/mlflow/mlflow.db")
for run in client.search_runs([client.get_experiment_by_name(sys.argv[1]).experiment_id]):
    client.delete_run(run.info.run_id)
"""


def compare_tracks(flows: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield what `artifact-flow track` takes beyond `import mlflow`, logging a result into a database that is there."""
    for name, folder in FLOWS.items():
        flows.run(*TRACK, folder)
        beyond = []
        for _ in range(meter.runs):
            flows.run(sys.executable, "-c", FORGET, name)
            imported = flows.time(sys.executable, "-c", "import mlflow.pyfunc")
            meter.advance()
            beyond.append(flows.time(*TRACK, folder) - imported)
            meter.advance()
        yield limit_series(Series(f"artifact-flow track, beyond importing MLflow: {name}", beyond), ALLOWED)
