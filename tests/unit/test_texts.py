"""A column of free text: its rows, its description, its words in the pickle and in ONNX."""

import io

import joblib
import numpy as np
import pytest

from artifact_flow.core.base.contract import Contract, Target, describe_features
from artifact_flow.core.base.encoding import Column, Text, encode_rows, measure_rows
from artifact_flow.core.base.errors import InapplicableError, ParamsError
from artifact_flow.core.base.params import TextParams, TrainParams
from artifact_flow.core.model.artifacts import start_session
from artifact_flow.core.model.models import build_model, fit_model
from artifact_flow.core.model.predictions import predict_rows, run_portable
from artifact_flow.core.model.vectorizer import Vectorizer, lower
from artifact_flow.portable.export import check_parity, export_model, serialize

TEXTS = [
    "Hello World, hello a b cd",
    "ÀÉÎ über straße ΣΑΣ",
    "don't stop: it's 12 3 4.5",
    "under_score foo-bar\tand\r\nlines",
    "日本 語 テスト ²³",
    "İstanbul ﬁne ⅷ 😀",
    "nul\x00nul",
    "x",
]
TYPES = {"size": "number", "note": "text", "kind": "category", "label": "text"}
TRAIN = TrainParams(estimator="sklearn.linear_model.LogisticRegression", threads=1)


def columns() -> dict[str, Column]:
    """Return raw columns of 32 rows: a number, a text with gaps, a category, and a text named as an output of ONNX."""
    places = np.arange(32)
    return {
        "size": places % 7.0,
        "note": Text(TEXTS, places % 9 - 1),
        "kind": Text(["a", "b"], places % 2),
        "label": Text(TEXTS, places % 8),
    }


def test_a_text_stays_a_text_and_a_missing_one_is_empty() -> None:
    """The matrix is of objects; as numbers, it has the lengths, which the contract describes, and no text."""
    features = describe_features(TYPES, columns())
    X, findings = encode_rows(features, columns(), np.float32)
    assert X[:2].tolist() == [[0.0, "", 0, TEXTS[0]], [1.0, TEXTS[0], 1, TEXTS[1]]]
    assert not findings.unseen
    assert not findings.out_of_range
    assert measure_rows(features, X)[:2, 1] == pytest.approx([np.nan, len(TEXTS[0])], nan_ok=True)
    note = features[1]
    assert (note.min, note.max, note.categories) == (1, len(TEXTS[3]), None)
    assert note.missing == pytest.approx(4 / 32)


@pytest.mark.long
@pytest.mark.parametrize(
    "words", [{}, {"ngram_range": [1, 2], "max_features": 12}, {"ngram_range": [2, 3]}, {"min_df": 4}]
)
def test_onnx_splits_and_counts_words_as_the_pickle_does(words: dict[str, object]) -> None:
    """Letters of all alphabets, digits, marks, gaps; single words and neighbours."""
    features = describe_features(TYPES, columns(), centred=True)
    X, _ = encode_rows(features, columns())
    y = np.arange(len(X)) % 3 // 2
    model = fit_model(build_model(TRAIN, "classification", features, "auto", TextParams(**words)), X, y, TRAIN)
    session = start_session(serialize(export_model(model, contract_of(features), 17, X), ""))
    assert [one.name for one in session.get_inputs()] == ["size", "note", "kind", "label_"]
    found, expected = run_portable(session, features, X), predict_rows(model, X, ["n", "p"])
    assert check_parity(expected, found, y, 1e-6)[1] == 0


def test_stop_words_among_neighbours_have_no_onnx() -> None:
    """Scikit-learn leaves stop words out before it counts neighbours."""
    features = describe_features(TYPES, columns(), centred=True)
    X, _ = encode_rows(features, columns())
    words = TextParams(stop_words="english", ngram_range=[1, 2])
    model = fit_model(build_model(TRAIN, "classification", features, "auto", words), X, np.arange(32) % 2, TRAIN)
    with pytest.raises(InapplicableError, match=r"data\.text has stop_words and an ngram_range above 1"):
        export_model(model, contract_of(features), 17, X)


def test_no_estimator_takes_text_as_it_is() -> None:
    """Without pre-processing the sentence names the columns."""
    features = describe_features(TYPES, columns())
    with pytest.raises(ParamsError, match="note, kind, label is text, which no estimator accepts; allowed: auto"):
        build_model(TRAIN, "classification", features)


def test_a_vectorizer_s_pickle_holds_no_address() -> None:
    """Scikit-learn remembers the stop words by where they are in memory, which differs from process to process."""
    fitted = Vectorizer(10, (1, 1), 1).fit(TEXTS)
    file = io.BytesIO()
    joblib.dump(fitted, file)
    assert b"_stop_words_id" not in file.getvalue()
    assert lower("ΣΑΣ İ") == "σασ i"  # noqa: RUF001


def contract_of(features: list[object]) -> Contract:
    """Return the contract of a model with these features and two classes."""
    target = Target(name="y", task="classification", classes=["n", "p"])
    return Contract(version=2, target=target, id=None, rows={}, params={}, sha256={}, libraries={}, features=features)
