"""Contract: what `train` guarantees to later steps: columns, types, ranges, classes, parameters, hashes, versions.

`train` writes it next to the model, so it holds neither metrics nor the commit; it records library versions but not
Python's. The module imports only numpy and pydantic, because the service reads contracts too.
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
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artifact_flow.core.base.encoding import SECONDS_A_DAY, Column, Text
from artifact_flow.core.base.errors import ContractError
from artifact_flow.core.base.figures import decimal_place, round_figure
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.lock import LOCK, locked_md5
from artifact_flow.core.base.params import DataParams, Params, Task, TrainParams, Type, find_difference

CONTRACT = Path("contract.json")
BINS = 10  # quantile bins of a number's reference distribution; frequent single values get bins of their own besides
EDGE_DIGITS = 4  # edges are rounded to this many significant digits of the distance between two of them
SHARE_DIGITS = 6  # significant digits of a share and a standard deviation; a mean is rounded at the latter's scale
FLOAT32_ROUNDING = 2.0**-23  # relative error of a number converted to float32
FLOAT64_NOISE = 2.0**-40  # relative; above the error of interpolating two values, below that of float32
LARGEST_EXPONENT = 500  # of two: the squares of such numbers do not overflow


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Feature(_Part):
    """One column in training: its type, and its reference distribution in the train split.

    A number, boolean or date has a range, moments and quantile bins: the share `shares[i]` of its values is in
    (`edges[i]`, `edges[i + 1]`] as `count_bins` counts them; the first bin includes its lower edge. A frequent value
    has its own bin; if it is the minimum or the maximum, one more bin, whose edge is listed twice, holds the values
    beyond it. A column with a single value has one edge. A category has its values and their shares.
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
        """A typical value of the train split, in JSON's types: the median, the most frequent text, or None."""
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
    """What is predicted: the column, the task and, for classification, the classes in the order of their indices."""

    name: str
    task: Task
    classes: list[str]
    # the probability of the second class from which it is predicted; left out where there is none
    threshold: float | None = Field(default=None, exclude_if=lambda value: value is None)


class Contract(_Part):
    """Everything that a later step may rely on about a model."""

    version: Literal[2]
    target: Target
    id: str | None  # the source's id column
    rows: dict[str, int]  # split → number of rows
    params: dict[str, Any]  # the blocks `data` and `train` that made the table and the model
    sha256: dict[str, str]  # file name → hash, of the table and the model
    libraries: dict[str, str]  # name → version at training
    features: list[Feature]

    @property
    def model_name(self) -> str:
        """The model's name among several: its source's name in letters, digits, "-" and "_"."""
        name = Path(str(self.params["data"]["source"])).name.split(".")[0]
        return "".join(mark if mark.isalnum() or mark in "-_" else "-" for mark in name) or "model"

    def may_miss(self, feature: Feature) -> bool:
        """Return whether a row may lack this value: there is an imputer, or training had missing values too."""
        return self.params["data"].get("preprocess") == "auto" or feature.missing > 0


def describe_features(types: Mapping[str, Type], columns: Mapping[str, Column]) -> list[Feature]:
    """Return the features in the order of `types` (name → type), described from the train split's raw columns."""
    return [_describe(name, kind, columns[name]) for name, kind in types.items()]


def count_bins(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Return the number of values in each bin of `edges`; the first and last bins include values beyond the range.

    A value that was on an edge and is just above it after a conversion to float32 still counts as on the edge. The
    contract's shares and the service's rows are both counted by this function, so that equal rows give equal shares.
    """
    inner = np.array(edges[1:-1], np.float64)
    with np.errstate(over="ignore"):
        inner += np.minimum(FLOAT32_ROUNDING * np.abs(inner), 0.001 * np.diff(edges[1:]))
    return np.bincount(np.searchsorted(inner, values, side="left"), minlength=len(inner) + 1)


def plain(value: Any) -> Any:
    """Return a parameter in JSON's types: keys as text, infinities and NaN as the text YAML uses."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    return value


def blocks_of(data: DataParams, train: TrainParams) -> dict[str, Any]:
    """Return the blocks `data` and `train` as a contract records them."""
    unset = {name for name in ("search", "keywords") if getattr(train, name) is None}
    block = train.model_dump(exclude=unset)
    return dict(plain({"data": data.model_dump(exclude_none=True), "train": block}))


def check_params(contract: Contract, params: Params) -> None:
    """Raise ContractError unless the model was made with the current parameters of params.yaml."""
    made = {name: block for name, block in contract.params.items() if name != "best"}
    difference = find_difference(made, blocks_of(params.data, params.train))
    if difference:
        raise ContractError(f"{CONTRACT} was made with {difference}: run `dvc repro` to make it and the model again.")


def check_data(contract: Contract, path: Path) -> None:
    """Raise ContractError unless the sha256 of the table in `path` is the one the contract records."""
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
            "run `dvc repro` to make both from the same data."
        )


def write_contract(contract: Contract, path: Path) -> None:
    """Write a contract as JSON, one feature per line, so that a diff is readable."""
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
    """Return the contract in `path` after checking that its hash is the one in `lock`.

    `lock` is the dvc.lock of the contract's pipeline; if it does not exist or does not list the contract, only the
    content is validated. Raises ContractError, or LockError when the lock itself cannot be read.
    """
    remedy = "`dvc repro --force train` writes the model and the contract again."
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
        # numbers near the limits of float64 are scaled by a power of two before squaring: exact, without overflow
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
        min=low,  # unrounded, so that every training value is in range
        max=high,
        mean=mean,
        std=round_figure(std, SHARE_DIGITS),
        edges=edges,
        shares=[_share(count, len(values)) for count in count_bins(values, edges).tolist()],
    )


def _cut(values: np.ndarray, std: float) -> list[float]:
    """Return the bin edges of values that are not all equal: deciles, and edges that isolate frequent values.

    A value that equals two deciles, such as 0 in a column that is mostly zero, gets its own bin: one edge is the value
    itself, and one is just below it, by at most a hundredth of the standard deviation. If the value is the minimum or
    the maximum, the values beyond it get a bin too.
    """
    unit = 4 if np.abs(values).max() > sys.float_info.max / 4 else 1  # a unit in which no sum or difference overflows
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
    """Return a number below a value: by a power of ten up to `distance`, or the next float if that is further."""
    step = 10.0 ** -decimal_place(1, distance) if distance else 0.0
    return min(value - step, math.nextafter(value, -math.inf))


def _round_edges(edges: list[float]) -> list[float]:
    """Return the edges with the inner ones rounded, by too little to change what the bins show.

    They are rounded up, so that a value that equals an edge stays in its bin; an error as small as interpolation's may
    be rounded in either direction.
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
