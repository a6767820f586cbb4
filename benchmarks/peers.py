"""Peers: the scripts that a user would write without this project, run in their own virtual environment.

They use the same model on one thread, read the same rows and write the same columns. They import nothing from the
project or the benchmarks, which are not installed there.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 1 << 17


def predict_by_pandas(table: str, model: str, out: str) -> None:
    """Read a whole Parquet file, predict it, and write Parquet or CSV, depending on the name of `out`."""
    import pandas as pd  # noqa: PLC0415 - only installed in this venv, only needed by this peer

    X = np.ascontiguousarray(pd.read_parquet(table).to_numpy(np.float32))
    frame = pd.DataFrame({"id": np.arange(len(X)), "prediction": open_model(model)(X)})
    if out.endswith(".csv"):
        frame.to_csv(out, index=False)
    else:
        frame.to_parquet(out, index=False)


def predict_by_arrow(table: str, model: str, out: str, contract: str) -> None:
    """Hash a Parquet file, then read, range-check, predict and write it in batches."""
    with Path(table).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    features = json.loads(Path(contract).read_bytes())["features"]
    outside = dict.fromkeys((feature["name"] for feature in features), 0)
    predict, rows = open_model(model), 0
    schema = pa.schema({"id": pa.int64(), "prediction": pa.float32()})
    with pq.ParquetWriter(out, schema, compression="zstd", use_dictionary=False) as writer:
        for batch in pq.ParquetFile(table).iter_batches(BATCH_ROWS, use_threads=False):
            X = np.empty((len(batch), len(features)), np.float32)
            for number, feature in enumerate(features):
                column, low, high = batch[feature["name"]].to_numpy(), feature["min"], feature["max"]
                if column.min() < low or column.max() > high:
                    outside[feature["name"]] += int(np.count_nonzero((column < low) | (column > high)))
                X[:, number] = column
            ids = pa.array(np.arange(rows, rows + len(batch)))
            writer.write_batch(pa.record_batch([ids, pa.array(predict(X))], schema=schema))
            rows += len(batch)
    print(digest, rows, outside)


def predict_by_polars(table: str, model: str, out: str) -> None:
    """Scan a Parquet file, predict it with `map_batches` and write it with `sink_parquet`, as a stream."""
    import polars as pl  # noqa: PLC0415 - only installed in this venv, only needed by this peer

    predict, scanned = open_model(model), pl.scan_parquet(table)

    def predict_batch(rows: pl.Series) -> pl.Series:
        return pl.Series(predict(np.ascontiguousarray(rows.struct.unnest().to_numpy(), np.float32)))

    features = pl.struct(scanned.collect_schema().names())
    predicted = features.map_batches(predict_batch, return_dtype=pl.Float32, is_elementwise=True)
    scanned.select(predicted.alias("prediction")).with_row_index("id").sink_parquet(out)


def predict_by_dask(table: str, model: str, out: str) -> None:
    """Read Parquet as a Dask data frame, predict it with `map_partitions`, and write a folder of Parquet files."""
    import dask.dataframe as dd  # noqa: PLC0415 - only installed in this venv, only needed by this peer

    frame = dd.read_parquet(table, split_row_groups=True)
    frame.map_partitions(predict_part, model, meta={"prediction": "f4"}).to_parquet(out, overwrite=True)


def predict_part(part: Any, model: str) -> Any:
    """Return the predictions of a data frame's rows as a data frame."""
    import pandas as pd  # noqa: PLC0415 - only installed in this venv, only needed by this peer

    X = np.ascontiguousarray(part.to_numpy(np.float32))
    return pd.DataFrame({"prediction": open_model(model)(X)}, part.index)


def convert_by_arrow(table: str, out: str) -> None:
    """Read a CSV with the types that Arrow infers and write it as Parquet with the default options."""
    from pyarrow import csv  # noqa: PLC0415 - only needed by this peer

    pq.write_table(csv.read_csv(table), out)


@cache
def open_model(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a float32 matrix to the predictions of an ONNX regressor on one thread."""
    import onnxruntime  # noqa: PLC0415 - not needed for converting

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (matrix,) = session.get_inputs()

    def predict(X: np.ndarray) -> np.ndarray:
        values: np.ndarray = session.run(None, {matrix.name: X})[0]
        return values[:, 0]

    return predict


if __name__ == "__main__":
    PEERS: dict[str, Callable[..., Any]] = {
        "pandas": predict_by_pandas,
        "arrow": predict_by_arrow,
        "polars": predict_by_polars,
        "dask": predict_by_dask,
        "convert": convert_by_arrow,
    }
    PEERS[sys.argv[1]](*sys.argv[2:])
