"""Datasets: a built-in name becomes one typed table with a split. The only module that reads raw data.

In data.parquet the columns are `id`, the features, the target and `split`; what each column is stands in the file's
own metadata, so that the table explains itself wherever it goes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError
from sklearn import datasets as builtin
from sklearn.model_selection import train_test_split

from artifact_flow.errors import DataError
from artifact_flow.params import DataParams, closest

DATA = Path("data.parquet")
ID, TARGET, SPLIT = "id", "target", "split"

Task = Literal["classification", "regression"]
Split = Literal["train", "test"]

# The sets that scikit-learn carries inside its wheel: they need no network.
BUILTIN: dict[str, Callable[[], Any]] = {
    "breast_cancer": builtin.load_breast_cancer,
    "diabetes": builtin.load_diabetes,
    "digits": builtin.load_digits,
    "iris": builtin.load_iris,
    "wine": builtin.load_wine,
}


class Roles(BaseModel):
    """What each column of a table is, and the parameters that made it; kept in the Parquet file's metadata."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    features: list[str]
    classes: list[str]  # in the order of their indices; empty for a regression
    params: DataParams

    @property
    def task(self) -> Task:
        """Classification where the target has classes, else regression."""
        return "classification" if self.classes else "regression"


@dataclass(frozen=True)
class Table:
    """Rows with their roles: `id`, features (float64), target (class index or float64) and, once split, `split`."""

    columns: pa.Table
    roles: Roles

    @property
    def X(self) -> np.ndarray:
        """The features, float64 of shape [rows, features], row-major."""
        return np.column_stack([self.columns[name].to_numpy() for name in self.roles.features])

    @property
    def y(self) -> np.ndarray:
        """The target: int64 class indices or float64 values, of shape [rows]."""
        return np.asarray(self.columns[TARGET].to_numpy())

    @property
    def split(self) -> np.ndarray:
        """The name of each row's split, "train" or "test", of shape [rows]."""
        return np.asarray(self.columns[SPLIT].to_numpy(zero_copy_only=False), dtype=str)

    def part(self, split: Split) -> "Table":
        """Return the rows of one split, in the table's order."""
        return replace(self, columns=self.columns.filter(pa.array(self.split == split)))


def load_builtin(params: DataParams) -> Table:
    """Return a built-in set as a table without a split: float64 features, ids from 0, plain column names.

    Raises DataError when the name is unknown.
    """
    if params.source not in BUILTIN:
        raise DataError(
            f"params.yaml: data.source is {params.source!r}{closest(params.source, BUILTIN)}; "
            f"allowed: {', '.join(BUILTIN)}."
        )
    bunch = BUILTIN[params.source]()
    features = [plain_name(str(name)) for name in bunch.feature_names]
    classes = [str(name) for name in getattr(bunch, "target_names", ())]
    target = np.asarray(bunch.target, dtype=np.int64 if classes else np.float64)
    columns = {
        ID: np.arange(len(target)),
        **{name: np.ascontiguousarray(bunch.data[:, i], np.float64) for i, name in enumerate(features)},
        TARGET: target,
    }
    return Table(pa.table(columns), Roles(features=features, classes=classes, params=params))


def plain_name(name: str) -> str:
    """Return a column name as an identifier: "sepal length (cm)" becomes "sepal_length"."""
    return re.sub(r"\W+", "_", re.sub(r"\(.*?\)", "", name)).strip("_")


def split_rows(table: Table) -> Table:
    """Return the table with its seeded `split` column; `data.test_size` of the rows are "test".

    Raises DataError when the split is impossible, as with a class of one row and `stratify`.
    """
    params, y = table.roles.params, table.y
    if params.stratify and not table.roles.classes:
        raise DataError(
            f"params.yaml: data.stratify is true, but the target of {params.source} is a number, which has no "
            "classes to keep in proportion; allowed: false."
        )
    try:
        _, test = train_test_split(
            np.arange(len(y)),
            test_size=params.test_size,
            random_state=params.seed,
            stratify=y if params.stratify else None,
        )
    except ValueError as error:
        raise DataError(
            f"params.yaml: data.test_size {params.test_size} cannot split {params.source} ({len(y)} rows): "
            f"{str(error).rstrip('.')}; choose another data.test_size, or data.stratify false."
        ) from error
    split = np.full(len(y), "train")
    split[test] = "test"
    return replace(table, columns=table.columns.append_column(SPLIT, pa.array(split)))


def write_table(table: Table, path: Path) -> None:
    """Write a table as Parquet whose bytes depend on nothing but its content and the locked pyarrow."""
    columns = table.columns.replace_schema_metadata({"artifact_flow": table.roles.model_dump_json()})
    # a page whose bytes changed would read as other numbers: Parquet's own checksums tell
    pq.write_table(columns, path, compression="zstd", version="2.6", data_page_version="1.0", write_page_checksum=True)


def read_table(path: Path = DATA) -> Table:
    """Return the table that `write_table` wrote.

    Raises DataError when the file is missing, is damaged, is not ours, or lacks a column.
    """
    remedy = "`dvc repro --force data` makes it again."
    try:
        columns = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: {remedy}") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path} is damaged or not Parquet ({reason}): {remedy}") from error
    try:
        roles = Roles.model_validate_json((columns.schema.metadata or {}).get(b"artifact_flow", b""))
    except ValidationError as error:
        raise DataError(f"{path} was not written by stage data (it says no roles of columns): {remedy}") from error
    missing = [name for name in (ID, *roles.features, TARGET, SPLIT) if name not in columns.column_names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: {remedy}")
    return Table(columns.replace_schema_metadata(None), roles)
