"""Predict: any rows → checked against the contract, encoded, predicted, written, in constant memory and in order.

Rows go the way they went in training: `readers` types them, `encoding` makes the matrix. What the contract forbids is
refused with its row; what it only has not seen (a number out of range, a new category) is predicted and reported.
"""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifact_flow.artifacts import MODEL, open_model, open_portable
from artifact_flow.columns import missing_columns, to_column
from artifact_flow.contract import CONTRACT, Contract, read_contract
from artifact_flow.encoding import Findings, encode_rows
from artifact_flow.errors import DataError
from artifact_flow.lock import nearest_lock
from artifact_flow.params import Role, TableParams
from artifact_flow.predictions import Predictions, predict_rows, run_portable
from artifact_flow.readers import Form, Source, open_raw, open_table, parquet_names, stream_columns
from artifact_flow.tables import ID, SPLIT, TARGET
from artifact_flow.writers import STREAM, open_writer

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
    model; `allowed` are the sha256 sums of the ONNX files that may be opened, any where it is empty. Raises
    ArtifactFlowError naming what is wrong, and where.
    """
    opened, report = open_pair(model, allowed), Report()
    with open_writer(out) as write:
        for path in inputs:
            with _opened(path, opened.contract, report) as source:
                for batch in predict_batches(source, opened, report):
                    write(batch)
    return report


def open_pair(model: Path, allowed: Collection[str] = ()) -> Model:
    """Return a model file, opened after its checks, with the contract beside it."""
    folder = model.parent
    lock = nearest_lock(folder)
    contract = read_contract(folder / CONTRACT, lock)
    if model.suffix == MODEL.suffix:
        estimator = open_model(contract, model)
        return Model(contract, lambda X: predict_rows(estimator, X, contract.target.classes), np.float64)
    session = open_portable(model, folder / CONTRACT, lock, allowed).session
    return Model(contract, lambda X: run_portable(session, contract.features, X), np.float32)


def predict_batches(source: Source, model: Model, report: Report) -> Iterator[pa.Table]:
    """Yield id, prediction and, where the model gives one, its probability, for each batch of an opened input."""
    contract = model.contract
    roles: dict[str, Role] = {feature.name: feature.type for feature in contract.features}
    identifier = next((name for name in (contract.id, ID) if name in source.names and name not in roles), None)
    if identifier:
        roles[identifier] = "id"
    names = np.array(contract.target.classes, dtype=object)
    row = source.first_row
    for batch in stream_columns(source, roles):
        columns = {feature.name: to_column(batch[feature.name]) for feature in contract.features}
        X, findings = encode_rows(contract.features, columns, model.dtype)
        _refuse_gaps(X, contract, source, row)
        predictions = model.predict(X)
        report.findings.add(findings)
        ids = batch[identifier] if identifier else pa.array(np.arange(report.rows, report.rows + len(X)))
        report.rows += len(X)
        row += len(X)
        table = {ID: ids, PREDICTION: pa.array(predictions.values)}
        if len(names):
            table[PREDICTION] = pa.DictionaryArray.from_arrays(predictions.values, names).cast(pa.string())
        if predictions.probabilities is not None:
            table[PROBABILITY] = pa.array(predictions.probabilities[np.arange(len(X)), predictions.values])
        yield pa.table(table)


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


def _refuse_gaps(X: np.ndarray, contract: Contract, source: Source, row: int) -> None:
    """Raise DataError when a value is missing that nothing fills: no imputer, and none was missing in training.

    `row` is the number of the first row of X.
    """
    if not np.isnan(X.sum()):
        return
    for number, feature in enumerate(contract.features):
        gaps = np.flatnonzero(np.isnan(X[:, number]))
        if len(gaps) and not contract.may_miss(feature):
            raise DataError(
                f"{source.name}, row {row + int(gaps[0])}: {feature.name} is missing, and this model was "
                "trained without gaps: fill it, or train with data.preprocess: auto."
            )


@contextmanager
def _opened(path: Path, contract: Contract, report: Report) -> Iterator[Source]:
    """Open an input and check its columns against the contract."""
    features = [feature.name for feature in contract.features]
    table = _own_table(contract)
    form = Form.of(table) if table else Form()
    expected = list(table.columns) if table and not form.header else features
    hashing = _Hashing(sys.stdin.buffer if path == STREAM else open_raw(path))
    name = Path("standard input") if path == STREAM else path
    with hashing.file:
        source = open_table(name, hashing, form, expected)  # type: ignore[arg-type]
        if source.format == "Parquet":
            with _seekable(path, source.file) as file:
                source = replace(source, file=file, names=parquet_names(file, name))
                _check_columns(source, features, contract, report)
                yield source
        else:
            _check_columns(source, features, contract, report)
            yield source
        while hashing.read(1 << 20):  # what the reader had no need of
            pass
        report.sha256[str(name)] = hashing.digest.hexdigest()


def _check_columns(source: Source, features: Sequence[str], contract: Contract, report: Report) -> None:
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
def _seekable(path: Path, stream: IO[bytes]) -> Iterator[Any]:
    """Yield a Parquet input as what can be read from its end; a pipe goes through a temporary file."""
    if path != STREAM and path.is_file():
        yield str(path)
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file)
        file.seek(0)
        yield pa.PythonFile(file, mode="r")


class _Hashing:
    """A stream that hashes what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        block = self.file.read(size)
        self.digest.update(block)
        return block
