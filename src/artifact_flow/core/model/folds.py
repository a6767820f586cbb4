"""Folds: the parts of the train split that score a model in turn.

With a split by group, a group is in one fold. With one in time, a fold follows the rows that its model is fitted on.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.params import PARAMS, Task
from artifact_flow.core.table.splits import Key


@dataclass(frozen=True)
class FoldPlan:
    """How many folds are drawn, by which seed and for which task; `name` is the parameter that holds the count."""

    name: str
    count: int
    seed: int
    task: Task


def draw_folds(plan: FoldPlan, y: np.ndarray, key: Key | None = None) -> np.ndarray:
    """Return the number of the fold that scores each row of y, int64 of shape [rows].

    The folds are drawn by the seed, stratified for a classification, as scikit-learn's KFold classes do. With a `key`
    by group, whole groups are drawn. With one by time, the folds follow each other as TimeSeriesSplit's do: rows of
    equal time are in one fold, and the first rows, which none scores, have -1. Raises ParamsError when there are too
    few rows, groups or times.
    """
    try:
        if key is not None and is_in_time(key):
            return _cut_in_time(plan.count, key.values)
        return _draw(plan, y, key.values if key is not None and key.by == "group" else None)
    except ValueError as error:
        raise ParamsError(
            f"{PARAMS}: {plan.name} is {plan.count}, but the train split cannot be split so: "
            f"{' '.join(str(error).split()).rstrip('.')}; choose fewer folds."
        ) from error


def split_folds(plan: FoldPlan, y: np.ndarray, key: Key | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each fold the indices of the rows that its model is fitted on, and of those that it is scored on."""
    folds, in_time = draw_folds(plan, y, key), is_in_time(key)
    parts = (rows_of_fold(folds, fold, in_time) for fold in range(plan.count))
    return [(np.flatnonzero(fit), np.flatnonzero(held)) for fit, held in parts]


def is_in_time(key: Key | None) -> bool:
    """Return whether folds follow each other in time, as those of a split by time do."""
    return key is not None and key.by == "time"


def rows_of_fold(folds: np.ndarray, fold: int, in_time: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows a fold's model is fitted on, and which it is scored on, each bool of shape [rows]."""
    return (folds < fold if in_time else folds != fold), folds == fold


def _draw(plan: FoldPlan, y: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    if groups is None:
        kind = StratifiedKFold if plan.task == "classification" else KFold
    else:
        kind = StratifiedGroupKFold if plan.task == "classification" else GroupKFold
        found = len(np.unique(groups))
        if found < plan.count:
            raise ValueError(f"it has {found} groups")
    fold = np.empty(len(y), dtype=np.int64)
    parts = kind(plan.count, shuffle=True, random_state=plan.seed).split(np.zeros(len(y)), y, groups)
    for number, (_, held_out) in enumerate(parts):
        fold[held_out] = number
    return fold


def _cut_in_time(count: int, times: np.ndarray) -> np.ndarray:
    places = np.searchsorted(np.sort(times), times)  # equal times have the place of their first row
    size = len(times) // (count + 1)
    if size == 0:
        raise ValueError(f"it has {len(times)} rows, and folds in time need {count + 1}")
    folds = np.maximum((places - (len(times) - count * size)) // size, -1)
    if len(np.unique(folds)) != count + 1:
        raise ValueError("too many rows have equal times")
    return folds.astype(np.int64)
