"""Raw columns become the model's matrix, the same way everywhere, and what was unusual is counted."""

import numpy as np
import pytest
from unit.tables import text_column

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.encoding import KEPT, OTHERS, Findings, Text, encode_rows

SIZE = Feature(name="size", type="number", missing=0.1, min=0.0, max=10.0, shares=[])
OPEN = Feature(name="open", type="boolean", missing=0.0, min=0.0, max=1.0, shares=[])
COLOUR = Feature(name="colour", type="category", missing=0.1, categories=["blue", "red"], shares=[0.5, 0.5])


def test_rows_become_a_matrix_in_the_contract_s_order() -> None:
    """Numbers as they are with NaN where missing, categories as their index, behind the last one where missing."""
    columns = {
        "colour": text_column(["red", None, "blue", "red"]),
        "open": np.array([1.0, 0.0, np.nan, 1.0]),
        "size": np.array([0.0, np.nan, 10.0, 5.0]),
    }
    X, findings = encode_rows([SIZE, OPEN, COLOUR], columns)
    expected = [[0, 1, 1], [np.nan, 0, 2], [10, np.nan, 0], [5, 1, 1]]
    assert np.array_equal(X, expected, equal_nan=True)
    assert X.flags.c_contiguous
    assert findings == Findings()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_matrix_has_the_type_asked_for(dtype: type[np.floating]) -> None:
    """The portable model takes float32, the pickle float64."""
    X, _ = encode_rows([SIZE], {"size": np.array([1.0])}, dtype)
    assert X.dtype == dtype


def test_what_training_never_saw_is_allowed_and_counted() -> None:
    """A number out of range, an unseen category; a value on the edge of the range is in it."""
    columns = {"size": np.array([-0.1, 0.0, 10.0, 10.1, np.nan]), "colour": text_column(["x", "red", "y", "x", None])}
    X, findings = encode_rows([SIZE, COLOUR], columns)
    assert X[:, 1].tolist() == [-1, 1, -1, -1, 2]
    assert findings.out_of_range == {"size": 2}
    assert findings.unseen == {"colour": {"x": 2, "y": 1}}


def test_a_value_that_no_row_has_is_not_reported() -> None:
    """A dictionary may list more than its rows hold."""
    _, findings = encode_rows([COLOUR], {"colour": Text(["red", "x"], np.array([0, 0, -1]))})
    assert findings.unseen == {}


@pytest.mark.parametrize("column", [np.array([]), np.array([np.nan, np.nan])])
def test_no_value_is_out_of_no_range(column: np.ndarray) -> None:
    """Neither a batch without rows nor one without values is unusual."""
    X, findings = encode_rows([SIZE], {"size": column})
    assert X.shape == (len(column), 1)
    assert findings == Findings()


def test_a_column_that_was_empty_in_training_has_no_range() -> None:
    """Without a least and a greatest value nothing is out of range."""
    empty = Feature(name="size", type="number", missing=1.0, shares=[])
    assert encode_rows([empty], {"size": np.array([1e9])})[1] == Findings()


def test_findings_of_batches_add_up_and_stay_small() -> None:
    """Rows are counted; of the different unseen values only some are kept by name, so that memory stays constant."""
    total = Findings()
    for batch in range(10):
        values = {f"{batch}-{i}": 2 for i in range(100)} | {"often": 1}
        total.add(Findings({"size": 3}, {"colour": values}))
    assert total.out_of_range == {"size": 30}
    assert len(total.unseen["colour"]) == KEPT + 1
    assert sum(total.unseen["colour"].values()) == 2010
    assert total.unseen["colour"][OTHERS] == 2010 - 2 * KEPT
