"""Save a pickle as an MLflow model for `mlflow models serve`. Arguments: the pickle's path, the new folder."""

import sys

import joblib
import mlflow.sklearn  # in its own venv only

if __name__ == "__main__":
    mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2])
