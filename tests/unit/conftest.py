"""The gate's fixtures: the defaults as shipped (params.yaml here is a copy, so that a user's own choice never
fails the gate) and what the pipeline makes of them."""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artifact_flow.core.base.params import DataParams, Params, TrainParams, load_params

if TYPE_CHECKING:  # the fixtures import what needs scikit-learn, so that tests without it start in half a second
    from artifact_flow.core.table.tables import Table

DEFAULTS = Path(__file__).with_name("params.yaml")


@pytest.fixture(scope="session")
def params() -> Params:
    """The shipped defaults."""
    return load_params(DEFAULTS)


@pytest.fixture(scope="session")
def digits(params: Params) -> "Table":
    """The digits, split as shipped."""
    from artifact_flow.core.table.datasets import load_builtin
    from artifact_flow.core.table.tables import split_rows

    return split_rows(load_builtin(params.data))


@pytest.fixture(scope="session")
def diabetes() -> "Table":
    """A regression table."""
    from artifact_flow.core.table.datasets import load_builtin
    from artifact_flow.core.table.tables import split_rows

    return split_rows(load_builtin(DataParams(source="diabetes", test_size=0.2, seed=42, stratify=False)))


@pytest.fixture(scope="session")
def fitted(params: Params, digits: "Table") -> Any:
    """The default estimator, fitted on the digits' train split."""
    from unit.tables import train_model, train_rows

    return train_model(digits, params.train, train_rows(digits))


@pytest.fixture(scope="session")
def linear(diabetes: "Table") -> Any:
    """A regressor, fitted on the diabetes' train split."""
    from unit.tables import train_model, train_rows

    regressor = TrainParams(estimator="sklearn.linear_model.LinearRegression", threads=1)
    return train_model(diabetes, regressor, train_rows(diabetes))


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Table]":
    """Small tables: all numbers and bare, or mixed with gaps and pre-processed; of two classes, three, and a number."""
    from unit.own import load_rows
    from unit.tables import built_in, of_two_classes

    mixed = load_rows(tmp_path_factory.mktemp("own"))
    return {
        "binary": of_two_classes(built_in("iris")),
        "multiclass": built_in("iris"),
        "number": built_in("diabetes"),
        "mixed": mixed,
        "mixed binary": of_two_classes(mixed),
        "mixed number": load_rows(tmp_path_factory.mktemp("price"), "regression"),
    }
