"""Stage infer: the checked model predicts every row of data.parquet: predictions.csv, metrics.json, a report."""

import json
from pathlib import Path

from pyarrow import csv

from artifact_flow.artifacts import open_model
from artifact_flow.contract import check_data, read_contract
from artifact_flow.datasets import read_table
from artifact_flow.determinism import reproducible
from artifact_flow.errors import told_in_one_sentence
from artifact_flow.files import replace_files
from artifact_flow.params import load_params
from artifact_flow.scoring import predict_rows, report_classes, score_splits, tabulate_predictions

PREDICTIONS, METRICS = Path("predictions.csv"), Path("metrics.json")


def main() -> None:
    """Write predictions.csv and metrics.json, both or none, and print the report."""
    params = load_params().infer
    contract = read_contract()
    table = read_table()
    check_data(contract)
    estimator = open_model(contract)
    with reproducible(threads=1):
        predictions = predict_rows(estimator, table)
    scores = score_splits(table, predictions)
    with replace_files(PREDICTIONS, METRICS) as (rows, metrics):
        # pyarrow's "needed" quotes every text; "none" refuses text that needs quotes
        quoting = "needed" if any(set(name) & set('",\r\n') for name in table.roles.classes) else "none"
        options = csv.WriteOptions(quoting_style=quoting, quoting_header="none")
        csv.write_csv(tabulate_predictions(table, predictions, params.decimals), rows, options)
        metrics.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    if table.roles.classes:
        print(report_classes(table, predictions))
    for split, values in scores.items():
        print(f"{split}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))


if __name__ == "__main__":
    with told_in_one_sentence():
        main()
