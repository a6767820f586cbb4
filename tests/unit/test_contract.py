"""The contract says what the model was made from, survives its file, and is believed only when the lock names it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.tables import contract_of, matrix

from artifact_flow.core.base.contract import (
    Contract,
    Feature,
    check_data,
    check_params,
    describe_features,
    read_contract,
    write_contract,
)
from artifact_flow.core.base.errors import ContractError, LockError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.base.params import Params, TrainParams
from artifact_flow.core.model.handover import draw_contract
from artifact_flow.core.table.tables import Table


@pytest.fixture
def contract(params: Params, digits: Table) -> Contract:
    """The contract of the defaults."""
    return contract_of(digits, params.train, {"data.parquet": "0" * 64, "model_train.pkl": "1" * 64})


@pytest.fixture
def written(tmp_path: Path, contract: Contract) -> Path:
    """The contract in a file."""
    write_contract(contract, tmp_path / "contract.json")
    return tmp_path / "contract.json"


def write_lock(contract: Path, md5: str) -> None:
    """Write a dvc.lock beside the contract that names it by `md5`."""
    lock = f"schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - path: contract.json\n      md5: {md5}\n"
    contract.with_name("dvc.lock").write_text(lock)


def test_features_describe_the_train_split(contract: Contract, digits: Table) -> None:
    """Ranges come from what the model saw, not from the test rows."""
    train = matrix(digits, digits.part("train"))
    feature = contract.features[20]
    assert feature.name == list(digits.roles.features)[20]
    assert (feature.min, feature.max) == (train[:, 20].min(), train[:, 20].max())
    assert feature.mean == pytest.approx(train[:, 20].mean(), rel=1e-5)
    assert feature.std == pytest.approx(train[:, 20].std(), rel=1e-5)


def described(values: np.ndarray) -> Feature:
    """Return the reference of one column of numbers."""
    return describe_features({"x": "number"}, {"x": values})[0]


def test_shares_are_counted_with_the_edges_that_stand_beside_them() -> None:
    """Whoever counts the training's rows by the contract alone finds its shares, whatever the offset."""
    for values in (1.7e9 + np.random.default_rng(0).random(5000) * 3600, np.random.default_rng(1).normal(size=5000)):
        feature = described(values)
        assert feature.edges is not None
        counts, _ = np.histogram(-values, bins=-np.array(feature.edges[::-1]))  # which includes the upper edge
        assert (counts[::-1] / 5000).tolist() == pytest.approx(feature.shares, abs=5e-4)
        assert feature.shares == pytest.approx([0.1] * 10, abs=0.001)
        assert feature.edges == sorted(set(feature.edges))


def test_edges_are_rounded_by_their_distance() -> None:
    """So few digits that a diff reads, and so many that no bin moves: seconds in an hour of 2023."""
    edges = described(np.linspace(1.7e9, 1.7e9 + 3599, 5000)).edges
    assert edges is not None
    assert edges[1:3] == [1700000359.9, 1700000719.8]


def test_moments_are_those_of_numpy_at_any_offset() -> None:
    """The mean to a millionth of the standard deviation, the standard deviation to six digits."""
    for offset in (0.0, 1e9, -1e12):
        values = offset + np.random.default_rng(0).normal(3, 2, 1000)
        feature = described(values)
        assert feature.mean == pytest.approx(values.mean(), rel=1e-15, abs=2e-5)
        assert feature.std == pytest.approx(values.std(), rel=1e-5)


def test_a_value_of_many_rows_has_a_bin_of_its_own() -> None:
    """A count that is mostly zero: the zeros, what lies above, and a bin for what would lie below."""
    feature = described(np.repeat([0.0, 1.0, 2.0, 5.0], [800, 120, 60, 20]))
    assert feature.edges == [-0.001, -0.001, 0.0, 0.2, 1.0, 5.0]
    assert feature.shares[:2] == [0.0, 0.8]
    assert feature.middle == 0.0


@pytest.mark.long
def test_one_missing_row_of_ten_million_is_one() -> None:
    """A share has six significant digits: a rare gap is no column without gaps."""
    values = np.zeros(10_000_000)
    values[3] = np.nan
    assert described(values).missing == 1e-7


def test_a_contract_of_the_old_form_is_read(written: Path) -> None:
    """Edges and shares as they were rounded before: the form is the same, only what is written differs."""
    document = json.loads(written.read_text())
    document["features"][1] |= {"edges": [0.0, 1.0, 8.0], "shares": [0.922756, 0.077244]}
    written.write_text(json.dumps(document))
    feature = read_contract(written, written.with_name("dvc.lock")).features[1]
    assert (feature.edges, feature.middle) == ([0.0, 1.0, 8.0], 1.0)


def test_a_contract_names_no_python_and_no_metrics(written: Path) -> None:
    """Two Pythons write the same contract, and a new metric does not change it."""
    document = json.loads(written.read_text())
    assert sorted(document) == ["features", "id", "libraries", "params", "rows", "sha256", "target", "version"]
    assert sorted(document["libraries"]) == ["joblib", "numpy", "pyarrow", "scikit-learn", "scipy"]


def test_a_contract_survives_its_file(written: Path, contract: Contract) -> None:
    """What is read equals what was written; one feature stands on one line."""
    assert read_contract(written, written.with_name("dvc.lock")) == contract
    assert sum('"name": "pixel_' in line for line in written.read_text().splitlines()) == 64


def test_the_contract_the_lock_names_is_read(written: Path, contract: Contract) -> None:
    """The md5 in dvc.lock is the file's."""
    write_lock(written, hash_file(written, "md5"))
    assert read_contract(written, written.with_name("dvc.lock")) == contract


def test_an_edited_contract_is_refused(written: Path) -> None:
    """One changed character is enough, however well it reads."""
    write_lock(written, hash_file(written, "md5"))
    written.write_text(written.read_text().replace('"max": 16.0', '"max": 17.0', 1))
    with pytest.raises(ContractError, match=r"contract.json is not the one that dvc.lock names \(md5 [0-9a-f]{32}\)"):
        read_contract(written, written.with_name("dvc.lock"))


def test_a_lock_that_does_not_list_the_contract_is_no_obstacle(written: Path, contract: Contract) -> None:
    """The first run of a new stage has no entry yet."""
    written.with_name("dvc.lock").write_text("schema: '2.0'\n")
    assert read_contract(written, written.with_name("dvc.lock")) == contract


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "the document: Invalid JSON"), ('{"version": 1}', "version: Input should be 2"), ("", "Invalid JSON")],
)
def test_a_broken_contract_is_one_sentence(written: Path, content: str, sentence: str) -> None:
    """What is no contract is told with the place."""
    written.write_text(content)
    with pytest.raises(ContractError, match=sentence) as error:
        read_contract(written, written.with_name("dvc.lock"))
    assert "\n" not in str(error.value)


def test_a_missing_contract_is_one_sentence(tmp_path: Path) -> None:
    """The sentence says which stage writes it."""
    with pytest.raises(
        ContractError, match=r"cannot be read .*`dvc repro --force train` writes the model and the contract"
    ):
        read_contract(tmp_path / "contract.json")


def test_the_data_of_the_contract_is_accepted(tmp_path: Path, contract: Contract) -> None:
    """The table whose hash stands in the contract passes; one other byte does not."""
    data = tmp_path / "data.parquet"
    data.write_bytes(b"table")
    contract = contract.model_copy(update={"sha256": {"data.parquet": hash_file(data)}})
    check_data(contract, data)
    data.write_bytes(b"Table")
    with pytest.raises(ContractError, match=r"data.parquet is not the table that contract.json names \(sha256"):
        check_data(contract, data)


@pytest.mark.parametrize(
    "content",
    [
        b"<<<<<<< HEAD\nstages:\n=======\n",
        b"- a list\n",
        b"stages: 7\n",
        b"stages:\n  train:\n    outs:\n    - path: contract.json\n",
        b"stages:\n  train:\n    outs:\n    - path: contract.json\n      md5: null\n",
        b"\xff\x00",
    ],
)
def test_a_damaged_lock_is_one_sentence(written: Path, content: bytes) -> None:
    """A merge conflict or a cut-off lock is told, with what to do."""
    written.with_name("dvc.lock").write_bytes(content)
    with pytest.raises(LockError, match=r"dvc.lock (is damaged or holds a merge conflict|names an output without)"):
        read_contract(written, written.with_name("dvc.lock"))


def test_unusual_parameters_survive_the_file(tmp_path: Path, digits: Table) -> None:
    """Infinity, which scikit-learn recommends for no penalty, and weights by class index are not lost in JSON."""
    train = TrainParams(estimator="x", threads=1, C=math.inf, class_weight={0: 1.5, 1: 2})
    contract = contract_of(digits, train, {})
    write_contract(contract, tmp_path / "contract.json")
    again = read_contract(tmp_path / "contract.json", tmp_path / "dvc.lock")
    assert again == contract
    assert again.params["train"]["C"] == ".inf"
    assert again.params["train"]["class_weight"] == {"0": 1.5, "1": 2}


@pytest.mark.parametrize(
    ("block", "changed", "difference"),
    [
        ("train", {"C": 0.5}, "train.C 1.0, but params.yaml says 0.5"),
        ("train", {"tol": 0.1}, "train.tol nothing, but params.yaml says 0.1"),
        ("train", {"threads": 2}, "train.threads 1, but params.yaml says 2"),
        ("train", {"search": {"strategy": "grid", "space": {"C": [1]}}}, "train.search nothing, but params.yaml says"),
        ("data", {"seed": 43}, "data.seed 42, but params.yaml says 43"),
    ],
)
def test_a_model_of_other_parameters_is_refused(
    contract: Contract, params: Params, block: str, changed: dict[str, Any], difference: str
) -> None:
    """Which parameter, what it was and what it is; the advice makes them one again."""
    document = params.model_dump(exclude_none=True)
    other = Params.model_validate(document | {block: document[block] | changed})
    with pytest.raises(ContractError) as raised:
        check_params(contract, other)
    assert str(raised.value).startswith(f"contract.json was made with {difference}")
    assert str(raised.value).endswith(": run `dvc repro` to make it and the model again.")


def test_a_model_of_the_same_parameters_is_taken(written: Path, params: Params, digits: Table) -> None:
    """Read back from its file, with what a search found in it, and with values that JSON does not know."""
    check_params(read_contract(written), params)
    document = params.model_dump(exclude_none=True)
    document["train"] |= {"C": math.inf, "search": {"strategy": "grid", "space": {"tol": [0.1]}}}
    searched = Params.model_validate(document)
    found = draw_contract(digits, digits.describe(), searched.train, {}, {"tol": 0.1})
    write_contract(found, written)
    check_params(read_contract(written), searched)
