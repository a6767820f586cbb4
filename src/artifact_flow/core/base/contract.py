"""Contract: what `train` guarantees to later steps: columns, types, ranges, classes, parameters, hashes, versions.

`train` writes it next to the model, so it holds neither metrics nor the commit; it records library versions but not
Python's. The module imports only numpy and pydantic, because the service reads contracts too.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artifact_flow.core.base.bins import FLOAT32_ROUNDING, count_bins, draw_edges
from artifact_flow.core.base.difference import find_difference
from artifact_flow.core.base.encoding import SECONDS_A_DAY, Column, Text, measure_texts
from artifact_flow.core.base.errors import ContractError
from artifact_flow.core.base.figures import round_figure
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.fixed_order import spread
from artifact_flow.core.base.lock import LOCK, locked_md5
from artifact_flow.core.base.params import DataParams, Params, Role, TableParams, Task, TrainParams, Type

CONTRACT = Path("contract.json")
SHARE_DIGITS = 6  # significant digits of a share and a standard deviation; a mean is rounded at the latter's scale
COARSE = 2e-5  # of the standard deviation: an error of float32 that may change an exported model's predictions
LARGEST_EXPONENT = 500  # of two: the squares of such numbers do not overflow


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Feature(_Part):
    """One column in training: its type, and its reference distribution in the train split.

    A number, boolean or date has a range, moments and quantile bins: the share `shares[i]` of its values is in
    (`edges[i]`, `edges[i + 1]`] as `count_bins` counts them; the first bin includes its lower edge. A frequent value
    has its own bin; if it is the minimum or the maximum, one more bin, whose edge is listed twice, holds the values
    beyond it. A column with a single value has one edge. A category has its values and their shares. A text is
    described by its number of characters, as a number is; the contract holds no texts.
    """

    name: str
    type: Type
    missing: float  # the share of rows without a value
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    offset: float | None = None  # subtracted before the model sees a value, if float32 would round it too much
    edges: list[float] | None = None
    categories: list[str] | None = None
    shares: list[float]  # of the rows with a value; they add up to 1

    @property
    def middle(self) -> Any:  # noqa: PLR0911 - a type, a return
        """A typical value of the train split, in JSON's types: the median, the most frequent category, or None.

        The contract does not have one of a text; the word "text" stands for it.
        """
        if self.type == "text":
            return "text"
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
    # whether the outputs have the same bytes on every machine with the locked libraries; else on x86-64 with AVX2 only
    portable: bool = Field(default=False, exclude_if=lambda value: not value)
    features: list[Feature]

    @property
    def model_name(self) -> str:
        """The model's name among several: its source's name in letters, digits, "-" and "_"."""
        name = Path(str(self.params["data"]["source"])).name.split(".")[0]
        return "".join(mark if mark.isalnum() or mark in "-_" else "-" for mark in name) or "model"

    @property
    def columns(self) -> list[str]:
        """The names of the features, in their order, and of the target."""
        return [*(feature.name for feature in self.features), self.target.name]

    @property
    def table(self) -> TableParams | None:
        """How the training table was read, or None for a built-in data set."""
        table = self.params["data"].get("table")
        return TableParams.model_validate(table) if table else None

    def role_of(self, feature: Feature) -> Role:
        """Return the role by which a feature's values are read: its type, or a date with the order of day and month."""
        table = self.params["data"].get("table") or {}
        return table.get("columns", {}).get(feature.name, "date") if feature.type == "date" else feature.type

    def may_miss(self, feature: Feature) -> bool:
        """Return whether a row may lack this value: there is an imputer, or training had missing values too."""
        return self.params["data"].get("preprocess") == "auto" or feature.missing > 0


def describe_features(
    types: Mapping[str, Type], columns: Mapping[str, Column], centred: bool = False, bins: bool = True
) -> list[Feature]:
    """Return the features in the order of `types` (name → type), described from the train split's raw columns.

    With `centred`, numbers and dates that are far from 0 and near to each other, such as moments of a week, get an
    offset: an exported model takes float32, which would round away what distinguishes them.
    Without `bins`, which take most of the time, numbers have no reference distribution.
    """
    features = [_describe(name, kind, columns[name], bins) for name, kind in types.items()]
    return [feature.model_copy(update={"offset": _offset(feature)}) for feature in features] if centred else features


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
    return dict(plain({"data": data.model_dump(exclude_none=True), "train": train.model_dump()}))


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


def _describe(name: str, kind: Type, column: Column, bins: bool) -> Feature:
    if kind == "text" and isinstance(column, Text):
        column = np.append(measure_texts(column.values), np.nan)[column.index]  # index -1 selects the last
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
        mean, std = (math.ldexp(float(figure), exponent) for figure in spread(scaled))
        mean = round_figure(mean, SHARE_DIGITS, std)
        edges = draw_edges(values, std) if bins else []
    return Feature(
        name=name,
        type=kind,
        missing=missing,
        min=low,  # unrounded, so that every training value is in range
        max=high,
        mean=mean,
        std=round_figure(std, SHARE_DIGITS),
        edges=edges,
        shares=[_share(count, len(values)) for count in (count_bins(values, edges).tolist() if edges else ())],
    )


def _offset(feature: Feature) -> float | None:
    """Return the whole number below a feature's values if float32 would round them too much, else None."""
    if feature.type not in ("number", "date") or feature.min is None or feature.max is None or not feature.std:
        return None
    rounding = FLOAT32_ROUNDING / 2 * max(abs(feature.min), abs(feature.max))
    return float(math.floor(feature.min)) if rounding > COARSE * feature.std else None


def _share(rows: float, of: float) -> float:
    return round_figure(float(rows) / float(of), SHARE_DIGITS) if of else 0.0
