"""Metrics: what `infer` adds to metrics.json on request: scorers, one's own functions, classes, costs, folds. Pure.

A metric of one's own is a function in the package `own`, which the stage `infer` depends on.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from sklearn import metrics
from sklearn.base import clone
from sklearn.metrics import get_scorer, get_scorer_names

from artifact_flow.core.base.errors import ArtifactFlowError, ParamsError, closest
from artifact_flow.core.base.figures import round_figure
from artifact_flow.core.base.params import PARAMS, InferParams
from artifact_flow.core.model.fixed_fit import fit
from artifact_flow.core.model.folds import FoldPlan, split_folds
from artifact_flow.core.model.imports import import_function
from artifact_flow.core.model.own_code import OWN
from artifact_flow.core.model.predictions import FIXED, Predictions, predict_rows
from artifact_flow.core.model.scoring import USUAL, score_rows, unit_of
from artifact_flow.core.table.tables import Table

COST = "cost"


@dataclass(frozen=True)
class Scored:
    """Rows with what a fitted estimator predicts for them: X [rows, features], the target y and class names, if any."""

    estimator: Any
    X: np.ndarray
    y: np.ndarray
    predictions: Predictions
    classes: Sequence[str]

    def name(self, values: np.ndarray) -> np.ndarray:
        """Return class indices as class names; numbers as they are."""
        return np.array(self.classes)[values] if self.classes else values


Measure: TypeAlias = Callable[[Scored], float]


@dataclass(frozen=True)
class Metric:
    """A metric by its name in metrics.json: how it is measured, and the scale at which a value is rounded."""

    name: str
    place: str  # where params.yaml asks for it
    measure: Measure
    scale: Callable[[float], float | None]


def find_metrics(params: InferParams, classes: Sequence[str]) -> list[Metric]:
    """Return the metrics that a block `infer` asks for, in its order; `classes` is empty for a regression.

    Raises ParamsError when a name is no scorer, a function cannot be imported, or a class does not exist.
    """
    found = [_find_metric(name) for name in params.metrics or ()]
    if params.per_class:
        found += _per_class(classes)
    if params.costs is not None:
        costs = read_costs(params, classes)
        found.append(Metric(COST, "infer.costs", lambda scored: mean_cost(scored, costs), _as_it_is))
    names = [metric.name for metric in found]
    twice = next((metric for metric in found if names.count(metric.name) > 1 or _hides_usual(metric)), None)
    if twice:
        raise ParamsError(f"{PARAMS}: {twice.place} is a second metric named {twice.name}: rename it, or remove it.")
    return found


def _hides_usual(metric: Metric) -> bool:
    return metric.name in USUAL and metric.place.endswith(f".{metric.name}")


def measure(found: Sequence[Metric], scored: Scored, where: str) -> tuple[dict[str, float], list[str]]:
    """Return name → value of the usual metrics and of each that has a value for these rows, and notes about the others.

    Raises ParamsError when a metric is not for such a model, or one's own function fails or returns no number.
    """
    values, notes = score_rows(scored.y, scored.predictions, scored.classes), []
    for metric in found:
        if metric.name in values:
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value = float(metric.measure(scored))
            except ArtifactFlowError:
                raise
            except Exception as error:  # scorers, and functions of one's own, raise various exceptions
                reason = " ".join(str(error).split()).rstrip(".")
                raise ParamsError(
                    f"{PARAMS}: {metric.place} cannot be measured over the {where} rows: "
                    f"{f'{type(error).__name__}: {reason}' if reason else type(error).__name__}."
                ) from error
        said = "; ".join(dict.fromkeys(" ".join(str(warning.message).split()).rstrip(".") for warning in caught))
        if math.isfinite(value):
            values[metric.name] = round_figure(value, scale=metric.scale(value))
        else:
            notes.append(f"{where} has no {metric.name}, which is {value}" + (f": {said}" if said else ""))
    return values, notes


def score_folds(
    count: int, estimator: Any, X: np.ndarray, train: Table, found: Sequence[Metric]
) -> tuple[dict[str, float], list[str]]:
    """Return the mean and standard deviation over `count` folds of each metric of the estimator, and notes.

    X is the train split's, of shape [rows, features]. Clones of the estimator are fitted, with its arguments; the folds
    are drawn by `data.seed` as those of a search are. "accuracy_std" is the deviation of "accuracy". A metric that has
    no value in some fold is left out. Raises ParamsError when there are too few rows for the folds.
    """
    plan = FoldPlan("infer.cross_validation", count, train.roles.params.seed, train.roles.task)
    parts = split_folds(plan, train.y, train.key)
    scores: list[dict[str, float]] = []
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stage `train` showed those of the final fit
        for fold, (kept, held) in enumerate(parts, start=1):
            scored = _fit_and_predict(estimator, X, train, kept, held)
            values, left_out = measure(found, scored, f"fold {fold}")
            scores.append(values)
            notes += left_out
    summary = {}
    for name in scores[0]:
        of_folds = [each[name] for each in scores if name in each]
        if len(of_folds) == count:
            summary[name] = round_figure(math.fsum(of_folds) / count, scale=max(map(abs, of_folds)))
            summary[f"{name}_std"] = round_figure(float(np.std(of_folds)), scale=max(map(abs, of_folds)))
    return summary, notes


def _fit_and_predict(estimator: Any, X: np.ndarray, train: Table, kept: np.ndarray, held: np.ndarray) -> Scored:
    """Return the rows `held` with what a clone of the estimator, fitted on the rows `kept`, predicts for them."""
    classes = train.roles.classes
    try:
        model = fit(clone(estimator), X[kept], train.y[kept], fixed=hasattr(estimator, FIXED))
    except Exception as error:  # scikit-learn's estimators raise various exceptions
        raise ParamsError(
            f"{PARAMS}: infer.cross_validation: the estimator cannot be fitted without one fold: "
            f"{' '.join(str(error).split()).rstrip('.')}; choose fewer folds."
        ) from error
    return Scored(model, X[held], train.y[held], predict_rows(model, X[held], classes), classes)


def read_costs(params: InferParams, classes: Sequence[str]) -> np.ndarray:
    """Return `infer.costs` as a matrix [actual class, predicted class]; a pair that is not named costs nothing.

    Raises ParamsError for a name that is no class, and for a regression.
    """
    if not classes:
        raise ParamsError(f"{PARAMS}: infer.costs is for classes, and the target is a number: remove it.")
    costs = np.zeros((len(classes), len(classes)))
    place = {name: index for index, name in enumerate(classes)}
    for actual, row in (params.costs or {}).items():
        for name in (actual, *row):
            if str(name) not in place:
                raise ParamsError(
                    f"{PARAMS}: infer.costs names {name}, which is no class{closest(str(name), classes)}; allowed: "
                    f"{', '.join(classes)}."
                )
        for predicted, cost in row.items():
            costs[place[str(actual)], place[str(predicted)]] = cost
    return costs


def mean_cost(scored: Scored, costs: np.ndarray) -> float:
    """Return the mean cost of a row, by a matrix [actual class, predicted class]."""
    return math.fsum(costs[scored.y, scored.predictions.values]) / len(scored.y)


def _find_metric(name: str) -> Metric:
    if name in get_scorer_names():
        scorer = get_scorer(name)
        scale = _as_it_is if name.startswith("neg_") or name.endswith("likelihood_ratio") else unit_of
        return Metric(
            name, f"infer.metrics: {name}", lambda scored: scorer(scored.estimator, scored.X, scored.y), scale
        )
    if "." not in name:
        raise ParamsError(
            f"{PARAMS}: infer.metrics names {name!r}, which is no scorer{closest(name, get_scorer_names())}; allowed: "
            f"{', '.join(get_scorer_names())}, or the import path of a function in src/{OWN}."
        )
    function = import_function(name, "infer.metrics")
    takes = "probabilities" in inspect.signature(function).parameters

    def measured(scored: Scored) -> float:
        given = {"probabilities": scored.predictions.probabilities} if takes else {}
        value = function(scored.name(scored.y), scored.name(scored.predictions.values), **given)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"it returns {value!r}, which is not a number")
        return float(value)

    return Metric(name.rpartition(".")[2], f"infer.metrics: {name}", measured, _as_it_is)


def _per_class(classes: Sequence[str]) -> list[Metric]:
    """Return the recall and the precision of each class."""
    if not classes:
        raise ParamsError(f"{PARAMS}: infer.per_class is true, but the target is a number, which has no classes.")

    def of(score: Callable[..., Any], label: int) -> Measure:
        return lambda scored: float(
            score(scored.y, scored.predictions.values, labels=[label], average="macro", zero_division=np.nan)
        )

    scores: Mapping[str, Callable[..., Any]] = {"recall": metrics.recall_score, "precision": metrics.precision_score}
    return [
        Metric(f"{kind}.{name}", "infer.per_class", of(score, label), unit_of)
        for kind, score in scores.items()
        for label, name in enumerate(classes)
    ]


def _as_it_is(value: float) -> None:
    """Return no scale: the value is rounded to significant digits of its own."""
