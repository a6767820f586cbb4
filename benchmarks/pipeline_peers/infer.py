"""The third script: predict every row, and compute the accuracy on both splits."""

import json
from pathlib import Path

import joblib
import pandas as pd

model, metrics, predictions = joblib.load("model_train.pkl"), {}, []
for split in ("train", "test"):
    rows = pd.read_csv(f"{split}.csv", index_col=0)
    X = rows.drop(columns="target")
    labels, probabilities = model.predict(X), model.predict_proba(X).max(axis=1)
    metrics[split] = {"accuracy": float((labels == rows["target"]).mean())}
    predictions.append(pd.DataFrame({"prediction": labels, "probability": probabilities}, index=rows.index))
pd.concat(predictions).to_csv("predictions.csv")
Path("metrics.json").write_text(json.dumps(metrics))
