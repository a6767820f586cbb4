"""Datasets: a built-in name or one's own file becomes one typed table with a split.

In data.parquet the columns are `id`, the features, the target and `split`; what each column is stands in the file's
own metadata, so that the table explains itself wherever it goes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from artifact_flow import builtin
from artifact_flow.columns import missing_columns, to_column
from artifact_flow.contract import Feature, describe_features
from artifact_flow.encoding import Column
from artifact_flow.errors import DataError
from artifact_flow.params import PARAMS, DataParams, TableParams, Task, Type, closest
from artifact_flow.readers import Form, read_columns, read_names

DATA = Path("data.parquet")
ID, TARGET, SPLIT = "id", "target", "split"
RESERVED = (ID, TARGET, SPLIT)

Split = Literal["train", "test"]


class Roles(BaseModel):
    """What each column of a table is, and the parameters that made it; kept in the Parquet file's metadata."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    features: dict[str, Type]
    classes: list[str]  # in the order of their indices; empty for a regression
    params: DataParams

    @property
    def task(self) -> Task:
        """Classification where the target has classes, else regression."""
        return "classification" if self.classes else "regression"

    @property
    def target(self) -> str:
        """The target's name in the source."""
        return self.params.table.target if self.params.table else TARGET

    @property
    def id(self) -> str | None:
        """The source's column that names a row, where there is one."""
        table = self.params.table
        return next((name for name, role in table.columns.items() if role == "id"), None) if table else None


@dataclass(frozen=True)
class Table:
    """Rows with their roles: `id`, features, target (class index or float64) and, once split, `split`."""

    columns: pa.Table
    roles: Roles

    @property
    def raw(self) -> Mapping[str, Column]:
        """The features as they stand in the table, by name, ready for the encoding."""
        return {name: to_column(self.columns[name]) for name in self.roles.features}

    def describe(self) -> list[Feature]:
        """Return the features as the train split shows them."""
        return describe_features(self.roles.features, self.part("train").raw)

    @property
    def y(self) -> np.ndarray:
        """The target: int64 class indices or float64 values, of shape [rows]."""
        return np.asarray(self.columns[TARGET].to_numpy())

    @property
    def split(self) -> np.ndarray:
        """The name of each row's split, "train" or "test", of shape [rows]."""
        return np.asarray(self.columns[SPLIT].to_numpy(zero_copy_only=False), dtype=str)

    def count(self, split: Split) -> int:
        """Return the number of rows of one split."""
        return int(pc.sum(pc.equal(self.columns[SPLIT], split)).as_py() or 0)

    def part(self, split: Split) -> "Table":
        """Return the rows of one split, in the table's order."""
        return replace(self, columns=self.columns.filter(pc.equal(self.columns[SPLIT], split)))


def load_source(params: DataParams) -> Table:
    """Return what `data.source` names as a table without a split.

    Raises DataError when it is neither a built-in set nor a file that can be read as `data.table` says.
    """
    if params.source in builtin.NAMES:
        return load_builtin(params)
    if params.table or Path(params.source).suffix:
        return load_own(params)
    raise DataError(
        f"{PARAMS}: data.source is {params.source!r}{closest(params.source, builtin.NAMES)}; "
        f"allowed: {', '.join(builtin.NAMES)}, or the path of a CSV or Parquet file."
    )


def load_builtin(params: DataParams) -> Table:
    """Return a built-in set as a table without a split: float64 features, ids from 0, plain column names."""
    arrays = builtin.load_arrays(params.source)
    columns = {
        ID: np.arange(len(arrays.y)),
        **{name: np.ascontiguousarray(arrays.X[:, i]) for i, name in enumerate(arrays.features)},
        TARGET: arrays.y,
    }
    features: dict[str, Type] = dict.fromkeys(arrays.features, "number")
    return Table(pa.table(columns), Roles(features=features, classes=arrays.classes, params=params))


def load_own(params: DataParams) -> Table:
    """Return one's own file as a table without a split, its columns typed as `data.table.columns` says.

    Ids are the values of the column whose role is id, else the rows' numbers from 0. Raises DataError naming what is
    wrong in the file, and where.
    """
    table = params.table
    if table is None:
        raise DataError(
            f"{PARAMS}: data.source is {params.source}, but data.table does not say what its columns are: "
            f"`artifact-flow init --data {params.source} --target COLUMN` writes it."
        )
    raw = _read_own(Path(params.source), table)
    target = raw[table.target]
    if target.null_count:
        if not table.drop_missing_target:
            raise DataError(
                f"{params.source}: {target.null_count} of {len(raw)} rows have no value in {table.target}, the target: "
                f"fill them, or leave these rows out by data.table.drop_missing_target: true in {PARAMS}."
            )
        raw = raw.filter(target.is_valid())
        target = raw[table.target]
    classes: list[str] = []
    if table.task == "classification":
        target, classes = _index_classes(target, params)
    elif len(raw) == 0:
        raise DataError(f"{params.source} has no row with a value in {table.target}, the target.")
    features: dict[str, Type] = {
        name: role
        for name, role in table.columns.items()
        if role != "id" and role != "left out" and name != table.target  # noqa: PLR1714 - mypy narrows only this
    }
    roles = Roles(features=features, classes=classes, params=params)
    columns = {ID: raw[roles.id] if roles.id else pa.array(np.arange(len(raw)))}
    columns |= {name: raw[name] for name in features} | {TARGET: target}
    return Table(pa.table(columns), roles)


def own_form(table: TableParams) -> Form:
    """Return how one's own text table is written."""
    return Form(table.separator, table.header, tuple(table.missing))


def sort_classes(values: list[str]) -> list[str]:
    """Return class names in their order: by number where all are whole numbers, else by text."""
    try:
        return sorted(values, key=int)
    except ValueError:
        return sorted(values)


def split_rows(table: Table) -> Table:
    """Return the table with its seeded `split` column; `data.test_size` of the rows are "test".

    Raises DataError when the split is impossible, as with a class of one row and `stratify`.
    """
    params, y = table.roles.params, table.y
    if params.stratify and not table.roles.classes:
        raise DataError(
            f"{PARAMS}: data.stratify is true, but the target of {params.source} is a number, which has no "
            "classes to keep in proportion; allowed: false."
        )
    try:
        test = _draw_test_rows(params, y)
    except ValueError as error:
        raise DataError(
            f"{PARAMS}: data.test_size {params.test_size} cannot split {params.source} ({len(y)} rows): "
            f"{str(error).rstrip('.')}; choose another data.test_size, or data.stratify false."
        ) from error
    is_test = np.zeros(len(y), dtype=bool)
    is_test[test] = True
    return replace(table, columns=table.columns.append_column(SPLIT, pc.if_else(is_test, "test", "train")))


def _draw_test_rows(params: DataParams, y: np.ndarray) -> np.ndarray:
    """Return the places of the rows that scikit-learn's train_test_split puts into its test split."""
    if params.stratify:
        from sklearn.model_selection import train_test_split  # noqa: PLC0415 - takes a second to import

        _, test = train_test_split(np.arange(len(y)), test_size=params.test_size, random_state=params.seed, stratify=y)
        return np.asarray(test)
    rows = math.ceil(len(y) * params.test_size)
    if rows >= len(y):
        raise ValueError(f"{rows} of {len(y)} rows would be for testing, and none for training")
    return np.random.RandomState(params.seed).permutation(len(y))[:rows]  # as its ShuffleSplit draws


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
    held = set(columns.column_names)
    missing = [name for name in (ID, *roles.features, TARGET, SPLIT) if name not in held]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: {remedy}")
    return Table(columns.replace_schema_metadata(None), roles)


def _read_own(path: Path, table: TableParams) -> pa.Table:
    """Return the columns that have a role, the target in the type of its task."""
    names = read_names(path, own_form(table))
    missing_columns([*table.columns, table.target], names, path)
    unknown = [name for name in names if name not in table.columns and name != table.target]
    if unknown:
        raise DataError(
            f"{path} has the column {', '.join(unknown)}, of which {PARAMS} says nothing: give it a role under "
            "data.table.columns, such as left out."
        )
    roles = {name: role for name, role in table.columns.items() if role != "left out" and name != table.target}
    taken = [name for name in roles if name in RESERVED and roles[name] != "id"]
    if taken:
        raise DataError(f"{path}: the name {taken[0]} is this pipeline's own: rename the column, or leave it out.")
    roles[table.target] = "category" if table.task == "classification" else "number"
    return read_columns(path, own_form(table), roles)


def _index_classes(target: pa.ChunkedArray, params: DataParams) -> tuple[pa.Array, list[str]]:
    """Return the target as class indices, and the classes' names in their order."""
    encoded = target.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    where = f"{params.source}: {params.table.target if params.table else TARGET}, the target,"
    if len(names) < 2:
        found = f"only the class {names[0]}" if names else "no value at all"
        raise DataError(f"{where} holds {found}: a classifier needs rows of two classes or more.")
    if len(encoded) < len(names) * 2:
        raise DataError(
            f"{where} holds {len(names)} classes in {len(encoded)} rows, fewer than two rows a class: choose another "
            "target, or data.table.task: regression."
        )
    classes = sort_classes(names)
    place = {name: index for index, name in enumerate(classes)}
    order = np.array([place[name] for name in names])
    return pa.array(order[encoded.indices.to_numpy()]), classes
