"""Stage infer: the checked model predicts every row of data.parquet: predictions, metrics, plots, a report."""

import json
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from artifact_flow.artifacts import open_model
from artifact_flow.contract import check_data, read_contract
from artifact_flow.datasets import read_table
from artifact_flow.determinism import reproducible
from artifact_flow.errors import told_in_one_sentence
from artifact_flow.files import replace_files
from artifact_flow.params import load_params
from artifact_flow.scoring import (
    count_confusion,
    predict_rows,
    report_classes,
    sample_predicted_actual,
    score_splits,
    tabulate_predictions,
)

PREDICTIONS, METRICS = Path("predictions.csv"), Path("metrics.json")
CONFUSION, PREDICTED_ACTUAL = Path("plots/confusion.csv"), Path("plots/predicted_actual.csv")


def main() -> None:
    """Write predictions.csv, metrics.json and the plots' data, all or none, and print the report."""
    params = load_params().infer
    contract = read_contract()
    check_data(contract)
    table = read_table()
    estimator = open_model(contract)
    with reproducible(threads=1):
        predictions = predict_rows(estimator, table)
    scores = score_splits(table, predictions)
    with replace_files(PREDICTIONS, METRICS, CONFUSION, PREDICTED_ACTUAL) as (rows, metrics, confusion, actual):
        _write_csv(tabulate_predictions(table, predictions, params.decimals), rows)
        metrics.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        _write_csv(count_confusion(table, predictions), confusion)
        _write_csv(sample_predicted_actual(table, predictions, params.decimals), actual)
    if table.roles.classes:
        print(report_classes(table, predictions))
    for split, values in scores.items():
        print(f"{split}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))


def _write_csv(rows: pa.Table, path: Path) -> None:
    # pyarrow's "needed" quotes every text, "none" refuses text that needs quotes
    texts = [column.unique() for column in rows.columns if pa.types.is_string(column.type)]
    special = any(set(str(text)) & set('",\r\n') for column in texts for text in column)
    csv.write_csv(rows, path, csv.WriteOptions(quoting_style="needed" if special else "none", quoting_header="none"))


if __name__ == "__main__":
    with told_in_one_sentence():
        main()
