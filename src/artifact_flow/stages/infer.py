"""Stage infer: the checked model predicts every row of data.parquet: predictions, metrics, plots, a report."""

import json
from pathlib import Path

from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.figures import show_figure
from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.params import Params
from artifact_flow.core.model.handover import receive
from artifact_flow.core.model.predictions import METRICS, PREDICTIONS, predict_rows
from artifact_flow.core.model.scoring import (
    count_confusion,
    is_suspicious,
    report_classes,
    sample_predicted_actual,
    score_splits,
    tabulate_predictions,
)
from artifact_flow.core.table.writers import write_csv

CONFUSION, PREDICTED_ACTUAL = Path("plots/confusion.csv"), Path("plots/predicted_actual.csv")


def main(params: Params, folder: Path) -> None:
    """Write predictions.csv, metrics.json and the plots' data, all or none, and print the report."""
    given = receive(folder, params)
    table = given.table
    with reproducible(threads=1):
        predictions = predict_rows(given.estimator, given.X, table.roles.classes)
    scores = score_splits(table, predictions)
    outputs = (folder / path for path in (PREDICTIONS, METRICS, CONFUSION, PREDICTED_ACTUAL))
    with replace_files(*outputs) as (rows, metrics, confusion, actual):
        write_csv(tabulate_predictions(table, predictions, params.infer.decimals), rows)
        metrics.write_text(json.dumps(scores, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        write_csv(count_confusion(table, predictions), confusion)
        write_csv(sample_predicted_actual(table, predictions, params.infer.decimals), actual)
    if table.roles.classes:
        print(report_classes(table, predictions))
    for split, values in scores.items():
        print(f"{split}: " + ", ".join(f"{name} {show_figure(value)}" for name, value in values.items()))
    if params.data.table and is_suspicious(scores):
        print(f"suspicious: no error in the test split: look for a column that leaks {table.roles.target}, the target")
