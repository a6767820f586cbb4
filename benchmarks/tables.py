"""Tables: the two tables for the benchmarks, made from a seed. A script, so that its memory is freed when it ends.

`tables.py houses OUT FLOW MILLIONS` writes Parquet or CSV, depending on the name of OUT, from the rows and the contract
of the flow california_housing in the folder FLOW. `tables.py mixed OUT` writes CSV.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

MILLION = 1_000_000  # rows written at a time: 8 float64 columns, 64 MB that hardly compress
OUTSIDE = 1  # of them outside the training range, for each column
MIXED = 1_000_000  # rows that make 100 MB of CSV


def write_houses(out: Path, flow: Path, millions: int) -> None:
    """Write rows sampled from real houses, each value changed by about 1 %, almost all within the training range."""
    rng = np.random.default_rng(0)
    table = pq.read_table(flow / "data.parquet")
    features = json.loads((flow / "contract.json").read_bytes())["features"]
    schema = pa.schema({feature["name"]: pa.float64() for feature in features})
    with (csv.CSVWriter if ".csv" in out.suffixes else pq.ParquetWriter)(out, schema) as writer:
        for _ in range(millions):
            drawn = rng.integers(0, len(table), MILLION)
            columns = {}
            for feature in features:
                values = table[feature["name"]].to_numpy()[drawn]
                values *= 1 + 0.01 * rng.standard_normal(MILLION)
                np.clip(values, feature["min"], feature["max"], out=values)
                values[rng.integers(0, MILLION, OUTSIDE)] = feature["max"] + feature["std"]
                columns[feature["name"]] = values
            writer.write_table(pa.table(columns))


def write_mixed(out: Path) -> None:
    """Write numbers, categories, a date and a boolean, some with missing values, and a numeric target."""
    rng = np.random.default_rng(0)
    cities = np.array(["Arnhem", "Basel", "Córdoba", "Den Haag", "Espoo", "Faro", "Graz", "Hull", "Izmir", "Jena"])
    plans = np.array(["basic", "family", "premium", "business"])
    days = np.datetime64("2020-01-01") + rng.integers(0, 2000, MIXED)
    columns = {
        "amount": rng.lognormal(4, 1, MIXED).round(2),
        "distance": rng.normal(0, 100, MIXED),
        "score": rng.random(MIXED).round(4),
        "visits": rng.integers(0, 1000, MIXED),
        "age": rng.integers(18, 95, MIXED),
        "temperature": rng.normal(12, 8, MIXED).round(1),
        "city": cities[rng.integers(0, len(cities), MIXED)],
        "plan": plans[rng.integers(0, len(plans), MIXED)],
        "segment": np.char.add("segment ", rng.integers(0, 100, MIXED).astype(str)),
        "since": days,
        "member": rng.random(MIXED) < 0.5,
    }
    target = columns["amount"] / 10 + columns["visits"] + rng.normal(0, 10, MIXED)
    gaps = {"amount": 0.05, "temperature": 0.2, "city": 0.02, "segment": 0.1}
    arrays = {name: pa.array(v, mask=rng.random(MIXED) < gaps.get(name, 0.0)) for name, v in columns.items()}
    csv.write_csv(
        pa.table(arrays | {"spent": pa.array(target)}),
        out,
        csv.WriteOptions(quoting_style="none", quoting_header="none"),
    )


if __name__ == "__main__":
    if sys.argv[1] == "houses":
        write_houses(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        write_mixed(Path(sys.argv[2]))
