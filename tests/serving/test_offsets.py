"""Values that float32 would round to one are centred first, the same way in every step; all others stay as they are."""

import numpy as np
import pytest

from artifact_flow.core.base.contract import Contract, describe_features
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.serving.drift import measure_drift
from artifact_flow.serving.rows import Rows

DAYS = 19750 + np.linspace(0, 3, 400)  # moments within three days
LONG = 4_000_123_412_340_000 + np.arange(400.0) * 7
TYPES = {"when": "date", "card": "number", "size": "number"}
COLUMNS = {"when": DAYS, "card": LONG, "size": np.linspace(-3, 900, 400)}


def test_only_what_float32_would_round_gets_an_offset_and_only_before_a_preprocessor() -> None:
    """Without one, an estimator sees the values as the table has them."""
    features = describe_features(TYPES, COLUMNS, centred=True)  # type: ignore[arg-type]
    assert [feature.offset for feature in features] == [19750.0, 4_000_123_412_340_000.0, None]
    plain = describe_features(TYPES, COLUMNS)  # type: ignore[arg-type]
    assert [feature.offset for feature in plain] == [None] * 3
    assert [feature.model_copy(update={"offset": None}) for feature in features] == plain
    constant = describe_features({"a": "number"}, {"a": np.full(9, 1e9)}, centred=True)
    assert constant[0].offset is None


def test_encoding_the_service_and_drift_agree_on_an_offset() -> None:
    """The model sees the difference, exact in float32; drift sees the values themselves."""
    features = describe_features(TYPES, COLUMNS, centred=True)  # type: ignore[arg-type]
    X, findings = encode_rows(features, COLUMNS, np.float32)
    assert not findings.out_of_range
    assert X[:, 1].tolist() == (np.arange(400) * 7).tolist()
    assert len(np.unique(X[:, 0])) == 400
    assert X[:, 2] == pytest.approx(COLUMNS["size"], rel=1e-6)
    assert {column.status for column in measure_drift(features, X, 400, min_rows=100).columns} == {"ok"}
    contract = Contract.model_validate(
        {
            "version": 2,
            "target": {"name": "y", "task": "regression", "classes": []},
            "id": None,
            "rows": {"train": 400, "test": 1},
            "params": {"data": {"preprocess": "auto"}},
            "sha256": {},
            "libraries": {},
            "features": features,
        }
    )
    _, encoded = Rows(contract, max_rows=9).read_many(
        b'[{"when": "2024-01-28T12:00", "card": 4000123412340007, "size": 1.5}, {}]'
    )
    assert encoded[0].tolist() == [0.5, 7, 1.5]
    assert np.isnan(encoded[1]).all()
