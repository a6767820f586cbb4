"""Builtin: the data sets that scikit-learn brings, as arrays under plain column names.

Some lie in its wheel, some are fetched once by its own fetchers, into the folder that SCIKIT_LEARN_DATA names.
"""

import os
import re
import urllib.error
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.files import repository_root

EMBEDDED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
# name → (file that the fetcher leaves, host it comes from)
FETCHED = {
    "california_housing": ("cal_housing_py3.pkz", "figshare.com"),
    "olivetti_faces": ("olivetti_py3.pkz", "figshare.com"),
}
NAMES = (*EMBEDDED, *FETCHED)
VARIABLE = "SCIKIT_LEARN_DATA"
FOLDER = Path(".artifact-flow/scikit_learn_data")  # in the repository, ignored by git


@dataclass(frozen=True)
class Arrays:
    """A data set: X float64 of shape [rows, features], y of shape [rows], the names of features and classes."""

    X: np.ndarray
    y: np.ndarray
    features: list[str]
    classes: list[str]  # empty for a regression


def load_arrays(name: str, folder: Path | None = None) -> Arrays:
    """Return one of `NAMES`, fetched into `folder` (`data_folder`'s by default) where it is not there.

    Raises DataError when it is neither here nor can be fetched.
    """
    from sklearn import datasets  # noqa: PLC0415 - half a second that most importers do not need

    if name in EMBEDDED:
        bunch = getattr(datasets, f"load_{name}")()
    else:
        bunch = _fetch(name, datasets, folder or data_folder(os.environ, repository_root()))
    classes = [str(label) for label in getattr(bunch, "target_names", ())] if name != "california_housing" else []
    if name == "olivetti_faces":  # 400 images of 40 people, 64 × 64 pixels
        features = [f"pixel_{row}_{column}" for row in range(64) for column in range(64)]
        classes = [f"person_{person}" for person in range(40)]
    else:
        features = [plain_name(str(feature)) for feature in bunch.feature_names]
    y = np.asarray(bunch.target, dtype=np.int64 if classes else np.float64)
    return Arrays(np.asarray(bunch.data, dtype=np.float64), y, features, classes)


def plain_name(name: str) -> str:
    """Return a column name as an identifier: "sepal length (cm)" becomes "sepal_length"."""
    return re.sub(r"\W+", "_", re.sub(r"\(.*?\)", "", name)).strip("_")


def data_folder(environ: Mapping[str, str], root: Path) -> Path:
    """Return where fetched sets lie; a relative SCIKIT_LEARN_DATA starts at the repository's root."""
    return root / Path(environ.get(VARIABLE) or FOLDER).expanduser()


def is_here(name: str, folder: Path) -> bool:
    """Tell whether a set of `FETCHED` lies in a folder already."""
    return (folder / FETCHED[name][0]).is_file()


def _fetch(name: str, datasets: Any, folder: Path) -> Any:
    file, host = FETCHED[name]
    remedy = (
        f"give this machine a way to {host}, or copy {file} from one where the set was fetched and name its folder: "
        f"{VARIABLE}=/path/to/folder dvc repro."
    )
    try:
        with _shown_download(name, host, folder) if not is_here(name, folder) else nullcontext():
            return getattr(datasets, f"fetch_{name}")(data_home=folder, n_retries=3, delay=2)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"{name} is not in {folder} ({file}) and cannot be fetched from {host} ({reason}): {remedy}"
        ) from error
    except Exception as error:  # a damaged file fails as pickle, zlib or joblib see fit
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name} in {folder} ({file}) cannot be read ({reason}): remove that file, then {remedy}"
        ) from error


@contextmanager
def _shown_download(name: str, host: str, folder: Path) -> Iterator[None]:
    """Show on stderr, while the block runs, what has arrived in `folder`."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), _Arrived(folder), TimeElapsedColumn()
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"fetching {name} from {host} into {folder}", soft_wrap=True)
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(f"fetching {name} from {host}", total=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a second try; that it failed is told
            yield


class _Arrived(ProgressColumn):
    """How many megabytes a folder holds more than at first."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.before = folder, self._size(folder)

    def render(self, task: Task) -> Text:
        return Text(f"{(self._size(self.folder) - self.before) / 1e6:.1f} MB")

    @staticmethod
    def _size(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
