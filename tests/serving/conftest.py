"""Real server processes over real models: digits, iris, and a table with every kind of column and gaps."""

from artifact_flow import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.server import Server, make_builtin
from unit.own import make_flow


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name → model.onnx of digits, iris, own (a classifier of a mixed table) and price (a regressor of it)."""
    root = tmp_path_factory.mktemp("models")
    made = {name: make_builtin(root / name, name) for name in ("digits", "iris")}
    for name, task in (("own", "classification"), ("price", "regression")):
        (root / name).mkdir()
        made[name] = make_flow(root / name, task).folder / "model.onnx"  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="session")
def served(models: dict[str, Path]) -> Iterator[Server]:
    """A server with digits (at the root), iris and own, for tests that leave it as it is."""
    with Server(models["digits"], models["iris"], models["own"]) as server:
        yield server
