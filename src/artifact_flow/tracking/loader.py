"""Loader: the entry point of `mlflow.pyfunc.load_model` for a model that `runs` logged, stored with the model's code.

The estimator is the file that the pipeline wrote. Rows take the same path as in `artifact-flow predict`, on one BLAS
thread, so they get the predictions of predictions.csv. The client loads numpy before this module, so this module cannot
choose the BLAS kernel and the versions that the pipeline pins: where they differ, it warns.
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

SHA256 = "sha256"  # the key in the metadata of an MLmodel file: file name → hash
# The values that determinism.py pins. That module is not imported: it would set the client's variables, too late.
KERNEL, OTHER_DISPATCH = "Haswell", {"X86_V4", "AVX512_ICL", "AVX512_SPR"}
REMEDY = f'start Python with OPENBLAS_CORETYPE={KERNEL} NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR"'
# The number of BLAS threads is a setting of the whole process, which two concurrent predictions would reset.
_ONE_AT_A_TIME = threading.Lock()


class Loaded:
    """A loaded model with the interface that MLflow expects."""

    def __init__(self, folder: Path, sha256: Mapping[str, str]) -> None:
        """Open the model in a folder after verifying its files against `sha256` (file name → hash).

        Warns once about differences in this environment that may change the last decimals. Raises ModelError when a
        hash differs, or when the installed scikit-learn is not the version that wrote the pickle.
        """
        for name in (MODEL.name, CONTRACT.name):
            if hash_file(folder / name) != sha256.get(name):
                raise ModelError(
                    f"{folder / name} is not the file that was logged, so it was not opened: download the model again."
                )
        contract = read_contract(folder / CONTRACT, folder / LOCK)
        versions = _other_versions(contract)
        if "scikit-learn" in versions:
            raise ModelError(
                f"{versions['scikit-learn']}, so the model was not opened: install what its requirements.txt lists."
            )
        self.model = open_pair(folder / MODEL.name, tuple(sha256.values()))
        caveats = list(versions.values())
        remedies = ["install the packages in the model's requirements.txt"] if versions else []
        if kernels := _other_kernels():
            caveats.append(f"this process computes with {', '.join(kernels)}, the pipeline with {KERNEL}")
            remedies.append(REMEDY)
        if caveats:
            warnings.warn(
                f"predictions may differ from predictions.csv in the last decimal: {'; '.join(caveats)}. To get "
                f"equal predictions, {' and '.join(remedies)}.",
                stacklevel=2,
            )

    def predict(self, rows: Any, params: Any = None) -> Any:
        """Return a DataFrame with `prediction` and, for a classifier with probabilities, `probability`.

        It has the index of `rows`, a DataFrame with the contract's columns. Raises ArtifactFlowError when a row cannot
        be predicted.
        """
        with _ONE_AT_A_TIME, threadpool_limits(limits=1):
            table = predict_table(pa.Table.from_pandas(rows, preserve_index=False), self.model)
        names = [name for name in (PREDICTION, PROBABILITY) if name in table.column_names]
        return table.select(names).to_pandas().set_index(rows.index)


def _other_versions(contract: Contract) -> dict[str, str]:
    """Return name → a phrase for each library whose version differs from the one that made the model."""
    found = {}
    for name, version in contract.libraries.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # prediction does not need it
        if installed != version:
            found[name] = f"{name} is {installed} here and was {version} when the model was made"
    return found


def _other_kernels() -> list[str]:
    """Return the BLAS kernels and the CPU features of numpy that are active here and not in the pipeline."""
    kernels = {str(library.get("architecture")) for library in threadpool_info() if library["user_api"] == "blas"}
    dispatch = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return sorted(kernels - {KERNEL}) + sorted(OTHER_DISPATCH & set(dispatch))


def _load_pyfunc(path: str) -> Loaded:
    from mlflow.models import Model  # noqa: PLC0415

    folder = Path(path)
    logged = Model.load(str(folder.parent.parent))  # MLmodel is there; these files are in data/files
    return Loaded(folder, (logged.metadata or {}).get(SHA256, {}))
