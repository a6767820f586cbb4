"""A served model in a process of its own, and what can be asked of it."""

import http.client
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import coverage

from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.params import DataParams, ExportParams, InferParams, Params, QuantizeParams, TrainParams
from artifact_flow.core.table.datasets import load_builtin
from artifact_flow.core.table.tables import DATA, split_rows, write_table
from artifact_flow.stages import export, infer, quantize, train

ROOT = Path(__file__).resolve().parents[2]
RUN = "from artifact_flow.cli import main; main()"
# the same, counted as the tests themselves are
COUNTED = f"""
import atexit, coverage
data, settings = {str(ROOT / ".artifact-flow/coverage")!r}, {str(ROOT / "pyproject.toml")!r}
counted = coverage.Coverage(data, True, config_file=settings)
counted.start()
atexit.register(lambda: (counted.stop(), counted.save()))
{RUN}
"""
IRIS_ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def make_builtin(
    folder: Path,
    name: str,
    test_size: float = 0.2,
    estimator: str = "sklearn.linear_model.LogisticRegression",
    **arguments: Any,
) -> Path:
    """Run the stages on a built-in set and return its model.onnx; the estimator is built with the arguments."""
    folder.mkdir()
    data = DataParams(source=name, preprocess="none", test_size=test_size, seed=42, stratify=False)
    params = Params(
        data=data,
        train=TrainParams(estimator=estimator, threads=1, **(arguments or {"max_iter": 1000})),
        infer=InferParams(decimals=8),
        export=ExportParams(opset=17, max_difference=1e-4),
        quantize=QuantizeParams(max_quality_loss=0.05, min_agreement=0.9),
    )
    write_table(split_rows(load_builtin(data)), folder / DATA)
    for stage in (train, infer, export, quantize):
        stage.main(params, folder)
    return folder / "model.onnx"


def lock_for(folder: Path, *more: str, params: dict[str, Any] | None = None) -> None:
    """Write a dvc.lock that names a folder's model and contract, `more` files, and the parameters if there are any."""
    names = ("model.onnx", "contract.json", *more)
    outs = [{"path": name, "md5": hash_file(folder / name, "md5")} for name in names]
    stage = {"cmd": "x", "outs": outs} | ({"params": {"params.yaml": params}} if params else {})
    (folder / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"export": stage}}))


def command(*arguments: str) -> list[str]:
    """Return what runs `artifact-flow` in a process of its own, with its coverage measured where the tests' is."""
    return [sys.executable, "-c", COUNTED if coverage.Coverage.current() else RUN, *arguments]


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        """The sentence of a refusal."""
        return str(self.document["detail"])


class Server:
    """A server process; its log goes to a file."""

    def __init__(
        self,
        *models: Path,
        arguments: tuple[str, ...] = (),
        cwd: Path | None = None,
        out: BinaryIO | None = None,
        files: int | None = None,
        stdin: int | None = None,
        **environ: str,
    ) -> None:
        """Take what is served; `out` replaces the log's file, `files` limits the open files."""
        self.models, self.arguments, self.cwd, self.environ = models, arguments, cwd, environ
        self.out, self.files, self.stdin = out, files, stdin
        self.log_file = tempfile.NamedTemporaryFile(suffix=".jsonl")  # noqa: SIM115 - closed on the way out

    def __enter__(self) -> "Server":
        quantized = [model.with_name("model_quantized.onnx") for model in self.models]
        hashes = [hash_file(path) for path in (*self.models, *quantized) if path.is_file()]
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MODEL_SHA256": " ".join(hashes)}
        self.process = subprocess.Popen(
            command("serve", *map(str, self.models), "--port", "0", *self.arguments),
            cwd=self.cwd,
            env=environ | self.environ,
            stdin=self.stdin,
            stdout=self.out or self.log_file,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self._limit_files if self.files else None,  # noqa: PLW1509 - no thread runs in the child
        )
        found = None
        for line in self.process.stderr:  # what a registry's model is, comes before
            found = re.search(r"http://127.0.0.1:(\d+)", line)
            if found or "error: " in line:
                break
        assert found, line
        self.port = int(found[1])
        self.wait_until_ready()
        self._wait_for_workers()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.log_file.close()

    def _limit_files(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]

    def wait_until_ready(self) -> None:
        """Return when it answers; its port is open from the start."""
        assert self.get("/ready", key=self.environ.get("ARTIFACT_FLOW_API_KEY")).status == 200

    def _wait_for_workers(self) -> None:
        """Return when every worker has started: the first one answers while others still open their models."""
        if "--workers" not in self.arguments:
            return
        wanted, end = int(self.arguments[self.arguments.index("--workers") + 1]), time.monotonic() + 60
        while sum("Application startup complete" in line["message"] for line in self.log()) < wanted:
            assert time.monotonic() < end, self.log()[-5:]
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        self.process.stderr.close()
        return code

    def ask(
        self, method: str, path: str, body: bytes | None = None, timeout: float = 20, **headers: str | None
    ) -> Answer:
        """Return the answer to a request; a header's underscores are dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
            connection.request(method, path, body, given)
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())
        finally:
            connection.close()

    def get(self, path: str, key: str | None = None) -> Answer:
        """Return the answer to GET."""
        return self.ask("GET", path, X_API_Key=key)

    def post(self, path: str, content: Any, kind: str = "application/json", **headers: str) -> Answer:
        """Return the answer to POST; what is not bytes is sent as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.ask("POST", path, body, Content_Type=kind, **headers)

    def log(self) -> list[dict[str, Any]]:
        """Return the log's lines so far; each must be JSON."""
        return [json.loads(line) for line in Path(self.log_file.name).read_bytes().splitlines()]

    def predictions(self) -> list[dict[str, Any]]:
        """Return the log's lines about predictions."""
        return [line for line in self.log() if "endpoint" in line]
