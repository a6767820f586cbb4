"""Explain: what a model saw of a row or a picture, and what each column did to its answer. Nothing is remembered.

A column's contribution is the score of the answer minus its mean score when only this column takes other values: those
of the training rows' distribution, or an empty text. For a linear model this is the coefficient times the distance
from the mean.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from artifact_flow.core.base.contract import Feature
from artifact_flow.serving.images import Grid, read_pixels
from artifact_flow.serving.limits import read_body
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.routes import JsonResponse, ModelRoutes

COLUMNS = 256  # up to which contributions are computed: a picture of 64 × 64 pixels would take 4096 predictions a value
CATEGORIES = 20  # the most frequent ones that replace a value
LEAST = 1e-30  # of a probability, whose logarithm is finite
# Mean squared distance from the training mean, in standard deviations of at least a tenth of white. Of the digits'
# test split 1.4 % are beyond it, of letters a third.
UNLIKE, LEAST_SPREAD = 2.0, 0.1


class Explanation(BaseModel):
    """What a model saw, and what each column did to the answer."""

    pixels: list[float] | None = Field(None, description="of a picture: the model's pixels, row by row")
    unlike_training: bool | None = Field(None, description="of a picture: it is far from the training pictures")
    contributions: dict[str, float] | None = Field(
        None, description=f"column → what it added to the score; with more than {COLUMNS} columns there are none"
    )


class Explanations:
    """The endpoints that explain the answers of one model."""

    def __init__(self, routes: ModelRoutes) -> None:
        """Take the model's endpoints, whose limits hold here too."""
        self.routes, self.model = routes, routes.model

    async def explain_row(self, request: Request) -> Response:
        """Explain the prediction for one row."""
        body = await self.routes.read_row_body(request)

        def work() -> bytes:
            X = self.model.rows.encode([self.model.rows.parse_one(body)])
            return orjson.dumps({"contributions": contributions(self.model, X)})

        return JsonResponse(await self.routes.slow.run(work, "explain"))

    async def explain_image(self, grid: Grid, request: Request) -> Response:
        """Explain the prediction for an image."""
        body = await read_body(request, self.routes.settings, self.routes.memory)

        def work() -> bytes:
            X = read_pixels(body, grid, self.routes.settings.max_pixels)
            said = {"pixels": X[0].tolist(), "unlike_training": is_unlike(X, self.model.contract.features, grid)}
            return orjson.dumps(said | {"contributions": contributions(self.model, X)})

        return JsonResponse(await self.routes.slow.run(work, "explain image"))


def is_unlike(X: np.ndarray, features: Sequence[Feature], grid: Grid) -> bool:
    """Return whether a picture X [1, pixels] is far from the training pictures."""
    mean, spread = (np.array([getattr(feature, name) or 0.0 for feature in features]) for name in ("mean", "std"))
    distance = (X[0] - mean) / np.maximum(spread, LEAST_SPREAD * grid.white)
    return bool(np.mean(distance**2) > UNLIKE)


def contributions(model: ServedModel, X: np.ndarray) -> dict[str, float] | None:
    """Return column → contribution to the answer for an encoded row X [1, columns], None for a wide one."""
    features = model.contract.features
    if len(features) > COLUMNS:
        return None
    pairs = [list(_replacements(feature)) for feature in features]
    rows = np.repeat(X, 1 + sum(map(len, pairs)), axis=0)
    places = np.repeat(np.arange(len(features)), [len(values) for values in pairs])
    others = [value for values in pairs for value, _ in values]
    rows[np.arange(1, len(rows)), places] = np.array(others, rows.dtype)
    scores = _score(model, rows)
    weights = np.array([share for values in pairs for _, share in values])
    means = np.bincount(places, scores[1:] * weights, len(features))
    added = np.where([bool(values) for values in pairs], scores[0] - means, 0.0)
    return {feature.name: float(value) for feature, value in zip(features, added, strict=True)}


def _replacements(feature: Feature) -> Iterator[tuple[float | str, float]]:
    """Yield (encoded value, share) of the values that training had, in bins; the shares add up to 1."""
    offset = feature.offset or 0.0
    if feature.type == "text":
        yield "", 1.0
    elif feature.type == "category":
        shares = sorted(enumerate(feature.shares), key=lambda item: -item[1])[:CATEGORIES]
        total = sum(share for _, share in shares)
        yield from ((float(code), share / total) for code, share in shares if total)
    elif feature.type == "boolean" and feature.mean is not None:
        yield from ((0.0, 1 - feature.mean), (1.0, feature.mean))
    elif feature.edges and len(feature.edges) > 1:
        edges = np.array(feature.edges)
        parts = np.array(feature.shares) / sum(feature.shares)
        middles = (edges[:-1] + edges[1:]) / 2
        middles += (feature.mean or 0.0) - float(middles @ parts)  # bins are not even: their mean becomes the column's
        yield from zip((middles - offset).tolist(), parts.tolist(), strict=True)
    elif feature.min is not None:
        yield feature.min - offset, 1.0


def _score(model: ServedModel, rows: np.ndarray) -> np.ndarray:
    """Return for each row the score of the first row's answer: its value, or its log probability over all classes'."""
    said = model.predict(rows, model.weights["float"])
    if not model.classes:
        scores: np.ndarray = np.asarray(said.values, np.float64)
        return scores
    if said.probabilities is None:
        same: np.ndarray = np.equal(said.values, said.values[0])
        return same.astype(np.float64)
    logs = np.log(np.maximum(np.asarray(said.probabilities, np.float64), LEAST))
    return np.asarray(logs[:, int(said.values[0])] - logs.mean(axis=1))
