"""Search: the candidates of `train.search`, their scores on the folds, and the best candidate. Pure.

The caller decides where the fits run: a `Run` executes them in any order and in any process. Each fit seeds its own
process and depends only on its candidate and its rows, so that neither order nor process can change a score.
"""

import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring, get_scorer_names

from artifact_flow.core.base.contract import plain
from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.errors import ParamsError, closest
from artifact_flow.core.base.figures import round_figure
from artifact_flow.core.base.params import PARAMS, SearchParams, Task, TrainParams
from artifact_flow.core.model.folds import FoldPlan, draw_folds, is_in_time, rows_of_fold
from artifact_flow.core.table.splits import Key

FACTOR = 3  # halving: each round keeps a third of the candidates, on three times the rows, as in scikit-learn

Build: TypeAlias = Callable[[TrainParams], Any]


@dataclass(frozen=True)
class Bench:
    """What all fits of a search share; it is sent to each worker once.

    X has shape [rows, features]. y, `fold` (as `folds.draw_folds` returns it) and `place` (the row's position in a
    seeded order, of which a round takes the first rows) have shape [rows]. With `in_time` the folds are in time.
    """

    X: np.ndarray
    y: np.ndarray
    fold: np.ndarray
    place: np.ndarray
    search: SearchParams
    threads: int
    in_time: bool = False

    def rows_of(self, fold: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of a fold's rows to fit and to score, among the first `rows` of the order."""
        fitted, scored = rows_of_fold(self.fold, fold, self.in_time)
        taken = self.place < rows
        return np.flatnonzero(taken & fitted), np.flatnonzero(taken & scored)


@dataclass(frozen=True)
class Fit:
    """One candidate on one fold: its unfitted model, the fold, and how many of the bench's rows to use."""

    model: Any
    fold: int
    rows: int


class Outcome(NamedTuple):
    """The score of a fit, or NaN and the reason if the estimator or the scorer failed or gave no finite number."""

    score: float
    refusal: str = ""


# Yields each fit's position in the sequence and its outcome, in any order.
Run: TypeAlias = Callable[[Bench, Sequence[Fit]], Iterable[tuple[int, Outcome]]]


@dataclass(frozen=True)
class Trial:
    """A candidate in a round: its outcome on each fold, with `rows` rows."""

    round: int
    rows: int
    arguments: Mapping[str, Any]
    outcomes: Sequence[Outcome]

    @property
    def mean(self) -> float:
        """The mean of the folds' scores; NaN if a fit failed."""
        # digits that are not reproducible could rank two equal candidates
        return round_figure(math.fsum(outcome.score for outcome in self.outcomes) / len(self.outcomes))

    @property
    def std(self) -> float:
        """The standard deviation of the folds' scores; NaN if a fit failed."""
        if math.isnan(self.mean):
            return math.nan
        scores = [outcome.score for outcome in self.outcomes]
        return round_figure(float(np.std(scores)), scale=max(map(abs, scores)))

    @property
    def refusal(self) -> str:
        """Why the candidate could not be fitted or scored, or ""."""
        return next((outcome.refusal for outcome in self.outcomes if outcome.refusal), "")

    @property
    def order(self) -> tuple[bool, int, float]:
        """The sort key of trials, best first: scored before failed, then the latest round, then the highest mean."""
        refused = math.isnan(self.mean)
        return refused, -self.round, 0.0 if refused else -self.mean


@dataclass(frozen=True)
class Found:
    """The result of a search: the best trial, and the `train` block that gives its model without a search."""

    params: TrainParams
    best: Trial
    trials: Sequence[Trial] = field(repr=False)


def search_best(
    params: TrainParams, build: Build, bench: Bench, run: Run, progress: Callable[[int, int], object]
) -> Found:
    """Return the best candidate of a bench's search (of equal ones the first) and the scores of every candidate.

    `params` is the `train` block, `build` makes the unfitted model of such a block, `run` executes the fits, and
    `progress` is called with the numbers of finished and of all fits. Raises ParamsError when a candidate cannot be
    built or every candidate fails.
    """
    build(params)  # raises ParamsError for a name in the space that the estimator does not have
    candidates = draw_candidates(bench.search)
    blocks = [_without_search(params, arguments) for arguments in candidates]
    models = [build(block) for block in blocks]
    folds, plan = bench.search.cv, [(len(candidates), len(bench.y))]
    if bench.search.strategy == "halving":
        classes = len(np.unique(bench.y)) if is_classifier(models[0]) else 1
        plan = plan_rounds(len(candidates), len(bench.y), smallest=2 * folds * classes)  # as scikit-learn
    done, total = 0, folds * sum(count for count, _ in plan)
    trials: list[Trial] = []
    left = list(range(len(candidates)))
    for number, (count, rows) in enumerate(plan):
        left = left[:count]
        fits = [Fit(models[candidate], fold, rows) for candidate in left for fold in range(folds)]
        outcomes = [Outcome(math.nan)] * len(fits)
        for place, outcome in run(bench, fits):
            outcomes[place] = outcome
            done += 1
            progress(done, total)
        parts = [outcomes[start : start + folds] for start in range(0, len(fits), folds)]
        found = {
            candidate: Trial(number, rows, candidates[candidate], part)
            for candidate, part in zip(left, parts, strict=True)
        }
        trials += found.values()
        left = sorted(found, key=lambda candidate: (found[candidate].order, candidate))
    best = found[left[0]]
    if best.refusal:
        raise ParamsError(
            f"{PARAMS}: train.search: every candidate failed, {show_arguments(best.arguments)} because: "
            f"{best.refusal.rstrip('.')}."
        )
    return Found(blocks[left[0]], best, trials)


def prepare_bench(  # noqa: PLR0913, PLR0917 - the one place that collects what a bench holds
    search: SearchParams, task: Task, X: np.ndarray, y: np.ndarray, threads: int, key: Key | None = None
) -> Bench:
    """Return what all fits share, including the rows' folds; `key` is by what the table is split, if by something.

    Raises ParamsError when there are too few rows for `train.search.cv` or `train.search.scoring` names no scorer.
    """
    if search.scoring is not None and search.scoring not in get_scorer_names():
        raise ParamsError(
            f"{PARAMS}: train.search.scoring is {search.scoring!r}{closest(search.scoring, get_scorer_names())}; "
            f"allowed: null, {', '.join(get_scorer_names())}."
        )
    fold = draw_folds(FoldPlan("train.search.cv", search.cv, search.seed, task), y, key)
    place = np.random.RandomState(search.seed).permutation(len(y))
    return Bench(X, y, fold, place, search, threads, in_time=is_in_time(key))


def draw_candidates(search: SearchParams) -> list[dict[str, Any]]:
    """Return the combinations of arguments to try, in a fixed order: the whole space, or `budget` of them."""
    from sklearn.model_selection import ParameterGrid, ParameterSampler  # noqa: PLC0415

    drawn: Iterable[Mapping[str, Any]] = ParameterGrid(search.space)
    if search.budget is not None and search.budget < len(ParameterGrid(search.space)):
        drawn = ParameterSampler(search.space, search.budget, random_state=search.seed)
    return [{name: arguments[name] for name in search.space} for arguments in drawn]


def plan_rounds(candidates: int, rows: int, smallest: int) -> list[tuple[int, int]]:
    """Return (candidates, rows) of each round of successive halving; the last compares up to three on all rows.

    No round has fewer rows than `smallest`, unless there are fewer in all.
    """
    counts = [candidates]
    while counts[-1] > FACTOR and rows // FACTOR ** len(counts) >= smallest:
        counts.append(-(-counts[-1] // FACTOR))
    return [(count, rows // FACTOR ** (len(counts) - 1 - number)) for number, count in enumerate(counts)]


def score_fit(bench: Bench, fit: Fit) -> Outcome:
    """Return the outcome of one candidate on one fold, with freshly seeded generators and warnings suppressed."""
    rows, held_out = bench.rows_of(fit.fold, fit.rows)
    with reproducible(bench.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = clone(fit.model).fit(bench.X[rows], bench.y[rows])
            score = check_scoring(model, bench.search.scoring)(model, bench.X[held_out], bench.y[held_out])
        except MemoryError:  # a fault of the machine, not of the candidate
            raise
        except Exception as error:  # scikit-learn's estimators raise various exceptions
            return Outcome(math.nan, " ".join(str(error).split()) or type(error).__name__)
    if not math.isfinite(score):
        return Outcome(math.nan, f"its score of {len(held_out)} rows is {float(score)}")
    return Outcome(round_figure(score))


def tabulate_trials(trials: Sequence[Trial]) -> pa.Table:
    """Return the rows of search.csv, one per trial, with the names of scikit-learn's `cv_results_` without the times.

    `params` holds a trial's arguments as one text, which the plot parses. Without trials there are no rows.
    """
    orders = [trial.order for trial in trials]
    ranks: dict[tuple[bool, int, float], int] = {}
    for rank, order in enumerate(sorted(orders), start=1):
        ranks.setdefault(order, rank)  # equal trials share the best rank
    columns: dict[str, Any] = {
        "iter": pa.array([trial.round for trial in trials], pa.int64()),
        "n_resources": pa.array([trial.rows for trial in trials], pa.int64()),
        "params": pa.array([show_arguments(trial.arguments) for trial in trials], pa.string()),
        "mean_test_score": _numbers(trial.mean for trial in trials),
        "std_test_score": _numbers(trial.std for trial in trials),
        "rank_test_score": pa.array([ranks[order] for order in orders], pa.int64()),
    }
    if trials:
        for fold in range(len(trials[0].outcomes)):
            columns[f"split{fold}_test_score"] = _numbers(trial.outcomes[fold].score for trial in trials)
        for name in trials[0].arguments:
            columns[f"param_{name}"] = pa.array([_show(trial.arguments[name]) for trial in trials], pa.string())
    return pa.table(columns)


def show_arguments(arguments: Mapping[str, Any]) -> str:
    """Return a candidate's arguments as one text, such as "C=0.1; penalty=l2"."""
    return "; ".join(f"{name}={_show(value)}" for name, value in arguments.items())


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def _numbers(values: Iterable[float]) -> pa.Array:
    return pa.array([None if math.isnan(value) else value for value in values], pa.float64())


def _without_search(params: TrainParams, arguments: Mapping[str, Any]) -> TrainParams:
    """Return the block that gives a candidate's model: its arguments replace those of the same name."""
    kept = {name: value for name, value in (params.keywords or {}).items() if name not in arguments}
    return TrainParams(
        estimator=params.estimator, threads=params.threads, keywords=kept or None, **{**params.others, **arguments}
    )
