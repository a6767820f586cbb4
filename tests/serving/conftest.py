"""Real server processes over real models: digits, iris, and a table with every kind of column and gaps."""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifact_flow.core.base.legend import ColumnLegend
from artifact_flow.core.base.params import Task
from serving.server import Server, lock_for, make_builtin
from unit.own import make_flow


LEGEND = {
    "size": ColumnLegend(unit="100 m²", description="Floor space, <b>measured</b> inside."),
    "since": ColumnLegend(description="Day of the first sale"),
    "price": ColumnLegend(unit="1000 €", description="What was paid, without taxes"),
}


@pytest.fixture(scope="session")
def models(once: Callable[[str, Callable[[Path], object]], Path]) -> dict[str, Path]:
    """Name → model.onnx of digits, iris, own (a classifier of a mixed table) and price (a regressor, with LEGEND)."""
    own: dict[str, Task] = {"own": "classification", "price": "regression"}

    def make(root: Path) -> None:
        root.mkdir()
        for name in ("digits", "iris"):
            make_builtin(root / name, name)
        for name, task in own.items():
            (root / name).mkdir()
            make_flow(root / name, task, LEGEND if name == "price" else None)

    root = once("models", make)
    return {name: root / name / "model.onnx" for name in ("digits", "iris", *own)}


@pytest.fixture(scope="session")
def served(models: dict[str, Path]) -> Iterator[Server]:
    """A server with digits (at the root), iris and own, for tests that leave it as it is."""
    with Server(models["digits"], models["iris"], models["own"]) as server:
        yield server


@pytest.fixture(scope="session")
def newer(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder with another version of iris, trained on fewer rows."""
    return once("newer", lambda folder: make_builtin(folder, "iris", test_size=0.4))


@pytest.fixture
def locked(models: dict[str, Path], tmp_path: Path) -> Path:
    """A folder with the iris model and its lock, which one test may change."""
    folder = Path(shutil.copytree(models["iris"].parent, tmp_path / "iris"))
    lock_for(folder, "model_quantized.onnx")
    return folder
