"""Model: an opened model.onnx as a client meets it: its name, its rows, its answers, its card."""

import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

from artifact_flow.core.base.contract import CONTRACT, Contract, read_contract
from artifact_flow.core.base.errors import ModelError, ServeError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.lock import locked_md5, nearest_lock
from artifact_flow.core.model.artifacts import QUANTIZED, open_portable
from artifact_flow.core.model.predictions import METRICS, Predictions, run_portable
from artifact_flow.serving.images import Grid, find_grid
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.rows import Rows
from artifact_flow.serving.settings import MODEL_SHA256, Settings


@dataclass(frozen=True)
class Weights:
    """One set of a model's weights, opened: the file's sha256, its session and what the graph gives."""

    sha256: str
    session: Any
    names: list[str]
    matrix: str | None  # the input's name where the graph takes one matrix


class Model:
    """A model that is served: `weights["float"]`, and `weights["8bit"]` where a quantized file lies beside it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """Open a model file after its checks; raise ArtifactFlowError with what is wrong."""
        lock = nearest_lock(path.parent)
        self.contract: Contract = read_contract(path.parent / CONTRACT, lock)
        self.name = self.contract.model_name
        self.weights = {"float": _open(path, lock, settings)}
        quantized = path.with_name(QUANTIZED.name)
        if quantized != path and quantized.is_file() and _is_known(quantized, lock, settings):
            self.weights["8bit"] = _open(quantized, lock, settings)
        self.metrics = _read_metrics(path.with_name(METRICS.name), lock)
        self.rows = Rows(self.contract, settings.max_rows)
        self.grid: Grid | None = find_grid(self.contract)
        self.classes = self.contract.target.classes

    @property
    def sha256(self) -> str:
        """The hash of the file with float weights."""
        return self.weights["float"].sha256

    def choose(self, weights: str) -> Weights:
        """Return a set of weights; raise Problem when the model has no such set."""
        if weights not in self.weights:
            raise Problem(422, f"{weights[:40]!r} are no weights of {self.name}: it has {' and '.join(self.weights)}.")
        return self.weights[weights]

    def predict(self, X: np.ndarray, weights: Weights) -> Predictions:
        """Return predictions for encoded rows of shape [rows, features], which the model takes as float32."""
        if len(X) > 1 or weights.matrix is None:
            return run_portable(weights.session, self.contract.features, X)
        outputs = weights.session.run(weights.names, {weights.matrix: X.astype(np.float32, copy=False)})
        if self.classes:
            return Predictions(outputs[0], outputs[1] if len(outputs) > 1 else None)
        return Predictions(outputs[0][:, 0], None)

    def answer(self, predictions: Predictions) -> list[dict[str, Any]]:
        """Return what a client is told of each row; raise Problem when a row drives the model out of all numbers."""
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
        """Raise ModelError unless every set of weights answers the middle row of the training range sensibly."""
        middle = {name: value for name, value in self.rows.example().items() if value is not None}
        X = self.rows.encode([self.rows.parse_one(json.dumps(middle).encode())])
        for kind, weights in self.weights.items():
            try:
                predictions = self.predict(X, weights)
                answer = self.answer(predictions)[0]
            except Exception as error:
                raise ModelError(f"{self.name} ({kind}) cannot predict its own middle row: {error}") from error
            shares = sum(answer.get("probabilities", {"": 1.0}).values())
            if not math.isclose(shares, 1.0, abs_tol=1e-3):
                raise ModelError(f"{self.name} ({kind}) gives probabilities that add up to {shares}, not 1.")

    def answer_type(self) -> type[BaseModel]:
        """Return the type of an answer, which `/docs` shows."""
        if not self.classes:
            fields: dict[str, Any] = {"value": (float, Field(description=f"the predicted {self.contract.target.name}"))}
        else:
            fields = {
                "class_index": (int, Field(ge=0, lt=len(self.classes), description="place in the contract's classes")),
                "class_name": (str, Field(description=f"one of {', '.join(self.classes[:40])}")),
            }
            if any("probabilities" in weights.names for weights in self.weights.values()):
                shares = TypedDict("Probabilities", dict.fromkeys(self.classes, float))  # type: ignore[misc]
                fields["confidence"] = (float, Field(description="the probability of the named class"))
                fields["probabilities"] = (shares, Field(description="class name → probability"))
        return create_model(f"Answer_{self.name}", **fields)

    def card(self, commit: str) -> dict[str, Any]:
        """Return the model card: the contract, the metrics, the build's commit, the files' hashes."""
        return {
            "name": self.name,
            "commit": commit,
            "sha256": {kind: weights.sha256 for kind, weights in self.weights.items()},
            "weights": list(self.weights),
            "image": asdict(self.grid) if self.grid else None,
            "example": self.rows.example(),
            "optional": sorted(self.rows.optional),
            "metrics": self.metrics,
            "contract": self.contract.model_dump(mode="json", exclude_none=True),
        }


def open_models(settings: Settings) -> dict[str, Model]:
    """Return name → model for every file named in the settings, in their order; each has answered a row.

    Raises ArtifactFlowError when one cannot be served.
    """
    models: dict[str, Model] = {}
    for path in settings.models:
        model = Model(Path(path), settings)
        if model.name in models:
            raise ServeError(f"{path} is a second model named {model.name}: serve it in a process of its own.")
        model.check()
        models[model.name] = model
    return models


def _open(path: Path, lock: Path, settings: Settings) -> Weights:
    allowed = _allowed(path, lock, settings)
    if not allowed and not locked_md5(path, lock) and path.is_file():
        raise ModelError(
            f"no dvc.lock names {path}, so nothing says that it is the one you mean: give its sha256 by {MODEL_SHA256}."
        )
    session, sha256 = open_portable(path, path.parent / CONTRACT, lock, allowed)
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
            raise Problem(422, f"{where}a value is so large that the model has no number for it: send usual ones.")


def _allowed(path: Path, lock: Path, settings: Settings) -> Collection[str]:
    """Return the sha256 sums by which a file may be opened; none where its lock alone says which it is."""
    return settings.sha256 or (() if locked_md5(path, lock) else settings.vouched)


def _is_known(path: Path, lock: Path, settings: Settings) -> bool:
    allowed = _allowed(path, lock, settings)
    return hash_file(path) in allowed if allowed else bool(locked_md5(path, lock))


def _read_metrics(path: Path, lock: Path) -> dict[str, Any] | None:
    """Return the metrics that belong to the model, None where they are not there or are those of another run."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    locked = locked_md5(path, lock)
    if locked and locked != hash_bytes(content, "md5"):
        return None
    metrics: dict[str, Any] = json.loads(content)
    return metrics
