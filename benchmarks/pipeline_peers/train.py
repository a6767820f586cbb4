"""The second script: fit a model to the train split."""

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression

rows = pd.read_csv("train.csv", index_col=0)
joblib.dump(LogisticRegression(max_iter=1000).fit(rows.drop(columns="target"), rows["target"]), "model_train.pkl")
