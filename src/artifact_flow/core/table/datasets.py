"""Datasets: a built-in data set or the user's file becomes a table without a split."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from artifact_flow.core.base.errors import DataError, closest
from artifact_flow.core.base.params import PARAMS, DataParams, SplitParams, TableParams, Type
from artifact_flow.core.table import builtin
from artifact_flow.core.table.columns import missing_columns
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.source import read_names
from artifact_flow.core.table.splits import read_key
from artifact_flow.core.table.tables import ID, KEY, RESERVED, TARGET, Roles, Table, stored_name
from artifact_flow.core.table.typed_rows import read_columns


def load_source(params: DataParams, watch: builtin.Watch = builtin.unwatched) -> Table:
    """Return the source named by `data.source` as a table without a split; `watch` surrounds a download.

    Raises DataError when it is neither a built-in set nor a file that can be read as `data.table` declares.
    """
    if params.source in builtin.NAMES:
        return load_builtin(params, watch)
    if params.table or Path(params.source).suffix:
        return load_own(params)
    raise DataError(
        f"{PARAMS}: data.source is {params.source!r}{closest(params.source, builtin.NAMES)}; "
        f"allowed: {', '.join(builtin.NAMES)}, or the path of a CSV or Parquet file."
    )


def load_builtin(params: DataParams, watch: builtin.Watch = builtin.unwatched) -> Table:
    """Return a built-in set as a table without a split: float64 features, ids from 0, plain column names."""
    arrays = builtin.load_arrays(params.source, watch=watch)
    columns = {
        ID: np.arange(len(arrays.y)),
        **{name: np.ascontiguousarray(arrays.X[:, i]) for i, name in enumerate(arrays.features)},
        TARGET: arrays.y,
    }
    if params.split:
        missing_columns([params.split.column], arrays.features, f"{PARAMS}: data.split: {params.source}")
        columns[KEY] = read_key(pa.chunked_array([columns[params.split.column]]), params.split, params.source)
    features: dict[str, Type] = dict.fromkeys(arrays.features, "number")
    return Table(pa.table(columns), Roles(features=features, classes=arrays.classes, params=params))


def load_own(params: DataParams) -> Table:
    """Return the user's file as a table without a split, its columns typed as `data.table.columns` declares.

    Ids are the values of the column with the role id, else the row numbers from 0. Raises DataError naming what is
    wrong in the file and where.
    """
    table = params.table
    if table is None:
        raise DataError(
            f"{PARAMS}: data.source is {params.source}, but data.table does not say what its columns are: "
            f"`artifact-flow init --data {params.source} --target COLUMN` writes it."
        )
    raw = _read_own(Path(params.source), table, params.split)
    target = raw[table.target]
    if target.null_count:
        if not table.drop_missing_target:
            raise DataError(
                f"{params.source}: {target.null_count} of {len(raw)} rows have no value in {table.target}, the target: "
                f"fill them, or leave these rows out with data.table.drop_missing_target: true in {PARAMS}."
            )
        raw = raw.filter(target.is_valid())
        target = raw[table.target]
    classes: list[str] = []
    if table.task == "classification":
        target, classes = _index_classes(target, params)
    elif len(raw) == 0:
        raise DataError(f"{params.source} has no row with a value in {table.target}, the target.")
    features: dict[str, Type] = {
        name: "date" if role == "day-first date" or role == "month-first date" else role  # noqa: PLR1714
        for name, role in table.columns.items()
        if role != "id" and role != "left out" and name != table.target  # noqa: PLR1714 - mypy narrows only this
    }
    roles = Roles(features=features, classes=classes, params=params)
    columns = {ID: raw[roles.id] if roles.id else pa.array(np.arange(len(raw)))}
    columns |= {stored_name(name): raw[name] for name in features} | {TARGET: target}
    if params.split:
        columns[KEY] = read_key(raw[params.split.column], params.split, params.source)
    return Table(pa.table(columns), roles)


def sort_classes(values: list[str]) -> list[str]:
    """Return class names sorted as numbers if all are whole numbers, else as text."""
    try:
        return sorted(values, key=int)
    except ValueError:
        return sorted(values)


def _read_own(path: Path, table: TableParams, split: SplitParams | None) -> pa.Table:
    """Return the columns that have a role, with the target typed for its task, and the one by which rows are split."""
    names = read_names(path, Form.of(table))
    missing_columns([*table.columns, table.target, *(table.numbers or ())], names, path)
    unknown = [name for name in names if name not in table.columns and name != table.target]
    if unknown:
        raise DataError(
            f"{path} has the column {', '.join(unknown)}, which {PARAMS} does not list: give it a role under "
            "data.table.columns, such as left out."
        )
    roles = {name: role for name, role in table.columns.items() if role != "left out" and name != table.target}
    stored = {stored_name(name) for name in roles if name in RESERVED}
    taken = [name for name in roles if name in stored]
    if taken:
        raise DataError(f"{path}: the column name {taken[0]} is reserved: rename the column, or leave it out.")
    if split:
        if split.column == table.target:
            raise DataError(f"{PARAMS}: data.split.column is {split.column}, the target: split by another column.")
        missing_columns([split.column], names, f"{PARAMS}: data.split: {path}")
        roles.setdefault(split.column, "category")  # its texts, where it is left out
    roles[table.target] = "category" if table.task == "classification" else "number"
    return read_columns(path, Form.of(table), roles)


def _index_classes(target: pa.ChunkedArray, params: DataParams) -> tuple[pa.Array, list[str]]:
    """Return the target as class indices, and the class names in index order."""
    encoded = target.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    where = f"{params.source}: {params.table.target if params.table else TARGET}, the target,"
    if len(names) < 2:
        found = f"only the class {names[0]}" if names else "no value at all"
        raise DataError(f"{where} holds {found}: a classifier needs rows of two classes or more.")
    if len(encoded) < len(names) * 2:
        raise DataError(
            f"{where} holds {len(names)} classes in {len(encoded)} rows, fewer than two rows per class: choose another "
            "target, or data.table.task: regression."
        )
    classes = sort_classes(names)
    place = {name: index for index, name in enumerate(classes)}
    order = np.array([place[name] for name in names])
    return pa.array(order[encoded.indices.to_numpy()]), classes
