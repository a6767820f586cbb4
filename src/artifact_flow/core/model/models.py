"""Models: builds an estimator from parameters and fits it. Pure: reads and writes no file.

With `data.preprocess: auto`, an imputer, a one-hot encoder, a scaler and a vectorizer of texts, built from the
contract's features, precede the estimator, so that the model takes rows as `encoding` returns them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import get_tags

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.params import PARAMS, Task, TextParams, TrainParams
from artifact_flow.core.model.estimators import build_estimator, explain_refusal
from artifact_flow.core.model.fixed_fit import fit
from artifact_flow.core.model.vectorizer import Vectorizer

TREES = ("sklearn.tree.", "sklearn.ensemble.", "xgboost.", "lightgbm.")  # modules of estimators made of trees


def build_preprocessor(
    features: Sequence[Feature], scale: bool = True, text: TextParams | None = None, sparse: bool = False
) -> ColumnTransformer:
    """Return the transformer of encoded rows [rows, features] into numbers, none missing and, with `scale`, scaled.

    Numbers, booleans and dates: missing values become the median, then the column gets mean 0 and standard deviation 1.
    Categories: one column per value, and one for "missing" if the train split has missing values; an unseen value has
    no column. Texts: a column per word of the train split, tf-idf with the arguments `text`; then, with `sparse`, the
    result is a sparse matrix.
    """
    places = {kind: [i for i, feature in enumerate(features) if feature.type == kind] for kind in ("category", "text")}
    categories, texts = places["category"], places["text"]
    numbers = [i for i in range(len(features)) if i not in {*categories, *texts}]
    codes = [np.arange(len(features[i].categories or ()) + (features[i].missing > 0), dtype=float) for i in categories]
    steps: list[tuple[str, Any, list[int] | int]] = []
    if numbers:
        impute = SimpleImputer(strategy="median", keep_empty_features=True)
        scaled = Pipeline([("impute", impute), ("scale", StandardScaler())])
        steps.append(("numbers", scaled if scale else impute, numbers))
    if categories:
        encode = OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False)
        if texts:  # beside which codes are objects
            encode = Pipeline([("numbers", FunctionTransformer(validate=True)), ("encode", encode)])
        steps.append(("categories", encode, categories))
    words = text or TextParams()
    steps += [
        (f"text_{i}", Vectorizer(words.max_features, tuple(words.ngram_range), words.min_df, words.stop_words), i)
        for i in texts
    ]
    return ColumnTransformer(steps, sparse_threshold=1.0 if texts and sparse else 0)


def build_model(
    params: TrainParams,
    task: Task,
    features: Sequence[Feature] = (),
    preprocess: Literal["none", "auto"] = "none",
    text: TextParams | None = None,
) -> Any:
    """Return the unfitted estimator of `params`, with `preprocess` "auto" preceded by the preprocessor of `features`.

    `text` says how texts become numbers.

    Raises ParamsError when the estimator is not for `task` or cannot take such columns.
    """
    estimator = build_estimator(params)
    fits = {"classification": is_classifier, "regression": is_regressor}[task]
    if not _ask(fits, estimator, params):
        wanted = {"classification": "a classifier", "regression": "a regressor"}[task]
        raise ParamsError(
            f"{PARAMS}: train.estimator is {params.estimator}, but the target requires {task}; allowed: {wanted}."
        )
    if preprocess == "auto":
        # trees need no scaling, and with it a rounding error could move a value across a threshold
        sparse = get_tags(estimator).input_tags.sparse
        preprocessor = build_preprocessor(features, not _is_tree(estimator), text, sparse)
        steps = estimator.steps if isinstance(estimator, Pipeline) else [("estimator", estimator)]
        if any(name == "preprocess" for name, _ in steps):
            raise ParamsError(
                f"{PARAMS}: train.steps has a step named preprocess, which is the name of the step that "
                "data.preprocess: auto adds; allowed: any other name."
            )
        return Pipeline([("preprocess", preprocessor), *steps])
    texts = [feature.name for feature in features if feature.type in ("category", "text")]
    if texts:
        raise ParamsError(
            f"{PARAMS}: data.preprocess is none, but {', '.join(texts)} is text, which no estimator accepts; "
            "allowed: auto."
        )
    return estimator


def fit_model(model: Any, X: np.ndarray, y: np.ndarray, params: TrainParams) -> Any:
    """Return `model`, built from `params`, fitted on X of shape [rows, features] and y of shape [rows].

    With `arithmetic: fixed` a model that has a fit in fixed order gets it; any other is fitted by scikit-learn.

    Raises ParamsError naming the key when the estimator rejects a value.
    """
    try:
        return fit(model, X, y, fixed=params.arithmetic == "fixed")
    except Exception as error:  # scikit-learn's estimators raise various exceptions
        raise ParamsError(explain_refusal(params, error)) from error


def final_step(estimator: Any) -> Any:
    """Return the estimator behind the pre-processing steps of a pipeline; another estimator as it is."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def _ask(is_kind: Callable[[Any], bool], estimator: Any, params: TrainParams) -> bool:
    """Return whether an estimator is of a kind; raise ParamsError when it cannot tell, for want of one inside it."""
    try:
        return is_kind(estimator)
    except Exception as error:  # what an incomplete estimator raises depends on its class
        raise ParamsError(
            f"{PARAMS}: train: {params.estimator} is incomplete: give the estimators that it needs inside, for example "
            "keywords: {estimator: {estimator: sklearn.svm.LinearSVC}}."
        ) from error


def _is_tree(estimator: Any) -> bool:
    """Return whether an estimator is made of trees only, so that it needs no scaled features."""
    inside = [part for part in estimator.get_params(deep=True).values() if hasattr(part, "predict")]
    return all(type(part).__module__.startswith(TREES) for part in (estimator, *inside))
