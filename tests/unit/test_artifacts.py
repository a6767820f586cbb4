"""A model file is written once, byte-stable, and opened only when it is the one its contract names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.tables import contract_of, matrix

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.params import Params
from artifact_flow.core.model.artifacts import open_model, write_model
from artifact_flow.core.table.tables import Table


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Where the model goes."""
    return tmp_path / "model_train.pkl"


@pytest.fixture
def contract(model: Path, fitted: Any, params: Params, digits: Table) -> Contract:
    """The contract of the fitted default, whose file is written."""
    return contract_of(digits, params.train, {"model_train.pkl": write_model(fitted, model)})


def test_the_model_of_the_contract_is_opened(model: Path, contract: Contract, fitted: Any, digits: Table) -> None:
    """What comes out predicts what went in."""
    assert np.array_equal(
        open_model(contract, model).predict_proba(matrix(digits)), fitted.predict_proba(matrix(digits))
    )


def test_the_same_estimator_is_the_same_bytes(tmp_path: Path, contract: Contract, fitted: Any) -> None:
    """A second write has the same hash."""
    assert write_model(fitted, tmp_path / "again.pkl") == contract.sha256["model_train.pkl"]


def test_the_pickle_has_the_pinned_protocol(model: Path, contract: Contract) -> None:
    """Protocol 4, whatever this Python's default is."""
    assert contract.sha256["model_train.pkl"]
    assert model.read_bytes()[:2] == b"\x80\x04"


def test_a_replaced_model_is_not_opened(model: Path, contract: Contract) -> None:
    """Code hidden in a pickle does not run: the hash is checked before."""
    model.write_bytes(b"cposix\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(ModelError, match=r"is not the model that contract\.json names .* so it was not opened"):
        open_model(contract, model)
    assert not Path("pwned").exists()


def test_a_truncated_model_is_not_opened(model: Path, contract: Contract) -> None:
    """A half file is told as what it is: another file."""
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"is not the model that contract\.json names"):
        open_model(contract, model)


def test_a_missing_model_is_one_sentence(tmp_path: Path, contract: Contract) -> None:
    """The sentence says how to get it back."""
    with pytest.raises(ModelError, match=r"cannot be read \(No such file or directory\): `dvc checkout`"):
        open_model(contract, tmp_path / "none.pkl")


def test_a_contract_without_a_model_opens_nothing(model: Path, contract: Contract) -> None:
    """No hash, no trust."""
    with pytest.raises(ModelError, match="so it was not opened"):
        open_model(contract.model_copy(update={"sha256": {}}), model)


def test_a_model_of_another_scikit_learn_is_not_opened(model: Path, contract: Contract) -> None:
    """Versions are compared before the file is opened."""
    other = contract.model_copy(update={"libraries": {"scikit-learn": "1.0.2"}})
    with pytest.raises(ModelError, match=r"was written by scikit-learn 1\.0\.2, but .* is installed"):
        open_model(other, model)
