"""Files: input rows are checked against the contract, encoded, predicted and written, in order and in constant memory.

Rows are processed as in training: `typed_rows` types them, and `encoding` builds the matrix. A row that violates the
contract is an error that names the row; a value not seen in training (a number out of range, a new category) is
predicted and reported.
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
from artifact_flow.core.base.params import Role
from artifact_flow.core.model.artifacts import MODEL, open_portable, open_vouched
from artifact_flow.core.model.predictions import Predictions, predict_rows, run_portable
from artifact_flow.core.table.columns import missing_columns, to_column
from artifact_flow.core.table.form import Form, Name
from artifact_flow.core.table.source import Source, open_raw, open_table, parquet_names
from artifact_flow.core.table.tables import ID, SPLIT, TARGET
from artifact_flow.core.table.typed_rows import stream_columns
from artifact_flow.core.table.writers import STREAM, open_writer

PREDICTION, PROBABILITY = "prediction", "probability"


@dataclass(frozen=True)
class Predictor:
    """An opened model: its contract, and a function of encoded rows of `dtype`, of shape [rows, features]."""

    contract: Contract
    predict: Callable[[np.ndarray], Predictions]
    dtype: type[np.floating]


@dataclass
class Report:
    """Summary of a run: the number of rows, the inputs (name → sha256 of the bytes), and unusual values in them."""

    rows: int = 0
    sha256: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)  # input → columns that the model does not use
    findings: Findings = field(default_factory=Findings)


def predict_files(inputs: Sequence[Path], model: Path, out: Path, allowed: Collection[str] = ()) -> Report:
    """Predict every row of the inputs (`STREAM` is standard input) into `out` (`STREAM` is standard output).

    `out` is Parquet or JSON lines by its extension, else CSV, and is written completely or not at all. `contract.json`
    is in the model's folder. `allowed` are the sha256 sums of the files that may be opened; if it is empty, these are
    any ONNX file and each pickle that a dvc.lock names. Raises ArtifactFlowError naming the problem and its place.
    """
    opened, report = open_pair(model, allowed), Report()
    with open_writer(out) as write:
        for path in inputs:
            with _opened(path, opened.contract, report) as source:
                for batch in predict_batches(source, opened, report):
                    write(batch)
    return report


def open_pair(model: Path, allowed: Collection[str] = ()) -> Predictor:
    """Check and open a model file and the contract in its folder.

    Opening a pickle runs code, so a dvc.lock in its folder or above must name it, or `allowed` must contain its sha256.
    """
    folder = model.parent
    lock = nearest_lock(folder)
    contract = read_contract(folder / CONTRACT, lock)
    if model.suffix == MODEL.suffix:
        estimator = open_vouched(contract, model, lock, allowed)
        return Predictor(contract, lambda X: predict_rows(estimator, X, contract.target.classes), np.float64)
    session = open_portable(model, folder / CONTRACT, lock, allowed).session
    return Predictor(contract, lambda X: run_portable(session, contract.features, X), np.float32)


def predict_batches(source: Source, model: Predictor, report: Report) -> Iterator[pa.Table]:
    """Yield id, prediction and, if the model gives one, its probability, for each batch of an opened input."""
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


def predict_batch(batch: pa.Table, ids: pa.ChunkedArray | pa.Array, model: Predictor, findings: Findings) -> pa.Table:
    """Return id, prediction and, if the model gives one, its probability, for typed rows that fit the contract.

    Unusual values are added to `findings`.
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
    """Return the roles of the columns to read, and the name of the id column, or None if there is none."""
    roles: dict[str, Role] = {feature.name: contract.role_of(feature) for feature in contract.features}
    identifier = next((name for name in (contract.id, ID) if name in names and name not in roles), None)
    return roles | ({identifier: "id"} if identifier else {}), identifier


def find_gaps(batch: pa.Table, feature: Feature, contract: Contract) -> pa.ChunkedArray | None:
    """Return for each typed row whether a value is missing that is not imputed; None if no such value is missing.

    Values are not imputed if none was missing in training; a missing category counts as a category.
    """
    column = batch[feature.name]
    if not column.null_count or feature.type == "category" or contract.may_miss(feature):
        return None
    return column.is_null()


def gap_reason(feature: Feature) -> str:
    """Return the error message for a row in which the feature is missing."""
    return (
        f"{feature.name} is missing, and this model was trained without missing values: fill it, or train with "
        "data.preprocess: auto."
    )


def predict_table(rows: pa.Table, model: Predictor) -> pa.Table:
    """Return what `predict_batches` yields, as one table, for rows in memory; unused columns are ignored.

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
        while hashing.read(1 << 20):  # hash also what the reader did not need
            pass
        report.sha256[str(name)] = hashing.digest.hexdigest()


def open_rows(name: Name, stream: IO[bytes], contract: Contract) -> Source:
    """Open a stream as a table in the format of the model's training data; raise DataError when it is not a table."""
    table = contract.table
    form = Form.of(table) if table else Form()
    features = [feature.name for feature in contract.features]
    source = open_table(name, stream, form, features)
    if table is None or form.header or source.format != "CSV":
        return source
    width, whole = len(source.names), len({*table.columns, table.target})
    if width == len(features):
        return replace(source, names=features)
    if width != whole:
        raise DataError(
            f"{name} has no header and {width} columns: give it all {whole} columns of the training file, in their "
            f"order, or only the {len(features)} that the model uses."
        )
    return source


def note_ignored(source: Source, contract: Contract, report: Report) -> None:
    """Add to the report the columns that the model does not use.

    Raises DataError when a column that it needs is missing or occurs twice.
    """
    features = [feature.name for feature in contract.features]
    missing_columns(features, source.names, source.name)
    table = contract.table
    known = {*features, contract.id, contract.target.name, ID, TARGET, SPLIT, *(table.columns if table else ())}
    for name, given in source.renamed.items():
        if given in features and name not in known:
            raise DataError(f"{source.name} has several columns named {given}: give each column a different name.")
    ignored = [name for name in source.names if name not in known]
    if ignored:
        report.ignored[str(source.name)] = ignored


@contextmanager
def _seekable(path: Path, source: Source) -> Iterator[Source]:
    """Yield an input; Parquet must be seekable, so a pipe is copied to a temporary file."""
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
    """A stream that hashes the bytes read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        block = self.file.read(size)
        self.digest.update(block)
        return block
