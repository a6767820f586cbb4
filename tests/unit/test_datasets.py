"""A built-in name becomes one typed table whose file explains itself and never changes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from unit.tables import matrix

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import DataParams
from artifact_flow.core.table.builtin import EMBEDDED, plain_name
from artifact_flow.core.table.datasets import load_builtin, load_source
from artifact_flow.core.table.tables import Table, read_table, split_rows, write_table


def data_params(source: str = "iris", test_size: float = 0.2, *, stratify: bool = True) -> DataParams:
    """Return a `data` block."""
    return DataParams(source=source, test_size=test_size, seed=42, stratify=stratify)


def test_digits_are_what_scikit_learn_carries(digits: Table) -> None:
    """Every value arrives, float64 and in order."""
    X, y = load_digits(return_X_y=True)
    assert np.array_equal(matrix(digits), X)
    assert matrix(digits).dtype == np.float64
    assert np.array_equal(digits.y, y)
    assert digits.roles.classes == [str(digit) for digit in range(10)]


@pytest.mark.parametrize("source", EMBEDDED)
def test_every_built_in_set_has_plain_column_names(source: str) -> None:
    """Column names are identifiers, so that they can be parameters, form fields and keys."""
    table = split_rows(load_builtin(data_params(source, stratify=False)))
    assert all(name.isidentifier() for name in table.columns.column_names)
    assert matrix(table).shape == (len(table.y), len(table.roles.features))


def test_units_leave_the_names() -> None:
    """A unit in brackets is not part of a name."""
    assert plain_name("sepal length (cm)") == "sepal_length"


def test_an_unknown_source_lists_the_known() -> None:
    """A typing mistake is answered with the nearest name."""
    with pytest.raises(DataError, match=r"data.source is 'digit' \(did you mean digits\?\); allowed: breast_cancer"):
        load_source(data_params("digit"))


def test_the_split_is_the_one_scikit_learn_makes(digits: Table) -> None:
    """The same rows are tested as after train_test_split with the same arguments."""
    rows = np.arange(len(digits.y))
    _, test = train_test_split(rows, test_size=0.2, random_state=42, stratify=digits.y)
    assert np.array_equal(rows[digits.split == "test"], np.sort(test))


@pytest.mark.parametrize(("test_size", "seed"), [(0.2, 42), (0.25, 0), (0.333, 7), (0.9, 2**32 - 1)])
def test_an_unstratified_split_is_scikit_learns_too(test_size: float, seed: int) -> None:
    """Drawn without importing scikit-learn, it has the rows that train_test_split gives."""
    params = DataParams(source="diabetes", test_size=test_size, seed=seed, stratify=False)
    table = split_rows(load_builtin(params))
    _, test = train_test_split(np.arange(442), test_size=test_size, random_state=seed)
    assert np.array_equal(np.flatnonzero(table.split == "test"), np.sort(test))


def test_the_parts_are_the_whole(digits: Table) -> None:
    """Train and test share no row and lose none."""
    ids = [set(digits.part(split).columns["id"].to_pylist()) for split in ("train", "test")]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == set(range(1797))


def test_a_regression_has_no_classes(diabetes: Table) -> None:
    """A numeric target stays float64."""
    assert diabetes.roles.task == "regression"
    assert diabetes.y.dtype == np.float64


def test_stratify_needs_classes() -> None:
    """A numeric target cannot be kept in proportion."""
    with pytest.raises(DataError, match=r"data.stratify is true, but the target of diabetes is a number"):
        split_rows(load_builtin(data_params("diabetes")))


def test_an_impossible_split_is_one_sentence() -> None:
    """A test split smaller than the number of classes cannot be stratified."""
    with pytest.raises(DataError, match=r"data.test_size 0.001 cannot split iris \(150 rows\): .*choose another"):
        split_rows(load_builtin(data_params(test_size=0.001)))


@pytest.mark.parametrize("test_size", [0.001, 0.997])
def test_a_regression_needs_two_rows_in_each_split(test_size: float) -> None:
    """R² of one row is no number: the split is refused before anything is trained."""
    with pytest.raises(DataError, match=r"diabetes \(442 rows\) leaves a split of 1 row, and the R² of a regression"):
        split_rows(load_builtin(data_params("diabetes", test_size, stratify=False)))


def test_a_table_survives_its_file(tmp_path: Path, digits: Table) -> None:
    """What is read equals what was written, roles included."""
    write_table(digits, tmp_path / "data.parquet")
    again = read_table(tmp_path / "data.parquet")
    assert again.roles == digits.roles
    assert again.columns.equals(digits.columns)


def test_the_same_table_is_the_same_bytes(tmp_path: Path, digits: Table) -> None:
    """Two writes differ in nothing."""
    for name in ("one", "two"):
        write_table(digits, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("length", [0, 3, 1000, -1])
def test_a_cut_off_file_is_one_sentence(tmp_path: Path, digits: Table, length: int) -> None:
    """Wherever the file ends too early, it is told, never half read."""
    path = tmp_path / "data.parquet"
    write_table(digits, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"data.parquet is damaged or not Parquet \(.*\): `dvc repro --force data`"):
        read_table(path)


def test_damaged_pages_are_one_sentence(tmp_path: Path, digits: Table) -> None:
    """Bytes overwritten in the middle do not become numbers."""
    path = tmp_path / "data.parquet"
    write_table(digits, path)
    content = bytearray(path.read_bytes())
    content[100:1100] = b"\xff" * 1000
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged or not Parquet"):
        read_table(path)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """The sentence says which stage makes the file."""
    with pytest.raises(DataError, match=r"is missing: `dvc repro --force data` makes it again"):
        read_table(tmp_path / "data.parquet")


def test_a_missing_column_is_named(tmp_path: Path, digits: Table) -> None:
    """A table that lost a column is refused by its name."""
    path = tmp_path / "data.parquet"
    write_table(digits, path)
    pq.write_table(pq.read_table(path).drop_columns(["pixel_3_3"]), path)
    with pytest.raises(DataError, match="has no column pixel_3_3"):
        read_table(path)


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    """A Parquet file that says no roles was not written by the stage."""
    pq.write_table(pa.table({"id": [1]}), tmp_path / "data.parquet")
    with pytest.raises(DataError, match="was not written by stage data"):
        read_table(tmp_path / "data.parquet")
