"""A search tries what it is told to, the same way wherever the fits run, and picks the first of the best."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.errors import ParamsError, ScaleError
from artifact_flow.core.base.params import SearchParams, TrainParams
from artifact_flow.core.model.handover import draw_contract
from artifact_flow.core.model.models import build_model
from artifact_flow.core.model.search import (
    Bench,
    Fit,
    Found,
    Outcome,
    Run,
    Trial,
    draw_candidates,
    plan_rounds,
    prepare_bench,
    score_fit,
    search_best,
    tabulate_trials,
)
from artifact_flow.core.table.tables import Table
from artifact_flow.scale.backend import BackendChoice, Growing, Loky, Serial, open_backend, read_choice

LOGISTIC, TREE = "sklearn.linear_model.LogisticRegression", "sklearn.tree.DecisionTreeClassifier"
SERIAL = Serial().run
DEPTHS = {"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]}


def search_params(space: dict[str, list[Any]], **keys: Any) -> SearchParams:
    """Return a `train.search` block: a grid on three folds, unless told otherwise."""
    return SearchParams(**{"strategy": "grid", "space": space, "cv": 3, **keys})


def backwards(bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
    """Do the fits in the wrong order, in a process that others have used the random generator of."""
    for place in reversed(range(len(fits))):
        np.random.default_rng()
        np.random.rand(place + 1)
        yield place, score_fit(bench, fits[place])


def search_iris(search: SearchParams, run: Run = SERIAL, estimator: str = TREE, **keywords: Any) -> Found:
    """Return what a search finds on the irises."""
    X, y = load_iris(return_X_y=True)
    params = TrainParams(estimator=estimator, threads=1, search=search, **keywords)
    bench = prepare_bench(search, "classification", X, y, params.threads)
    return search_best(params, partial(build_model, task="classification"), bench, run, lambda done, total: None)


def test_a_grid_is_the_whole_space_in_a_fixed_order() -> None:
    """Every combination once, its arguments in the order of the block."""
    candidates = draw_candidates(search_params(DEPTHS))
    assert len(candidates) == 6
    assert candidates[0] == {"max_depth": 1, "criterion": "gini"}
    assert [list(candidate) for candidate in candidates] == [["max_depth", "criterion"]] * 6
    assert candidates == draw_candidates(search_params(DEPTHS))


def test_a_budget_is_drawn_by_the_seed() -> None:
    """So many different ones of the grid, the same for a seed; never more than there are."""
    grid = draw_candidates(search_params(DEPTHS))
    drawn = [draw_candidates(search_params(DEPTHS, strategy="random", budget=4, seed=seed)) for seed in (0, 0, 1)]
    assert all(candidate in grid for candidate in drawn[0])
    assert len({str(candidate) for candidate in drawn[0]}) == 4
    assert drawn[0] == drawn[1] != drawn[2]
    assert draw_candidates(search_params(DEPTHS, strategy="random", budget=7)) == grid


@pytest.mark.parametrize(
    ("candidates", "rows", "smallest", "plan"),
    [
        (1, 100, 10, [(1, 100)]),
        (3, 100, 10, [(3, 100)]),
        (4, 100, 10, [(4, 33), (2, 100)]),
        (27, 900, 10, [(27, 100), (9, 300), (3, 900)]),
        (27, 900, 101, [(27, 300), (9, 900)]),
        (27, 900, 901, [(27, 900)]),
    ],
)
def test_halving_ends_with_up_to_three_on_all_rows(
    candidates: int, rows: int, smallest: int, plan: list[tuple[int, int]]
) -> None:
    """A third of the candidates goes on, on three times the rows, as long as the rows suffice."""
    assert plan_rounds(candidates, rows, smallest) == plan


@pytest.mark.long
def test_the_scores_are_those_of_scikit_learn() -> None:
    """Every fold's score of a candidate is what cross_val_score gives on the same folds."""
    found = search_iris(
        search_params({"C": [0.01, 1.0]}, scoring="neg_log_loss", seed=7), estimator=LOGISTIC, max_iter=500
    )
    X, y = load_iris(return_X_y=True)
    folds = StratifiedKFold(3, shuffle=True, random_state=7)
    for trial in found.trials:
        expected = cross_val_score(
            LogisticRegression(max_iter=500, **trial.arguments), X, y, cv=folds, scoring="neg_log_loss"
        )
        assert [outcome.score for outcome in trial.outcomes] == pytest.approx(expected, abs=1e-8)
    assert found.best.arguments == {"C": 1.0}


@pytest.mark.parametrize(
    "search",
    [
        search_params(DEPTHS),
        search_params(DEPTHS, strategy="random", budget=5, seed=3),
        search_params({"max_depth": [1, 2, 3, 4, 5, 6]}, strategy="halving"),
    ],
    ids=lambda search: search.strategy,
)
@pytest.mark.long
def test_neither_order_nor_place_changes_a_score(search: SearchParams) -> None:
    """An estimator without a seed of its own scores the same in any order and after any other work."""
    one, two = search_iris(search), search_iris(search, backwards)
    assert one.trials == two.trials
    assert one.best == two.best
    assert one.params == two.params


def test_of_equal_candidates_the_first_is_the_best() -> None:
    """A tie is decided by the order of the space, not by who was done first."""
    search = search_params({"random_state": [5, 4, 3], "max_depth": [2]})
    assert search_iris(search, backwards).best.arguments["random_state"] == 5


def test_the_best_block_is_the_one_written_by_hand() -> None:
    """No trace of the search is left in what the model is built from."""
    found = search_iris(search_params({"max_depth": [1, 3]}), min_samples_leaf=2, max_depth=1)
    assert found.params == TrainParams(estimator=TREE, threads=1, min_samples_leaf=2, max_depth=3)


def test_a_regression_is_searched_too() -> None:
    """Its folds are not stratified, and R² is its score."""
    X, y = load_diabetes(return_X_y=True)
    search = search_params({"alpha": [0.1, 1e6, 1e-3, 1e4]}, strategy="halving", cv=2)
    params = TrainParams(estimator="sklearn.linear_model.Ridge", threads=1, search=search)
    bench = prepare_bench(search, "regression", X, y, 1)
    told: list[tuple[int, int]] = []
    found = search_best(
        params, partial(build_model, task="regression"), bench, Serial().run, lambda *numbers: told.append(numbers)
    )
    assert found.best.arguments["alpha"] in (0.1, 1e-3)
    assert [(trial.round, trial.rows) for trial in found.trials] == [(0, 147)] * 4 + [(1, 442)] * 2
    assert told[-1] == (12, 12)


def test_a_refused_candidate_is_the_last_and_stops_nothing() -> None:
    """Its scores are empty, its rank is the last, and its reason is known."""
    found = search_iris(search_params({"C": ["one", 1.0]}), estimator=LOGISTIC)
    assert found.best.arguments == {"C": 1.0}
    assert "The 'C' parameter of LogisticRegression must be" in found.trials[0].refusal
    table = tabulate_trials(found.trials).to_pydict()
    assert table["rank_test_score"] == [2, 1]
    assert table["mean_test_score"][0] is table["std_test_score"][0] is table["split2_test_score"][0] is None


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        (
            search_params({"Cc": [1.0]}),
            f"train.search.space.Cc is not an argument of {LOGISTIC} (did you mean C?); allowed: C, class_weight,",
        ),
        (
            search_params({"C": ["one", -1.0]}),
            "train.search: every candidate failed, C=one because: The 'C' parameter of LogisticRegression must be",
        ),
        (search_params({"C": [1.0]}, scoring="acuracy"), "train.search.scoring is 'acuracy' (did you mean accuracy?)"),
        (search_params({"C": [1.0]}, scoring="roc_auc"), "train.search: every candidate failed, C=1.0 because: "),
        (
            search_params({"C": [1.0]}, cv=60),
            "train.search.cv is 60, but the train split cannot be split so: n_splits=60 cannot be greater than",
        ),
    ],
)
def test_a_search_that_cannot_be_is_one_sentence(search: SearchParams, sentence: str) -> None:
    """The sentence names the key, and what is allowed or why."""
    with pytest.raises(ParamsError) as error:
        search_iris(search, estimator=LOGISTIC)
    assert str(error.value).startswith(f"params.yaml: {sentence}")
    assert "\n" not in str(error.value)


def test_the_table_has_scikit_learns_names_and_no_times() -> None:
    """A row a trial; a later round is above an earlier one; values are texts as YAML has them."""
    space = {"max_depth": [None, 1, 2, 3], "class_weight": ["balanced"], "splitter": ["best"]}
    found = search_iris(search_params(space, strategy="halving", cv=2))
    table = tabulate_trials(found.trials)
    assert table.column_names == [
        *("iter", "n_resources", "params", "mean_test_score", "std_test_score", "rank_test_score"),
        *("split0_test_score", "split1_test_score", "param_max_depth", "param_class_weight", "param_splitter"),
    ]
    rows = table.to_pylist()
    assert [row["iter"] for row in rows] == [0, 0, 0, 0, 1, 1]
    assert rows[0]["params"] == "max_depth=null; class_weight=balanced; splitter=best"
    assert rows[0]["param_max_depth"] == "null"
    assert {row["rank_test_score"] for row in rows[4:]} <= {1, 2}
    assert min(row["rank_test_score"] for row in rows[:4]) == 3
    assert next(row for row in rows if row["rank_test_score"] == 1)["mean_test_score"] == found.best.mean


def test_equal_candidates_share_a_rank() -> None:
    """The next one's rank counts them all, a later round comes first, and a refused candidate last."""
    scores = [(0, 0.5), (0, 0.9), (0, 0.5), (0, math.nan), (1, 0.7)]
    trials = [Trial(round_, 10, {"C": 1.0}, [Outcome(score), Outcome(score)]) for round_, score in scores]
    assert tabulate_trials(trials)["rank_test_score"].to_pylist() == [3, 2, 3, 5, 1]


def test_scores_have_as_many_digits_in_any_unit() -> None:
    """An error in hundreds of millions has no digits behind the point; what rounding leaves of equal ones is 0."""
    trial = Trial(0, 10, {}, [Outcome(-584480208.2528), Outcome(-584480208.2528), Outcome(-584480208.2528)])
    assert (trial.mean, trial.std) == (-584480210.0, 0.0)
    assert Trial(0, 10, {}, [Outcome(0.1), Outcome(0.1), Outcome(0.1)]).std == 0.0


@pytest.mark.filterwarnings("ignore")
def test_a_score_that_is_no_number_is_a_refusal() -> None:
    """R² of one held-out row is none: the search says so instead of choosing by chance."""
    X, y = np.arange(4.0).reshape(-1, 1), np.arange(4.0)
    search = search_params({"alpha": [1.0, 2.0]}, cv=4)
    bench = prepare_bench(search, "regression", X, y, threads=1)
    build = partial(build_model, task="regression")
    with pytest.raises(ParamsError, match=r"every candidate failed, alpha=1.0 because: its score of 1 rows is nan"):
        search_best(
            TrainParams(estimator="sklearn.linear_model.Ridge", threads=1, search=search),
            build,
            bench,
            SERIAL,
            lambda done, total: None,
        )


def test_without_a_search_the_table_has_no_rows() -> None:
    """The plot's columns are there all the same."""
    table = tabulate_trials([])
    assert table.num_rows == 0
    assert {"iter", "params", "mean_test_score", "rank_test_score"} <= set(table.column_names)


def contract_of(table: Table, params: TrainParams, best: dict[str, Any] | None) -> Contract:
    """Return the contract of a model of the table."""
    return draw_contract(table, table.describe(), params, {}, best)


def test_the_contract_holds_the_search_and_the_best(diabetes: Table) -> None:
    """As it was given, and what it chose; without a search neither is named."""
    params = TrainParams(estimator=TREE, threads=1, search=search_params({"max_depth": [1, math.inf]}))
    contract = contract_of(diabetes, params, {"max_depth": math.inf})
    assert contract.params["train"]["search"]["space"] == {"max_depth": [1, ".inf"]}
    assert contract.params["best"] == {"max_depth": ".inf"}
    contract = contract_of(diabetes, TrainParams(estimator=TREE, threads=1), None)
    assert contract.params["train"] == {"estimator": TREE, "threads": 1}
    assert "best" not in contract.params


@pytest.mark.long
def test_a_short_search_stays_in_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where little is left to do, which a busy machine must not decide here, no process is started."""
    monkeypatch.setattr("artifact_flow.scale.backend.SMALL_SECONDS", math.inf)
    with open_backend(BackendChoice(workers=2)) as backend:
        search_iris(search_params(DEPTHS), backend.run)
        assert backend.name == "in this process"


class Recorder(Loky):
    """Does what loky would do, here, and remembers how many fits that were."""

    given = 0

    def run(self, bench: Bench, fits: Sequence[Fit]) -> Iterator[tuple[int, Outcome]]:
        """Do the fits here."""
        self.given += len(fits)
        return Serial().run(bench, fits)


@pytest.mark.long
def test_a_longer_search_leaves_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much is left to do, all but the first fits are handed on, and the outcomes are the same."""
    monkeypatch.setattr("artifact_flow.scale.backend.SMALL_SECONDS", 0.0)
    recorder = Recorder(2)
    found = search_iris(search_params(DEPTHS), Growing(recorder).run)
    assert recorder.given == 17
    assert found.trials == search_iris(search_params(DEPTHS)).trials


def test_the_environment_says_where() -> None:
    """Nothing said is nothing told; a scheduler means Dask."""
    assert read_choice({}) == read_choice({"ARTIFACT_FLOW_BACKEND": " "}) == BackendChoice(None, None, None)
    given = {"ARTIFACT_FLOW_BACKEND": "loky", "ARTIFACT_FLOW_WORKERS": "4"}
    assert read_choice(given) == BackendChoice("loky", 4, None)
    assert read_choice({"ARTIFACT_FLOW_SCHEDULER": "tcp://a:1"}) == BackendChoice("dask", None, "tcp://a:1")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (["BACKEND=daks"], "ARTIFACT_FLOW_BACKEND is 'daks' (did you mean dask?); allowed: serial, loky, dask."),
        (["WORKERS=0"], "ARTIFACT_FLOW_WORKERS is '0'; allowed: a whole number of processes from 1 to 1024."),
        (["WORKERS=two"], "ARTIFACT_FLOW_WORKERS is 'two'; allowed"),
        (["BACKEND=loky", "SCHEDULER=tcp://a:1"], "ARTIFACT_FLOW_SCHEDULER is tcp://a:1, but ARTIFACT_FLOW_BACKEND is"),
    ],
)
def test_a_wrong_environment_is_one_sentence(environ: Iterable[str], sentence: str) -> None:
    """It names the variable and what is allowed."""
    with pytest.raises(ScaleError) as error:
        read_choice(dict(f"ARTIFACT_FLOW_{pair}".split("=") for pair in environ))
    assert str(error.value).startswith(sentence)


def test_without_dask_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the pipeline is lean; the cluster's is an extra."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ScaleError, match=r"is not installed: `make scale` installs"),
        open_backend(BackendChoice("dask")),
    ):
        pass
