"""Predict: any rows → checked against the contract, encoded, predicted, written, in constant memory and in order.

Rows go the way they went in training: `typed_rows` types them, `encoding` makes the matrix. What the contract forbids
is refused with its row; what it only has not seen (a number out of range, a new category) is predicted and reported.
"""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifact_flow.core.base.contract import CONTRACT, Contract, Feature, read_contract
from artifact_flow.core.base.encoding import Findings, encode_rows
from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.lock import nearest_lock
from artifact_flow.core.base.params import Role, TableParams
from artifact_flow.core.model.artifacts import MODEL, open_portable, open_vouched
from artifact_flow.core.model.predictions import Predictions, predict_rows, run_portable
from artifact_flow.core.table.columns import Name, missing_columns, to_column
from artifact_flow.core.table.source import Form, Source, open_raw, open_table, parquet_names
from artifact_flow.core.table.tables import ID, SPLIT, TARGET
from artifact_flow.core.table.typed_rows import stream_columns
from artifact_flow.core.table.writers import STREAM, open_writer

PREDICTION, PROBABILITY = "prediction", "probability"


@dataclass(frozen=True)
class Model:
    """An opened model: its contract, and what it says of encoded rows of `dtype`, of shape [rows, features]."""

    contract: Contract
    predict: Callable[[np.ndarray], Predictions]
    dtype: type[np.floating]


@dataclass
class Report:
    """What was predicted: how many rows, of which inputs (name → sha256 of its bytes), and what was found in them."""

    rows: int = 0
    sha256: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)  # input → columns that the model does not know
    findings: Findings = field(default_factory=Findings)


def predict_files(inputs: Sequence[Path], model: Path, out: Path, allowed: Collection[str] = ()) -> Report:
    """Predict every row of the inputs (`STREAM` is standard input) into `out` (`STREAM` is standard output).

    `out` is CSV, or Parquet or JSON lines by its name; it is there whole or not at all. `contract.json` lies beside the
    model; `allowed` are the sha256 sums of the files that may be opened; where it is empty, any ONNX file may be, and a
    pickle that a dvc.lock names. Raises ArtifactFlowError naming what is wrong, and where.
    """
    opened, report = open_pair(model, allowed), Report()
    with open_writer(out) as write:
        for path in inputs:
            with _opened(path, opened.contract, report) as source:
                for batch in predict_batches(source, opened, report):
                    write(batch)
    return report


def open_pair(model: Path, allowed: Collection[str] = ()) -> Model:
    """Return a model file, opened after its checks, with the contract beside it.

    A pickle must be one that a dvc.lock in its folder or above names, or one of `allowed`, as opening it runs code.
    """
    folder = model.parent
    lock = nearest_lock(folder)
    contract = read_contract(folder / CONTRACT, lock)
    if model.suffix == MODEL.suffix:
        estimator = open_vouched(contract, model, lock, allowed)
        return Model(contract, lambda X: predict_rows(estimator, X, contract.target.classes), np.float64)
    session = open_portable(model, folder / CONTRACT, lock, allowed).session
    return Model(contract, lambda X: run_portable(session, contract.features, X), np.float32)


def predict_batches(source: Source, model: Model, report: Report) -> Iterator[pa.Table]:
    """Yield id, prediction and, where the model gives one, its probability, for each batch of an opened input."""
    roles, identifier = input_roles(source.names, model.contract)
    row = source.first_row
    for batch in stream_columns(source, roles):
        for feature in model.contract.features:
            gaps = find_gaps(batch, feature, model.contract)
            if gaps is not None:
                raise DataError(f"{source.name}, row {row + pc.index(gaps, True).as_py()}: {gap_reason(feature)}")
        ids = batch[identifier] if identifier else pa.array(np.arange(report.rows, report.rows + len(batch)))
        yield predict_batch(batch, ids, model, report.findings)
        report.rows += len(batch)
        row += len(batch)


def predict_batch(batch: pa.Table, ids: pa.ChunkedArray | pa.Array, model: Model, findings: Findings) -> pa.Table:
    """Return id, prediction and, where the model gives one, its probability, for typed rows without forbidden gaps.

    What is unusual in them is added to `findings`.
    """
    contract = model.contract
    columns = {feature.name: to_column(batch[feature.name]) for feature in contract.features}
    X, found = encode_rows(contract.features, columns, model.dtype)
    predictions = model.predict(X)
    findings.add(found)
    names = np.array(contract.target.classes, dtype=object)
    table = {ID: ids, PREDICTION: pa.array(predictions.values)}
    if len(names):
        table[PREDICTION] = pa.DictionaryArray.from_arrays(predictions.values, names).cast(pa.string())
    if predictions.probabilities is not None:
        table[PROBABILITY] = pa.array(predictions.probabilities[np.arange(len(X)), predictions.values])
    return pa.table(table)


def input_roles(names: Sequence[str], contract: Contract) -> tuple[dict[str, Role], str | None]:
    """Return which of an input's columns are read, and as what, and the one that names a row, where there is one."""
    roles: dict[str, Role] = {feature.name: feature.type for feature in contract.features}
    identifier = next((name for name in (contract.id, ID) if name in names and name not in roles), None)
    return roles | ({identifier: "id"} if identifier else {}), identifier


def find_gaps(batch: pa.Table, feature: Feature, contract: Contract) -> pa.ChunkedArray | None:
    """Return for each typed row whether it lacks a value that nothing fills; None where no row does.

    Nothing fills it without an imputer, where none was missing in training; a missing category is a value of its own.
    """
    column = batch[feature.name]
    if not column.null_count or feature.type == "category" or contract.may_miss(feature):
        return None
    return column.is_null()


def gap_reason(feature: Feature) -> str:
    """Return what is wrong with a row that lacks a value."""
    return (
        f"{feature.name} is missing, and this model was trained without gaps: fill it, or train with "
        "data.preprocess: auto."
    )


def predict_table(rows: pa.Table, model: Model) -> pa.Table:
    """Return what `predict_batches` yields, as one table, for rows in memory; columns that the model lacks are ignored.

    Raises DataError when a column is missing or a value does not fit.
    """
    name, features = Path("the table"), [feature.name for feature in model.contract.features]
    missing_columns(features, rows.column_names, name)
    written = pa.BufferOutputStream()
    pq.write_table(rows.select(features), written)
    source = Source(name, pa.BufferReader(written.getvalue()), "Parquet", Form(), features)
    return pa.concat_tables(predict_batches(source, model, Report()))


@contextmanager
def _opened(path: Path, contract: Contract, report: Report) -> Iterator[Source]:
    """Open an input and check its columns against the contract."""
    hashing = _Hashing(sys.stdin.buffer if path == STREAM else open_raw(path))
    name = Path("standard input") if path == STREAM else path
    with hashing.file:
        source = open_rows(name, hashing, contract)  # type: ignore[arg-type]
        with _seekable(path, source) as seekable:
            note_ignored(seekable, contract, report)
            yield seekable
        while hashing.read(1 << 20):  # what the reader had no need of
            pass
        report.sha256[str(name)] = hashing.digest.hexdigest()


def open_rows(name: Name, stream: IO[bytes], contract: Contract) -> Source:
    """Return a stream as a table written as the model's own source was; raise DataError where it is none."""
    table = _own_table(contract)
    form = Form.of(table) if table else Form()
    features = [feature.name for feature in contract.features]
    return open_table(name, stream, form, list(table.columns) if table and not form.header else features)


def note_ignored(source: Source, contract: Contract, report: Report) -> None:
    """Note which of an input's columns the model does not know; raise DataError when one that it needs is missing."""
    features = [feature.name for feature in contract.features]
    missing_columns(features, source.names, source.name)
    table = _own_table(contract)
    known = {*features, contract.id, contract.target.name, ID, TARGET, SPLIT, *(table.columns if table else ())}
    ignored = [name for name in source.names if name not in known]
    if ignored:
        report.ignored[str(source.name)] = ignored


def _own_table(contract: Contract) -> TableParams | None:
    """Return how the model's own source was read, or None for a built-in set."""
    table = contract.params["data"].get("table")
    return TableParams.model_validate(table) if table else None


@contextmanager
def _seekable(path: Path, source: Source) -> Iterator[Source]:
    """Yield an input; Parquet as what can be read from its end: a pipe goes through a temporary file."""
    if source.format != "Parquet":
        yield source
    elif path != STREAM and path.is_file():
        yield replace(source, file=str(path), names=parquet_names(path, source.name))
    else:
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(source.file, file)
            file.seek(0)
            whole = pa.PythonFile(file, mode="r")
            yield replace(source, file=whole, names=parquet_names(whole, source.name))


class _Hashing:
    """A stream that hashes what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        block = self.file.read(size)
        self.digest.update(block)
        return block
