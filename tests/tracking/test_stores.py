"""From run to prediction, for every flow and every kind of store."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tracking.conftest import FLOWS, Tracked
from tracking.stores import BUCKET, QUIET, mlflow_server, postgres, s3_api

pytestmark = pytest.mark.filterwarnings("ignore")  # of moto's server

# A client that knows only MLflow and the address, and nothing about this project.
CLIENT = """
import json, sys
import mlflow, pandas as pd
address, flows, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
mlflow.set_tracking_uri(address)
assert "artifact_flow" not in sys.modules
for name, folder in flows.items():
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    code = sys.modules["artifact_flow"].__file__
    assert "/code/" in code, code
    rows = pd.read_parquet(f"{folder}/data.parquet")
    rows = rows.drop(columns=["id", "target", "split"])
    said = model.predict(rows)
    said.to_csv(f"{out}/{name}.csv", index=False)
    example = model.input_example
    assert list(example.columns) == list(rows.columns) and len(model.predict(example)) == 1
    assert model.metadata.signature.inputs.input_names() == list(rows.columns)
"""


@pytest.fixture(
    params=[
        "untracked",
        pytest.param("shipped", marks=pytest.mark.needs_flows(*(Path(flow).name for flow in FLOWS[1:]))),
    ]
)
def flows(request: pytest.FixtureRequest) -> Tracked:
    """Finished flows: digits and iris, or all flows of the working tree."""
    found: Tracked = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["the repository's own database", "a server"])
def store(request: pytest.FixtureRequest, flows: Tracked, tmp_path: Path) -> Iterator[Tracked]:
    """Finished flows whose runs go to the embedded database, or to a server with PostgreSQL and an S3 API."""
    if not request.param.endswith("server"):
        yield flows
        return
    with postgres(tmp_path) as backend, s3_api() as environ:
        files = ["--artifacts-destination", f"s3://{BUCKET}/mlflow"]
        with mlflow_server(tmp_path, backend, files, environ) as uri:
            yield replace(flows, uri=uri)
        assert count_stored(environ) > 0


@pytest.mark.slow
def test_every_flow_goes_from_run_to_prediction(store: Tracked, tmp_path: Path) -> None:
    """It is logged, found, registered, promoted, and loaded by an MLflow client that predicts predictions.csv."""
    flows = store.flows
    first, again = store.ask("track", *flows), store.ask("track", *flows)
    assert first.count(" logged; ") == len(flows)
    assert again.count(" already contains this result; ") == len(flows)
    assert [line.split()[2] for line in first.splitlines()] == [line.split()[2] for line in again.splitlines()]
    registered = store.ask("register", *flows)
    assert registered.count("version 1 registered, and the challenger") == len(flows)
    assert store.ask("register", *flows).count("version 1 is this result, and the challenger") == len(flows)
    names = [line.partition(":")[0] for line in registered.splitlines()]
    promoted = [line for line in store.ask("promote", *flows).splitlines() if ": " in line]
    assert promoted == [f"{name}: version 1 is the champion" for name in names]
    assert store.is_clean()

    places = {name: str(store.root / flow) for name, flow in zip(names, flows, strict=True)}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, store.database, json.dumps(places), str(tmp_path)],
        check=False,
        cwd=tmp_path,
        env={name: value for name, value in store.environ.items() if name != "PYTHONPATH"} | QUIET,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, folder in places.items():
        assert_same(tmp_path / f"{name}.csv", Path(folder) / "predictions.csv")


def count_stored(environ: dict[str, str]) -> int:
    """Return the number of files in an S3 API."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        region_name=environ["AWS_DEFAULT_REGION"],
    )
    return int(client.list_objects_v2(Bucket=BUCKET)["KeyCount"])


def assert_same(said: Path, expected: Path) -> None:
    """Assert that a client's predictions equal those of a predictions.csv after its rounding."""
    rows = [list(csv.DictReader(path.read_text().splitlines())) for path in (said, expected)]
    for one, other in zip(*rows, strict=True):
        if other["probability"]:
            assert one["prediction"] == other["prediction"]
            assert round(float(one["probability"]), 8) == float(other["probability"])
        else:
            assert float(f"{float(one['prediction']):.8g}") == float(other["prediction"])
