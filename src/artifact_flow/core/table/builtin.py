"""Builtin: scikit-learn's data sets as arrays with plain column names.

Some are part of its wheel; its fetchers download the others once, into the folder given by SCIKIT_LEARN_DATA.
"""

import os
import re
import urllib.error
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.files import repository_root

EMBEDDED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
# name → (file that the fetcher writes, host it downloads from)
FETCHED = {
    "california_housing": ("cal_housing_py3.pkz", "figshare.com"),
    "olivetti_faces": ("olivetti_py3.pkz", "figshare.com"),
}
NAMES = (*EMBEDDED, *FETCHED)
VARIABLE = "SCIKIT_LEARN_DATA"
FOLDER = Path(".artifact-flow/scikit_learn_data")  # in the repository, ignored by git

# Called with a title and the folder before a download, which runs inside the context manager it returns.
Watch: TypeAlias = Callable[[str, Path], AbstractContextManager[object]]


def unwatched(title: str, folder: Path) -> AbstractContextManager[object]:
    """Show nothing during a download: the default `Watch`."""
    return nullcontext()


@dataclass(frozen=True)
class Arrays:
    """A data set: X float64 of shape [rows, features], y of shape [rows], the names of features and classes."""

    X: np.ndarray
    y: np.ndarray
    features: list[str]
    classes: list[str]  # empty for a regression


def load_arrays(name: str, folder: Path | None = None, watch: Watch = unwatched) -> Arrays:
    """Return one of `NAMES`, downloaded into `folder` (by default `data_folder`'s) if it is not there yet.

    Raises DataError when it is not there and cannot be downloaded.
    """
    from sklearn import datasets  # noqa: PLC0415 - takes half a second, which most importers do not need

    if name in EMBEDDED:
        bunch = getattr(datasets, f"load_{name}")()
    else:
        bunch = _fetch(name, datasets, folder or data_folder(os.environ, repository_root()), watch)
    classes = [str(label) for label in getattr(bunch, "target_names", ())] if name != "california_housing" else []
    if name == "olivetti_faces":  # 400 images of 40 people, 64 × 64 pixels
        features = [f"pixel_{row}_{column}" for row in range(64) for column in range(64)]
        classes = [f"person_{person}" for person in range(40)]
    else:
        features = [plain_name(str(feature)) for feature in bunch.feature_names]
    y = np.asarray(bunch.target, dtype=np.int64 if classes else np.float64)
    return Arrays(np.asarray(bunch.data, dtype=np.float64), y, features, classes)


def plain_name(name: str) -> str:
    """Return a column name as an identifier, such as "sepal_length" for "sepal length (cm)"."""
    return re.sub(r"\W+", "_", re.sub(r"\(.*?\)", "", name)).strip("_")


def data_folder(environ: Mapping[str, str], root: Path) -> Path:
    """Return the folder of downloaded sets; a relative SCIKIT_LEARN_DATA starts at the repository's root."""
    return root / Path(environ.get(VARIABLE) or FOLDER).expanduser()


def is_here(name: str, folder: Path) -> bool:
    """Return whether a set of `FETCHED` is in a folder already."""
    return (folder / FETCHED[name][0]).is_file()


def _fetch(name: str, datasets: Any, folder: Path, watch: Watch) -> Any:
    file, host = FETCHED[name]
    remedy = (
        f"give this machine access to {host}, or copy {file} from a machine that has it and set the folder: "
        f"{VARIABLE}=/path/to/folder dvc repro."
    )
    try:
        fetch = partial(getattr(datasets, f"fetch_{name}"), data_home=folder, n_retries=3, delay=2)
        if is_here(name, folder):
            return fetch()
        with watch(f"fetching {name} from {host}", folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of each retry; the last failure raises
            return fetch()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"{name} is not in {folder} ({file}) and cannot be fetched from {host} ({reason}): {remedy}"
        ) from error
    except Exception as error:  # a damaged file raises various errors of pickle, zlib or joblib
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name} in {folder} ({file}) cannot be read ({reason}): remove that file, then {remedy}"
        ) from error
