"""Loader: what `mlflow.pyfunc.load_model` calls for a model that `runs` logged. It lies beside the model, in its code.

The estimator is the very file that the pipeline wrote; rows go the way they go in `artifact-flow predict`, on one BLAS
thread, so they get the predictions of predictions.csv. A client has loaded numpy before this module, so the kernel and
the versions that the pipeline pins are not ours to choose: where they differ, a warning says so.
"""

import threading
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_info, threadpool_limits

from artifact_flow.core.base.contract import CONTRACT, Contract, read_contract
from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.lock import LOCK
from artifact_flow.core.model.artifacts import MODEL
from artifact_flow.predict.files import PREDICTION, PROBABILITY, open_pair, predict_table

SHA256 = "sha256"  # in an MLmodel's metadata: file name → hash
# What determinism.py pins; that module is not imported, because it would set the client's variables, too late.
KERNEL, OTHER_DISPATCH = "Haswell", {"X86_V4", "AVX512_ICL", "AVX512_SPR"}
REMEDY = f'start Python with OPENBLAS_CORETYPE={KERNEL} NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR"'
# The number of BLAS threads is the whole process's: two predictions at once would undo each other's.
_ONE_AT_A_TIME = threading.Lock()


class Loaded:
    """A model as MLflow uses one."""

    def __init__(self, folder: Path, sha256: Mapping[str, str]) -> None:
        """Open the model in a folder, after its files are found to have their `sha256` (file name → hash).

        Warns, once, of what may change the last decimals here. Raises ModelError when a file has another hash, or when
        another scikit-learn wrote the pickle than is installed.
        """
        for name in (MODEL.name, CONTRACT.name):
            if hash_file(folder / name) != sha256.get(name):
                raise ModelError(f"{folder / name} is not the file that was logged; not opened: fetch the model anew.")
        contract = read_contract(folder / CONTRACT, folder / LOCK)
        versions = _other_versions(contract)
        if "scikit-learn" in versions:
            raise ModelError(
                f"{versions['scikit-learn']}; not opened: install the packages in the model's requirements.txt."
            )
        self.model = open_pair(folder / MODEL.name, tuple(sha256.values()))
        caveats = list(versions.values())
        remedies = ["install the packages in the model's requirements.txt"] if versions else []
        if kernels := _other_kernels():
            caveats.append(f"this process computes by {', '.join(kernels)}, the pipeline by {KERNEL}")
            remedies.append(REMEDY)
        if caveats:
            warnings.warn(
                f"predictions may differ from predictions.csv in the last decimal: {'; '.join(caveats)}. To have them "
                f"equal, {' and '.join(remedies)}.",
                stacklevel=2,
            )

    def predict(self, rows: Any, params: Any = None) -> Any:
        """Return a DataFrame with `prediction` and, of a classifier that gives one, `probability`, a row for each.

        `rows` is a DataFrame with the contract's columns. Raises ArtifactFlowError when one cannot be predicted.
        """
        with _ONE_AT_A_TIME, threadpool_limits(limits=1):
            table = predict_table(pa.Table.from_pandas(rows, preserve_index=False), self.model)
        names = [name for name in (PREDICTION, PROBABILITY) if name in table.column_names]
        return table.select(names).to_pandas().set_index(rows.index)


def _other_versions(contract: Contract) -> dict[str, str]:
    """Return name → a phrase for each library that is not of the version that made the model."""
    found = {}
    for name, version in contract.libraries.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # what predicts does without it
        if installed != version:
            found[name] = f"{name} is {installed} here and was {version} when the model was made"
    return found


def _other_kernels() -> list[str]:
    """Return the names of BLAS kernels and of numpy's dispatch that the pipeline does not use."""
    kernels = {str(library.get("architecture")) for library in threadpool_info() if library["user_api"] == "blas"}
    dispatch = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return sorted(kernels - {KERNEL}) + sorted(OTHER_DISPATCH & set(dispatch))


def _load_pyfunc(path: str) -> Loaded:
    from mlflow.models import Model  # noqa: PLC0415

    folder = Path(path)
    logged = Model.load(str(folder.parent.parent))  # MLflow keeps MLmodel there, and these files in data/files
    return Loaded(folder, (logged.metadata or {}).get(SHA256, {}))
