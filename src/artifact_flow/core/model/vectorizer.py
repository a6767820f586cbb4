"""Vectorizer: the texts of a column become numbers, by the same rules in the pickle and in ONNX."""

from collections.abc import Callable
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer

# Python writes these two capitals in lower case by their neighbours or as two characters; ONNX Runtime does not.
SIMPLE = str.maketrans({"\u0130": "i", "\u03a3": "\u03c3"})


class Vectorizer(TfidfVectorizer):  # type: ignore[misc]
    """Scikit-learn's TfidfVectorizer with letters in lower case one by one, and a pickle of reproducible bytes."""

    def __init__(  # noqa: D107 - scikit-learn reads an estimator's arguments from this signature
        self,
        max_features: int,
        ngram_range: tuple[int, ...],
        min_df: int,
        stop_words: Any = None,
    ) -> None:
        super().__init__(max_features=max_features, ngram_range=ngram_range, min_df=min_df, stop_words=stop_words)

    def build_preprocessor(self) -> Callable[[str], str]:
        """Return the function that is called for each text before it is split into words."""
        return lower

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: without an address in memory, which is another one in each process."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_stop_words_id"}


def lower(text: str) -> str:
    """Return a text in lower case, with as many characters."""
    return text.translate(SIMPLE).lower()
