"""Words: the vectorizer of a column of texts as ONNX nodes, which split and count as scikit-learn does.

skl2onnx's own converter takes words of ASCII letters only. The nodes here take the same words as Python does; the one
that splits them, Tokenizer, belongs to ONNX Runtime and is not in the standard.
"""

from typing import Any

import numpy as np
from onnx import TensorProto

from artifact_flow.core.base.errors import InapplicableError
from artifact_flow.core.model.vectorizer import Vectorizer

WORD = r"[\p{L}\p{N}_]{2,}"  # as \b\w\w+\b in Python
LOCALE = "C.UTF-8"  # of the letters in lower case: the one that every Linux image has
RUNTIME, ML = "com.microsoft", "ai.onnx.ml"  # domains of operators


def convert_words(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted vectorizer to skl2onnx's graph; raise InapplicableError if none predict the same."""
    vectorizer: Vectorizer = operator.raw_operator
    if vectorizer.stop_words and max(vectorizer.ngram_range) > 1:
        raise InapplicableError(
            "data.text has stop_words and an ngram_range above 1, and ONNX does not leave words out before it counts "
            "neighbours"
        )
    names = [operator.inputs[0].full_name]

    def add(kind: str, others: tuple[str, ...] = (), domain: str = "", version: int | None = None, **of: Any) -> None:
        output = scope.get_unique_variable_name(kind.lower())
        node = scope.get_unique_operator_name(kind)
        container.add_node(kind, [names[-1], *others], output, name=node, op_domain=domain, op_version=version, **of)
        names.append(output)

    flat, weights = (scope.get_unique_variable_name(f"words_{name}") for name in ("flat", "weights"))
    container.add_initializer(flat, TensorProto.INT64, [1], [-1])
    container.add_initializer(weights, TensorProto.FLOAT, [len(vectorizer.idf_)], vectorizer.idf_.astype(np.float32))
    add("Reshape", (flat,), version=13)
    add("StringNormalizer", version=10, case_change_action="LOWER", is_case_sensitive=0, locale=LOCALE)
    add("Tokenizer", domain=RUNTIME, version=1, mark=0, mincharnum=1, pad_value="#", tokenexp=WORD)
    add("TfIdfVectorizer", version=9, **_count_attributes(vectorizer))
    add("Mul", (weights,), version=13)  # the standard and ONNX Runtime differ in the order of this node's own weights
    container.add_node(
        "Normalizer",
        names[-1],
        operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Normalizer"),
        op_domain=ML,
        op_version=1,
        norm="L2",
    )


def shape_words(operator: Any) -> None:
    """Tell skl2onnx what a vectorizer's output is: a float32 matrix with a column for each word."""
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    operator.outputs[0].type = FloatTensorType([None, len(operator.raw_operator.vocabulary_)])


def _count_attributes(vectorizer: Vectorizer) -> dict[str, Any]:
    """Return the attributes of the node that counts words, and words in a row."""
    least, most = vectorizer.ngram_range
    places = sorted(vectorizer.vocabulary_.items(), key=lambda item: (item[0].count(" "), item[1]))
    pool, starts = list[str](), list[int]()
    for term, _ in places:
        words = term.split(" ")
        while len(starts) < len(words):
            starts.append(len(pool))
        pool += words
    starts += [len(pool)] * (most - len(starts))
    return {
        "mode": "TF",
        "min_gram_length": least,
        "max_gram_length": most,
        "max_skip_count": 0,
        "pool_strings": pool,
        "ngram_counts": starts,
        "ngram_indexes": [place for _, place in places],
    }
