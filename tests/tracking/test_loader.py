"""A logged model in another process: the predictions of predictions.csv, or a warning why they may differ."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from pyarrow import csv, parquet
from tracking.conftest import Tracked

from artifact_flow.core.base.determinism import KERNEL_VARIABLES, THREAD_VARIABLES, is_reference_cpu, pin
from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.files import hash_file
from artifact_flow.tracking.loader import KERNEL, OTHER_DISPATCH, REMEDY, Loaded

# A script of another team: it imports numpy first, uses its own threads, and has no path to this repository.
CLIENT = """
import numpy, json, sys, warnings
from concurrent.futures import ThreadPoolExecutor
import mlflow, pandas as pd
warnings.filterwarnings("ignore", module="mlflow")
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model = mlflow.pyfunc.load_model(sys.argv[1])
told = [str(warning.message) for warning in told if "predictions.csv" in str(warning.message)]
rows = pd.read_parquet(sys.argv[2]).astype({"id": "int64"})
X = rows[model.metadata.get_input_schema().input_names()].astype(float)
parts = [X.iloc[start : start + 150] for start in range(0, len(X), 150)]
with ThreadPoolExecutor(4) as threads:
    found = pd.concat(list(threads.map(model.predict, parts)))
print(json.dumps({"told": told, "prediction": list(found["prediction"]), "probability": list(found["probability"])}))
"""
UNPINNED = (*KERNEL_VARIABLES, *THREAD_VARIABLES, "PYTHONPATH")


@pytest.mark.filterwarnings("ignore")  # MLflow's own, about its parts
@pytest.mark.slow
def test_a_plain_client_gets_the_predictions_of_predictions_csv(tracked: Tracked, tmp_path: Path) -> None:
    """All labels and probabilities are equal to the last decimal, from four threads with this machine's own kernels."""
    tracked.ask("track")
    (run,) = tracked.runs()
    model = f"models:/{run.outputs.model_outputs[0].model_id}"
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, model, str(tracked.root / "data.parquet")],
        check=False,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in UNPINNED}
        | {"MLFLOW_TRACKING_URI": tracked.database, "OPENBLAS_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = csv.read_csv(tracked.root / "predictions.csv").to_pydict()
    assert found["prediction"] == list(map(str, expected["prediction"]))
    assert [round(value, 8) for value in found["probability"]] == expected["probability"]
    for words in found["told"]:  # none where the machine's kernels are those of the pipeline
        assert words.startswith(
            "predictions may differ from predictions.csv in the last decimal: this process computes with"
        )
        assert "start Python with OPENBLAS_CORETYPE=Haswell" in words


def model_folder(tracked: Tracked, folder: Path) -> dict[str, str]:
    """Copy a model's files into a folder, as MLflow does, and return their hashes."""
    folder.mkdir()
    for name in ("model_train.pkl", "contract.json"):
        shutil.copy(tracked.root / name, folder)
    return {path.name: hash_file(path) for path in folder.iterdir()}


def test_a_pinned_process_gets_no_warning(tracked: Tracked, tmp_path: Path) -> None:
    """A process pinned like a stage has equal predictions and no warning; another library version gives a warning."""
    if not is_reference_cpu():
        pytest.skip("needs x86-64 Linux with AVX2 and FMA, where the pinned kernels exist")
    sha256 = model_folder(tracked, tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = Loaded(tmp_path / "model", sha256)
    rows = parquet.read_table(tracked.root / "data.parquet").to_pandas()
    expected = csv.read_csv(tracked.root / "predictions.csv").to_pydict()
    assert [round(value, 8) for value in loaded.predict(rows)["probability"]] == expected["probability"]

    contract = tmp_path / "model/contract.json"
    contract.write_text(contract.read_text().replace('"scipy": "', '"scipy": "0.'))
    sha256["contract.json"] = hash_file(contract)
    with pytest.warns(
        UserWarning, match=r"scipy is .* here and was 0\..* when the model was made. To get equal predictions"
    ):
        Loaded(tmp_path / "model", sha256)


def test_a_changed_model_is_not_opened(tracked: Tracked, tmp_path: Path) -> None:
    """A damaged pickle or contract, a missing hash, or another scikit-learn version is refused before opening."""
    folder = tmp_path / "model"
    sha256 = model_folder(tracked, folder)
    with pytest.raises(ModelError, match=r"model_train.pkl is not the file that was logged, so it was not opened"):
        Loaded(folder, {})
    for name in sha256:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before + b" ")
        with pytest.raises(ModelError, match=f"{name} is not the file that was logged, so it was not opened"):
            Loaded(folder, sha256)
        (folder / name).write_bytes(before)
    contract = folder / "contract.json"
    contract.write_text(contract.read_text().replace('"scikit-learn": "', '"scikit-learn": "0.'))
    sha256["contract.json"] = hash_file(contract)
    with pytest.raises(
        ModelError, match=r"scikit-learn is .* here and was 0\.\S+ when the model was made, so the model was not opened"
    ):
        Loaded(folder, sha256)


def test_the_loader_names_the_values_that_the_pipeline_pins() -> None:
    """It cannot import `determinism`, which would change the client's variables, so it repeats the values."""
    pinned: dict[str, str] = {}
    pin(pinned, reference_cpu=True)
    kernel, dispatch = pinned["OPENBLAS_CORETYPE"], pinned["NPY_DISABLE_CPU_FEATURES"]
    assert (kernel, set(dispatch.split())) == (KERNEL, OTHER_DISPATCH)
    assert f'OPENBLAS_CORETYPE={kernel} NPY_DISABLE_CPU_FEATURES="{dispatch}"' in REMEDY
