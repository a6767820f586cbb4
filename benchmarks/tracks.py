"""Tracks: the time to log a finished flow, beyond the import of MLflow, which every MLflow client needs."""

import sys
from collections.abc import Iterator

from benchmarks.figure import Figure, Meter, Series, limit_series
from benchmarks.workspace import Workspace

ALLOWED = 3.0  # seconds beyond the import
FLOWS = {"digits": ".", "olivetti_faces": "flows/olivetti_faces"}
TRACK = (sys.executable, "-m", "artifact_flow.cli", "track")
# Deletes the runs, so that the next call logs the result instead of finding it.
FORGET = """
import sys, mlflow
client = mlflow.MlflowClient("sqlite:///.artifact-flow/mlflow/mlflow.db")
for run in client.search_runs([client.get_experiment_by_name(sys.argv[1]).experiment_id]):
    client.delete_run(run.info.run_id)
"""


def compare_tracks(flows: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield the time of `artifact-flow track` beyond `import mlflow`, for a result logged into an existing database."""
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
