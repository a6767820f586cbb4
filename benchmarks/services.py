"""Services: `artifact-flow serve` and its peers, each with the command that starts it and its request.

Each service has one worker. The peers run as their documentation recommends, in their own virtual environments, with
telemetry switched off. Where a peer offers a choice, the faster one is used: MLServer without worker processes, and
mlflow's `inputs` instead of data frames for one row. All services get batches as rows by name (mlflow's
`dataframe_records`). The peers answer with a label; the project's service answers with probabilities, and also writes
its log and metrics.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.environment import SERVING, prepare_serving_peer
from benchmarks.load import Service
from benchmarks.workspace import Workspace

FEW, MANY = 8, 64  # connections
BATCH_ROWS = 100
IRIS = Path("flows", "iris")
FOUR = ("model.onnx", *(f"flows/{name}/model.onnx" for name in ("iris", "california_housing", "olivetti_faces")))
SILENT = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
PICKLE, CONTRACT = "model_train.pkl", "contract.json"


def serve_rows(project: Workspace, scratch: Path) -> list[Service]:
    """Return the services for one row of iris: the project's, bare uvicorn, the tutorial's, then the other peers."""
    row = read_rows(project.path / IRIS, 1)[0]
    named, bare = _dump(row), _dump({"rows": [list(row.values())]})
    tensor = {"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": [list(row.values())]}
    uvicorn = (str(Path(sys.executable).with_name("uvicorn")), "bare:app", "--app-dir", str(SERVING))
    pickle = str(project.path / IRIS / PICKLE)
    bento, lit, mlserver = (prepare_serving_peer(name) for name in ("bentoml", "litserve", "mlserver"))
    return [
        serve_own((str(IRIS / "model.onnx"),), "/predict", named, (FEW, MANY)),
        Service(
            "bare uvicorn",
            (*uvicorn, "--port", "{0}", "--http", "httptools", "--loop", "uvloop", "--no-access-log"),
            "/",
            named,
            connections=(MANY,),
        ),
        _tutorial(project, IRIS, "/predict", named, MANY),
        _mlflow(project, IRIS, scratch / "mlflow-iris", [row], MANY),
        Service(
            "BentoML",
            (str(bento / "bentoml"), "serve", "bento:Iris", "--working-dir", str(SERVING), "--port", "{0}"),
            "/predict",
            bare,
            {**SILENT, "MODEL": pickle, "BENTOML_HOME": str(scratch / "bentoml")},
            (MANY,),
        ),
        Service(
            "MLServer",
            (str(mlserver / "mlserver"), "start", str(SERVING / "mlserver")),
            "/v2/models/iris/infer",
            _dump({"inputs": [tensor]}),
            {
                **SILENT,
                "MLSERVER_HTTP_PORT": "{0}",
                "MLSERVER_GRPC_PORT": "{1}",
                "MLSERVER_METRICS_PORT": "{2}",
                "MLSERVER_MODEL_URI": pickle,
            },
            (MANY,),
        ),
        Service(
            "LitServe", (str(lit / "python"), str(SERVING / "lit.py"), pickle, "{0}"), "/predict", bare, SILENT, (MANY,)
        ),
    ]


def serve_batches(project: Workspace, scratch: Path) -> list[Service]:
    """Return the services for 100 rows of digits: the project's, the tutorial's, and mlflow."""
    main = Path()
    rows = read_rows(project.path, BATCH_ROWS)
    return [
        serve_own(("model.onnx",), "/predict/batch", _dump(rows), (FEW,)),
        _tutorial(project, main, "/predict/batch", _dump(rows), FEW),
        _mlflow(project, main, scratch / "mlflow-digits", rows, FEW),
    ]


def serve_own(models: tuple[str, ...], path: str, body: bytes, connections: tuple[int, ...] = ()) -> Service:
    """Return `artifact-flow serve` with the given models, with its log and metrics enabled."""
    command = (str(Path(sys.executable).with_name("artifact-flow")), "serve", *models, "--port", "{0}")
    return Service("artifact-flow serve", command, path, body, {"PYTHONPATH": "src"}, connections)


def read_rows(flow: Path, count: int) -> list[dict[str, float]]:
    """Return the first rows of a flow's table, column → value, without the target."""
    columns = _columns(flow)
    return [dict(row) for row in pq.read_table(flow / "data.parquet", columns=columns).slice(0, count).to_pylist()]


def _tutorial(project: Workspace, flow: Path, path: str, body: bytes, connections: int) -> Service:
    folder = project.path / flow
    environ = {"MODEL": str(folder / PICKLE), "COLUMNS": ",".join(_columns(folder))}
    uvicorn = str(prepare_serving_peer("tutorial") / "uvicorn")
    command = (uvicorn, "tutorial:app", "--app-dir", str(SERVING), "--port", "{0}")
    return Service("tutorial: FastAPI, scikit-learn, print", command, path, body, environ, (connections,))


def _mlflow(project: Workspace, flow: Path, model: Path, rows: list[dict[str, float]], connections: int) -> Service:
    bin_ = prepare_serving_peer("mlflow")
    silent = [f"{name}={value}" for name, value in SILENT.items()]
    script = str(SERVING / "mlflow_model.py")
    project.run("env", *silent, str(bin_ / "python"), script, str(project.path / flow / PICKLE), str(model))
    env = ("env", f"PATH={bin_}:/usr/bin:/bin")  # mlflow starts uvicorn by name
    command = (*env, str(bin_ / "mlflow"), "models", "serve", "-m", str(model), "-p", "{0}", "--env-manager", "local")
    body = _dump({"inputs": [list(row.values()) for row in rows]} if len(rows) == 1 else {"dataframe_records": rows})
    return Service("mlflow models serve", command, "/invocations", body, SILENT, (connections,))


def _columns(flow: Path) -> list[str]:
    contract = json.loads((flow / CONTRACT).read_text(encoding="utf-8"))
    return [feature["name"] for feature in contract["features"]]


def _dump(body: Any) -> bytes:
    return json.dumps(body).encode()
