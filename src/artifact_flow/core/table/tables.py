"""Tables: the typed table with its split, in memory and as data.parquet.

data.parquet has the columns `id`, the features, the target and `split`, and the key of a split by group or by time.
Their roles are in the file's metadata, so that the table describes itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from artifact_flow.core.base.contract import Feature, describe_features
from artifact_flow.core.base.difference import find_difference
from artifact_flow.core.base.encoding import Column
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import PARAMS, DataParams, SplitParams, Task, Type
from artifact_flow.core.table.columns import to_column
from artifact_flow.core.table.splits import Key, draw_test_rows

DATA = Path("data.parquet")
ID, TARGET, SPLIT, KEY = "id", "target", "split", "split key"
RESERVED = (ID, TARGET, SPLIT, KEY)

Split = Literal["train", "test"]


def stored_name(feature: str) -> str:
    """Return the name of a feature's column in data.parquet, which keeps `id`, `target` and `split` for itself."""
    return f"{feature} (feature)" if feature in RESERVED else feature


class Roles(BaseModel):
    """The role of each column of a table and the parameters that made it; stored in the Parquet file's metadata."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    features: dict[str, Type]
    classes: list[str]  # in the order of their indices; empty for a regression
    params: DataParams

    @property
    def task(self) -> Task:
        """Classification if the target has classes, else regression."""
        return "classification" if self.classes else "regression"

    @property
    def target(self) -> str:
        """The target's name in the source."""
        return self.params.table.target if self.params.table else TARGET

    @property
    def id(self) -> str | None:
        """The source's id column, or None."""
        table = self.params.table
        return next((name for name, role in table.columns.items() if role == "id"), None) if table else None


@dataclass(frozen=True)
class Table:
    """Rows with their roles: `id`, features, target (class index or float64) and, after the split, `split`.

    With a block `data.split` there is the `split key` too, after a split only where it is by group or by time.
    """

    columns: pa.Table
    roles: Roles

    @property
    def raw(self) -> Mapping[str, Column]:
        """The unencoded features by name, in the form that the encoding takes."""
        return {name: to_column(self.columns[stored_name(name)]) for name in self.roles.features}

    def describe(self, bins: bool = True) -> list[Feature]:
        """Return the features described from the train split; without `bins`, with no distributions of numbers."""
        return describe_features(
            self.roles.features, self.part("train").raw, self.roles.params.preprocess == "auto", bins
        )

    @property
    def y(self) -> np.ndarray:
        """The target: int64 class indices or float64 values, of shape [rows]."""
        return np.asarray(self.columns[TARGET].to_numpy())

    @property
    def split(self) -> np.ndarray:
        """The name of each row's split, "train" or "test", of shape [rows]."""
        return np.asarray(self.columns[SPLIT].to_numpy(zero_copy_only=False), dtype=str)

    @property
    def key(self) -> Key | None:
        """The key of each row, by which the table is split, or None."""
        by = self.roles.params.split
        return Key(by.by, np.asarray(self.columns[KEY].to_numpy())) if by and KEY in self.columns.column_names else None

    def count(self, split: Split) -> int:
        """Return the number of rows of one split."""
        return int(pc.sum(pc.equal(self.columns[SPLIT], split)).as_py() or 0)

    def part(self, split: Split) -> "Table":
        """Return the rows of one split, in the table's order."""
        return replace(self, columns=self.columns.filter(pc.equal(self.columns[SPLIT], split)))


def split_rows(table: Table) -> Table:
    """Return the table with its `split` column: `data.test_size` of the rows (or groups), or named ones, are "test".

    Raises DataError when the split is impossible, for example with `stratify` and a class of one row.
    """
    params, y = table.roles.params, table.y
    if params.stratify and not table.roles.classes:
        raise DataError(
            f"{PARAMS}: data.stratify is true, but the target of {params.source} is a number, which has no "
            "classes to stratify by; allowed: false."
        )
    if params.stratify and params.split:
        raise DataError(
            f"{PARAMS}: data.stratify is true, but a split by {params.split.by} cannot also keep each class's share; "
            "allowed: false."
        )
    try:
        test = draw_test_rows(params, y, table.key)
    except ValueError as error:
        raise DataError(
            f"{PARAMS}: data.test_size {params.test_size} cannot split {params.source} ({len(y)} rows): "
            f"{str(error).rstrip('.')}; choose another data.test_size, or data.stratify false."
        ) from error
    least = min(len(test), len(y) - len(test))
    if not table.roles.classes and least < 2:
        raise DataError(
            f"{PARAMS}: data.test_size {params.test_size} of {params.source} ({len(y)} rows) leaves a split of {least} "
            "row, and the R² of a regression needs two: choose another data.test_size, or bring more rows."
        )
    is_test = np.zeros(len(y), dtype=bool)
    is_test[test] = True
    columns = table.columns.append_column(SPLIT, pc.if_else(is_test, "test", "train"))
    if params.split:
        _refuse_absent_class(table, ~is_test, params.split)
        columns = columns.drop_columns(KEY) if params.split.by == "column" else columns
    return replace(table, columns=columns)


def _refuse_absent_class(table: Table, is_train: np.ndarray, split: SplitParams) -> None:
    """Raise DataError when a split by a column leaves the train split without a class."""
    names = table.roles.classes
    absent = [name for label, name in enumerate(names) if not np.any(is_train & (table.y == label))]
    if absent:
        raise DataError(
            f"{PARAMS}: data.split by {split.by} {split.column} leaves no row of class {absent[0]} in the train split, "
            "so no model could predict it: choose another data.seed, data.test_size or column, or leave such rows out."
        )


def write_table(table: Table, path: Path) -> None:
    """Write a table as Parquet; the bytes depend only on its content and the locked version of pyarrow."""
    columns = table.columns.replace_schema_metadata({"artifact_flow": table.roles.model_dump_json()})
    # without Parquet's checksums, a page with changed bytes would be read as other numbers
    pq.write_table(columns, path, compression="zstd", version="2.6", data_page_version="1.0", write_page_checksum=True)


def read_table(path: Path = DATA) -> Table:
    """Return a table written by `write_table`.

    Raises DataError when the file is missing or damaged, was not written by `write_table`, or lacks a column.
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
        raise DataError(f"{path} was not written by stage data (it has no roles of columns): {remedy}") from error
    held = set(columns.column_names)
    split = roles.params.split
    key = [KEY] if split and split.by != "column" else []
    missing = [name for name in (ID, *map(stored_name, roles.features), TARGET, SPLIT, *key) if name not in held]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: {remedy}")
    return Table(columns.replace_schema_metadata(None), roles)


def check_made(table: Table, params: DataParams) -> None:
    """Raise DataError unless the table was made with the current block `data` of params.yaml."""
    difference = find_difference(table.roles.params.model_dump(), params.model_dump(), "data.")
    if difference:
        raise DataError(f"{DATA} was made with {difference}: run `dvc repro` to make it again.")
