"""Make of a pickle the folder that `mlflow models serve` takes. Arguments: the model's file, the folder."""

import sys

import joblib
import mlflow.sklearn  # in its own venv only

if __name__ == "__main__":
    mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2])
