"""Stage infer: the checked model predicts every row of data.parquet: predictions, metrics, plots, a report."""

import json
import sys
from pathlib import Path

from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.figures import show_figure
from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.params import InferParams, Params
from artifact_flow.core.model.handover import Handover, receive
from artifact_flow.core.model.metrics import Scored, find_metrics, measure, score_folds
from artifact_flow.core.model.plots import tabulate_curves, tabulate_importance
from artifact_flow.core.model.predictions import METRICS, PREDICTIONS, Predictions, predict_rows
from artifact_flow.core.model.scoring import (
    count_confusion,
    is_suspicious,
    report_classes,
    sample_predicted_actual,
    tabulate_predictions,
)
from artifact_flow.core.table.writers import write_csv

CONFUSION, PREDICTED_ACTUAL = Path("plots/confusion.csv"), Path("plots/predicted_actual.csv")
CURVES, IMPORTANCE = Path("plots/curves.csv"), Path("plots/importance.csv")


def main(params: Params, folder: Path) -> None:
    """Write predictions.csv, metrics.json and the plots' data, all or none, and print the report."""
    given = receive(folder, params)
    table = given.table
    with reproducible(threads=1):
        predictions = predict_rows(given.estimator, given.X, table.roles.classes)
    scores = score(params.infer, given, predictions)
    ranked = tabulate_importance(given.estimator, given.X, table, params.infer.importance)
    outputs = (folder / path for path in (PREDICTIONS, METRICS, CONFUSION, PREDICTED_ACTUAL, CURVES, IMPORTANCE))
    with replace_files(*outputs) as (rows, metrics, confusion, actual, curves, importance):
        write_csv(tabulate_predictions(table, predictions, params.infer.decimals), rows)
        metrics.write_text(json.dumps(scores, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        write_csv(count_confusion(table, predictions), confusion)
        write_csv(sample_predicted_actual(table, predictions, params.infer.decimals), actual)
        write_csv(tabulate_curves(table, predictions, params.infer.decimals), curves)
        write_csv(ranked, importance)
    if table.roles.classes:
        print(report_classes(table, predictions))
    for split, values in scores.items():
        print(f"{split}: " + ", ".join(f"{name} {show_figure(value)}" for name, value in values.items()))
    if params.data.table and is_suspicious(scores):
        print(f"suspicious: no error in the test split: look for a column that leaks {table.roles.target}, the target")


def score(params: InferParams, given: Handover, predictions: Predictions) -> dict[str, dict[str, float]]:
    """Return the metrics of each split and, with `cross_validation`, of the folds; say which have no value."""
    table, classes = given.table, given.table.roles.classes
    wanted = find_metrics(params, classes)
    scores, notes = {}, []
    for split in ("train", "test"):
        rows = table.split == split
        scored = Scored(given.estimator, given.X[rows], table.y[rows], predictions.take(rows), classes)
        with reproducible(threads=1):
            scores[split], left_out = measure(wanted, scored, split)
        notes += left_out
    if params.cross_validation:
        train = table.part("train")
        with reproducible(given.contract.params["train"]["threads"]):
            scores["cv"], left_out = score_folds(
                params.cross_validation, given.estimator, given.X[table.split == "train"], train, wanted
            )
        notes += left_out
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return scores
