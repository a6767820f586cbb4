"""Contract: the promise between the steps: columns, types, ranges, classes, parameters, hashes, versions.

It is written by `train` beside the model and holds what is known then: no metrics, no commit, no Python version.
Light to import (numpy and pydantic), because whatever serves a model reads it.
"""

import itertools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from artifact_flow.core.base.encoding import SECONDS_A_DAY, Column, Text
from artifact_flow.core.base.errors import ContractError
from artifact_flow.core.base.figures import decimal_place, round_figure
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.lock import LOCK, locked_md5
from artifact_flow.core.base.params import DataParams, Params, Task, TrainParams, Type, find_difference

CONTRACT = Path("contract.json")
BINS = 10  # of a number's reference distribution, beside those of single values with many rows
EDGE_DIGITS = 4  # significant digits of the distance between two edges, by which both are rounded
SHARE_DIGITS = 6  # significant digits of a share, a mean (of the standard deviation's) and a standard deviation
FLOAT32_ROUNDING = 2.0**-23  # of a number that went through float32, relative to the number
FLOAT64_NOISE = 2.0**-40  # more than interpolating between two values adds to them, and less than float32 does
LARGEST_EXPONENT = 500  # of two: squares of such numbers are numbers still


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Feature(_Part):
    """One column as the model saw it: its type, and the reference distribution of the train split.

    A number, boolean or date has a range, moments and quantile bins: `shares[i]` of its values lie in
    (`edges[i]`, `edges[i + 1]`] as `count_bins` counts them, the first bin including its lower edge. A value that
    holds many rows has a bin of its own; where that is the least or the greatest, one more bin, whose edge stands
    twice, is for what lies beyond. A column of one value has one edge. A category has its values and their shares.
    """

    name: str
    type: Type
    missing: float  # the share of rows without a value
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    edges: list[float] | None = None
    categories: list[str] | None = None
    shares: list[float]  # of the rows with a value; they add up to 1

    @property
    def middle(self) -> Any:
        """A value from the middle of the training's, as JSON has it: the median, the commonest text, or None."""
        if self.type == "category":
            if not self.categories:
                return "" if self.shares else None
            return self.categories[self.shares.index(max(self.shares))]
        if not self.edges:
            return None
        half = int(np.searchsorted(np.cumsum(self.shares), 0.5 - 0.1**SHARE_DIGITS * len(self.shares)))
        value = self.edges[min(half + 1, len(self.edges) - 1)]
        if self.type == "boolean":
            return bool((self.mean or 0) >= 0.5)
        if self.type == "date":
            return datetime.fromtimestamp(value * SECONDS_A_DAY, UTC).date().isoformat()
        return value


class Target(_Part):
    """What is predicted: the column, the task and, for a classification, the classes in the order of their indices."""

    name: str
    task: Task
    classes: list[str]


class Contract(_Part):
    """Everything a later step may rely on about the model it is given."""

    version: Literal[2]
    target: Target
    id: str | None  # the source's column that names a row
    rows: dict[str, int]  # split → number of rows
    params: dict[str, Any]  # the blocks that made the data and the model
    sha256: dict[str, str]  # file name → hash, of the data and of the model
    libraries: dict[str, str]  # name → version that wrote them
    features: list[Feature]

    @property
    def model_name(self) -> str:
        """What the model is called where several are: its source's name, in letters, digits, "-" and "_"."""
        name = Path(str(self.params["data"]["source"])).name.split(".")[0]
        return "".join(mark if mark.isalnum() or mark in "-_" else "-" for mark in name) or "model"

    def may_miss(self, feature: Feature) -> bool:
        """Return whether a row may lack this value: an imputer fills any gap, a model that saw gaps takes them."""
        return self.params["data"].get("preprocess") == "auto" or feature.missing > 0


def describe_features(types: Mapping[str, Type], columns: Mapping[str, Column]) -> list[Feature]:
    """Return the features in the order of `types` (name → type), described from the train split's raw columns."""
    return [_describe(name, kind, columns[name]) for name, kind in types.items()]


def count_bins(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Return how many values lie in each bin of `edges`; those out of their range count in the first and the last bin.

    A value that went through float32 and now lies just above an edge, on which it lay before, counts as on the edge.
    The contract's shares and the rows of a service are counted by this function, so that equal rows give equal shares.
    """
    inner = np.array(edges[1:-1], np.float64)
    with np.errstate(over="ignore"):
        inner += np.minimum(FLOAT32_ROUNDING * np.abs(inner), 0.001 * np.diff(edges[1:]))
    return np.bincount(np.searchsorted(inner, values, side="left"), minlength=len(inner) + 1)


def plain(value: Any) -> Any:
    """Return a parameter as JSON holds it: keys as text, infinities and NaN as YAML writes them."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    return value


def blocks_of(data: DataParams, train: TrainParams) -> dict[str, Any]:
    """Return the blocks of parameters that make a table and its model, as a contract holds them."""
    block = train.model_dump(exclude=None if train.search else {"search"})
    return dict(plain({"data": data.model_dump(exclude_none=True), "train": block}))


def check_params(contract: Contract, params: Params) -> None:
    """Raise ContractError unless the model was made with the parameters that stand in params.yaml now."""
    made = {name: block for name, block in contract.params.items() if name != "best"}
    difference = find_difference(made, blocks_of(params.data, params.train))
    if difference:
        raise ContractError(
            f"{CONTRACT} was made with {difference}: run `dvc repro`, which makes it and the model anew."
        )


def check_data(contract: Contract, path: Path) -> None:
    """Raise ContractError unless the table in `path` is, by its sha256, the one that the contract's model saw."""
    expected = contract.sha256.get(path.name)
    try:
        found = hash_file(path)
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read ({error.strerror}): `dvc repro --force data` makes it again."
        ) from error
    if found != expected:
        raise ContractError(
            f"{path} is not the table that {CONTRACT} names (sha256 {found[:12]}…, not {str(expected)[:12]}…): "
            "run `dvc repro`, which makes both from the same data."
        )


def write_contract(contract: Contract, path: Path) -> None:
    """Write a contract as JSON, one feature a line, so that a diff reads."""
    document = contract.model_dump(mode="json")
    for feature in document["features"]:
        for name in [name for name, value in feature.items() if value is None]:
            del feature[name]
    features = ",\n    ".join(
        json.dumps(feature, ensure_ascii=False, allow_nan=False) for feature in document.pop("features")
    )
    head = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    path.write_text(f'{head},\n  "features": [\n    {features}\n  ]\n}}\n', encoding="utf-8", newline="\n")


def read_contract(path: Path = CONTRACT, lock: Path = LOCK) -> Contract:
    """Return the contract in `path`, after its hash is found to be the one that the DVC lock names.

    `lock` is the dvc.lock beside the dvc.yaml in question; where there is none, or it does not list the contract,
    only the content is checked. Raises ContractError, or LockError when the lock itself cannot be read.
    """
    remedy = "`dvc repro --force train` writes model and contract anew."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    locked = locked_md5(path, lock)
    if locked and locked != hash_bytes(content, "md5"):
        raise ContractError(
            f"{path} is not the one that {lock.name} names (md5 {locked}); it was edited or replaced: {remedy}"
        )
    try:
        return Contract.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ContractError(f"{path}: {where}: {first['msg']}: {remedy}") from error


def _describe(name: str, kind: Type, column: Column) -> Feature:
    if isinstance(column, Text):
        counts = np.bincount(column.index[column.index >= 0], minlength=len(column.values))
        order = sorted(range(len(column.values)), key=lambda i: column.values[i])
        return Feature(
            name=name,
            type="category",
            missing=_share(len(column.index) - counts.sum(), len(column.index)),
            categories=[column.values[i] for i in order],
            shares=[_share(counts[i], counts.sum()) for i in order],
        )
    values = column[~np.isnan(column)]
    missing = _share(len(column) - len(values), len(column))
    if not len(values):
        return Feature(name=name, type=kind, missing=missing, shares=[])
    low, high = float(values.min()), float(values.max())
    edges, mean, std = [low], low, 0.0
    if low < high:
        # what is near the largest or the least number is squared in other units, a power of two: exact, no overflow
        exponent = math.frexp(max(abs(low), abs(high)))[1]
        exponent = exponent if abs(exponent) > LARGEST_EXPONENT else 0
        scaled = np.ldexp(values, -exponent)
        std = math.ldexp(float(scaled.std()), exponent)
        mean = round_figure(math.ldexp(float(scaled.mean()), exponent), SHARE_DIGITS, std)
        edges = _round_edges(_cut(values, std))
    return Feature(
        name=name,
        type=kind,
        missing=missing,
        min=low,  # as it is: what was seen in training is in range
        max=high,
        mean=mean,
        std=round_figure(std, SHARE_DIGITS),
        edges=edges,
        shares=[_share(count, len(values)) for count in count_bins(values, edges).tolist()],
    )


def _cut(values: np.ndarray, std: float) -> list[float]:
    """Return the edges of the bins of values that are not all the same: deciles, and what parts single values.

    A value that is two deciles, as the zeros of a column that is mostly zero, must not hide among others: one edge is
    the value itself, one lies just below it, by a hundredth of the standard deviation at most. Where it is the least
    or the greatest of all, what lies beyond has a bin too.
    """
    unit = 4 if np.abs(values).max() > sys.float_info.max / 4 else 1  # of which no sum or difference overflows
    values, near = values / unit, std / unit / 100
    deciles = np.quantile(values, np.linspace(0, 1, BINS + 1)).tolist()
    low, high = deciles[0], deciles[-1]
    tied = {one for one, other in itertools.pairwise(deciles) if one == other}
    edges = {edge for edge in deciles[1:-1] if edge < high}
    for value in tied - {low}:
        below = float(values[values < value].max())
        if not any(below <= edge < value for edge in edges):
            edges.add(_just_below(value, min((value - below) / 2, near)))
    first, last = [low], [high]
    if low in tied:
        below = _just_below(low, near)
        first = [below] * 2 if math.isfinite(unit * below) else first
    if high in tied:
        last = [high] * 2
    return [unit * edge for edge in (*first, *sorted(edges), *last)]


def _just_below(value: float, distance: float) -> float:
    """Return a number below a value: by a power of ten up to `distance`, or the next one where that is nearer."""
    step = 10.0 ** -decimal_place(1, distance) if distance else 0.0
    return min(value - step, math.nextafter(value, -math.inf))


def _round_edges(edges: list[float]) -> list[float]:
    """Return edges of which those between the first and the last are rounded, and by less than a bin shows.

    They are rounded up, so that a value which is an edge stays in its bin; by what interpolation left, either way.
    """
    rounded = list(edges)
    for i in range(1, len(edges) - 1):
        distance = min(d for d in (edges[i] - edges[i - 1], edges[i + 1] - edges[i]) if d > 0)
        edge = round_figure(edges[i], EDGE_DIGITS, distance)
        if edges[i] - edge > min(FLOAT64_NOISE * abs(edges[i]), distance / 10_000):
            edge = round_figure(edge + 10.0 ** -decimal_place(EDGE_DIGITS, distance), EDGE_DIGITS, distance)
        if (edges[i - 1] == edges[i] or edges[i - 1] < edge) and edge < edges[i + 1]:
            rounded[i] = edge
    if edges[0] == edges[1]:
        rounded[0] = rounded[1]
    return rounded


def _share(rows: float, of: float) -> float:
    return round_figure(float(rows) / float(of), SHARE_DIGITS) if of else 0.0
