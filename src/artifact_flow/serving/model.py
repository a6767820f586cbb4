"""Model: one served model: its opened files, its row types, its predictions and its model card."""

import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifact_flow.core.base.contract import CONTRACT, Contract, read_contract
from artifact_flow.core.base.errors import ModelError, ServeError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.legend import UNKNOWN, ColumnLegend, Legend
from artifact_flow.core.base.lock import locked_md5, nearest_lock
from artifact_flow.core.model.artifacts import QUANTIZED, holds_model, open_portable, read_legend
from artifact_flow.core.model.predictions import METRICS, Predictions, run_portable
from artifact_flow.serving.images import Grid, find_grid
from artifact_flow.serving.papers import read_papers
from artifact_flow.serving.plain import FLOAT32_MAX
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.rows import Rows
from artifact_flow.serving.settings import MODEL_SHA256, ServiceSettings

LIMITS = (FLOAT32_MAX, 1e36, 1e30, 1e24, 1e18, 1e12, 1e9)  # of a number, by which the largest valid one is found


@dataclass(frozen=True)
class Weights:
    """One opened model file: its sha256, its ONNX Runtime session and the names of the graph's outputs."""

    sha256: str
    session: Any
    names: list[str]
    matrix: str | None  # the name of the graph's input if it is one matrix


class ServedModel:
    """A model with `weights["float"]`, and `weights["8bit"]` if its folder contains a quantized file."""

    def __init__(self, path: Path, settings: ServiceSettings) -> None:
        """Open a model file after checking its hash and contract; raise ArtifactFlowError when a check fails."""
        lock = nearest_lock(path.parent)
        self.contract: Contract = read_contract(path.parent / CONTRACT, lock)
        self.name = self.contract.model_name
        self.weights = {"float": _open(path, lock, settings)}
        self.legend: Legend = read_legend(self.weights["float"].session, path)
        quantized = path.with_name(QUANTIZED.name)
        if quantized != path and holds_model(quantized) and _is_known(quantized, lock, settings):
            self.weights["8bit"] = _open(quantized, lock, settings)
        self.metrics = _read_metrics(path.with_name(METRICS.name), lock)
        self.papers = read_papers(path.parent, self.contract, self.sha256)
        self.rows = Rows(self.contract, settings.max_rows)
        self.grid: Grid | None = find_grid(self.contract)
        self.classes = self.contract.target.classes
        columns = [(item.name, item.type, item.categories, item.offset) for item in self.contract.features]
        self.encoding = hash_bytes(json.dumps(columns).encode())[:12]  # equal if rows have the same matrix

    @property
    def sha256(self) -> str:
        """The sha256 of the file with float weights."""
        return self.weights["float"].sha256

    @property
    def target(self) -> ColumnLegend:
        """The unit and description of what is predicted."""
        return self.legend.get(self.contract.target.name, UNKNOWN)

    def choose(self, weights: str) -> Weights:
        """Return the weights of that name; raise Problem when the model has none."""
        if weights not in self.weights:
            names = " or ".join(self.weights)
            raise Problem(422, f"{self.name} has no weights named {weights[:40]!r}: choose {names}.")
        return self.weights[weights]

    def predict(self, X: np.ndarray, weights: Weights) -> Predictions:
        """Return predictions for encoded rows X [rows, features], which are cast to float32."""
        if len(X) > 1 or weights.matrix is None:
            return run_portable(weights.session, self.contract.features, X)
        outputs = weights.session.run(weights.names, {weights.matrix: X.astype(np.float32, copy=False)})
        if self.classes:
            return Predictions(outputs[0], outputs[1] if len(outputs) > 1 else None)
        return Predictions(outputs[0][:, 0], None)

    def answer(self, predictions: Predictions) -> list[dict[str, Any]]:
        """Return the JSON object for each row; raise Problem when the model's output for a row is not finite."""
        if not self.classes:
            values = predictions.values.tolist()
            _refuse_infinite(values)
            return [{"value": value} for value in values]
        labels = predictions.values.tolist()
        if predictions.probabilities is None:
            return [{"class_index": index, "class_name": self.classes[index]} for index in labels]
        rows = predictions.probabilities.tolist()
        _refuse_infinite([shares[index] for index, shares in zip(labels, rows, strict=True)])
        return [
            {
                "class_index": index,
                "class_name": self.classes[index],
                "confidence": shares[index],
                "probabilities": dict(zip(self.classes, shares, strict=True)),
            }
            for index, shares in zip(labels, rows, strict=True)
        ]

    def check(self) -> None:
        """Raise ModelError unless all weights give a valid prediction for a typical row, of middle training values."""
        middle = {name: value for name, value in self.rows.example().items() if value is not None}
        X = self.rows.encode([self.rows.parse_one(json.dumps(middle).encode())])
        for kind, weights in self.weights.items():
            try:
                predictions = self.predict(X, weights)
                answer = self.answer(predictions)[0]
            except Exception as error:
                raise ModelError(f"{self.name} ({kind}) cannot predict a typical training row: {error}") from error
            shares = sum(answer.get("probabilities", {"": 1.0}).values())
            if not math.isclose(shares, 1.0, abs_tol=1e-3):
                raise ModelError(f"{self.name} ({kind}) gives probabilities that sum to {shares}, not 1.")

    def find_limit(self) -> float:
        """Return the largest of LIMITS whose numbers, of either sign in any column, give a finite prediction."""
        types = np.array([feature.type for feature in self.contract.features])
        numbers, texts = types == "number", types == "text"
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (16, len(numbers)))
        signs[0], signs[1] = 1.0, -1.0
        for limit in LIMITS:
            X = np.where(numbers, signs * limit, 0.0)
            X = np.where(texts, "", X.astype(object)) if texts.any() else X
            try:
                for weights in self.weights.values():
                    self.answer(self.predict(X, weights))
            except Problem:
                continue
            return limit
        return LIMITS[-1]

    def card(self, commit: str) -> dict[str, Any]:
        """Return the model card: contract, metrics, the commit of the build, and hashes of the files."""
        return {
            "name": self.name,
            "commit": commit,
            "sha256": {kind: weights.sha256 for kind, weights in self.weights.items()},
            "weights": list(self.weights),
            "image": asdict(self.grid) if self.grid else None,
            "example": self.rows.example(),
            "optional": sorted(self.rows.optional),
            "columns": {name: entry.model_dump() for name, entry in self.legend.items()},
            "metrics": self.metrics,
            "papers": list(self.papers),
            "contract": self.contract.model_dump(mode="json", exclude_none=True) | {"id": self.contract.id},
        }


def open_models(settings: ServiceSettings) -> dict[str, ServedModel]:
    """Return name → model for every file in the settings, in their order; each has passed `ServedModel.check`.

    Raises ArtifactFlowError when a model cannot be served.
    """
    models: dict[str, ServedModel] = {}
    for path in settings.models:
        model = ServedModel(Path(path), settings)
        if model.name in models:
            raise ServeError(f"{path} is a second model named {model.name}: serve it in a separate process.")
        model.check()
        models[model.name] = model
    return models


def _open(path: Path, lock: Path, settings: ServiceSettings) -> Weights:
    allowed = _allowed(path, lock, settings)
    if not allowed and not locked_md5(path, lock) and path.is_file():
        raise ModelError(
            f"no dvc.lock names {path}, so its content cannot be verified: give its sha256 in {MODEL_SHA256}."
        )
    session, sha256 = open_portable(path, path.parent / CONTRACT, lock, allowed)
    if settings.reproduced is not None and sha256 not in settings.reproduced:
        raise ModelError(f"{path} was replaced after its rebuild statements were read: reload, or start again.")
    inputs = session.get_inputs()
    outputs = [output.name for output in session.get_outputs()]
    if "prediction" not in outputs:
        outputs = [name for name in ("label", "probabilities") if name in outputs]
    matrix = inputs[0].name if len(inputs) == 1 and inputs[0].type == "tensor(float)" else None
    return Weights(sha256, session, outputs, matrix)


def _refuse_infinite(answers: list[float]) -> None:
    for number, answer in enumerate(answers, 1):
        if not math.isfinite(answer):
            where = f"row {number}: " if len(answers) > 1 else ""
            raise Problem(
                422, f"{where}a value is so large that the model's output is not finite: send smaller values."
            )


def _allowed(path: Path, lock: Path, settings: ServiceSettings) -> Collection[str]:
    """Return the sha256 hashes with which a file may be opened; none if its dvc.lock alone decides."""
    return settings.sha256 or (() if locked_md5(path, lock) else settings.vouched)


def _is_known(path: Path, lock: Path, settings: ServiceSettings) -> bool:
    allowed = _allowed(path, lock, settings)
    return hash_file(path) in allowed if allowed else bool(locked_md5(path, lock))


def _read_metrics(path: Path, lock: Path) -> dict[str, Any] | None:
    """Return the metrics of the model, None if the file is missing or of another run."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    locked = locked_md5(path, lock)
    if locked and locked != hash_bytes(content, "md5"):
        return None
    metrics: dict[str, Any] = json.loads(content)
    return metrics
