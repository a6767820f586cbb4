"""A table is split by group, in time, or as its file says, and folds respect that."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GroupShuffleSplit, KFold, StratifiedKFold, TimeSeriesSplit
from unit.tables import contract_of

from artifact_flow.core.base.errors import DataError, ParamsError
from artifact_flow.core.base.params import PARAMS, DataParams, Params, Role, SearchParams, TableParams, parse_params
from artifact_flow.core.model.folds import FoldPlan, draw_folds, rows_of_fold
from artifact_flow.core.model.search import prepare_bench
from artifact_flow.core.table.datasets import load_builtin, load_own
from artifact_flow.core.table.splits import Key
from artifact_flow.core.table.tables import KEY, Table, read_table, split_rows, write_table

ROWS = 60
PATIENTS = [str(i * 7 % 13) for i in range(ROWS)]
DAYS = [str(np.datetime64("2024-01-01") + i * 11 % 40) for i in range(ROWS)]


def load_split(
    folder: Path, split: dict[str, Any], values: Sequence[object], role: Role = "left out", **keywords: Any
) -> Table:
    """Return a table with a feature, the column `by` of a role and two classes, split by `by`."""
    source = folder / "own.csv"
    lines = [f"{i % 17},{value},{'yes' if i % 3 else 'no'}" for i, value in enumerate(values)]
    source.write_text("\n".join(["size,by,class", *lines]) + "\n")
    table = TableParams(target="class", task="classification", columns={"size": "number", "by": role})
    block = {"source": str(source), "table": table, "preprocess": "auto", "test_size": 0.25, "seed": 3}
    params = DataParams.model_validate({**block, "stratify": False, "split": {"column": "by", **split}, **keywords})
    return split_rows(load_own(params))


def refused(folder: Path, split: dict[str, Any], values: Sequence[object], **keywords: Any) -> str:
    """Return the sentence with which a split is refused."""
    with pytest.raises(DataError) as caught:
        load_split(folder, split, values, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("role", ["left out", "number", "category", "id"])
def test_a_group_is_in_one_split(tmp_path: Path, role: Role) -> None:
    """Whatever the column's role, the test rows are those of GroupShuffleSplit with the same seed."""
    table = load_split(tmp_path, {"by": "group"}, PATIENTS, role)
    groups = np.array(PATIENTS) if role == "category" else np.array(PATIENTS, dtype=int)
    drawn = GroupShuffleSplit(1, test_size=0.25, random_state=3)
    if role != "category":  # of a category the groups' numbers are sorted as numbers too
        _, test = next(drawn.split(groups, groups=groups))
        assert np.array_equal(np.flatnonzero(table.split == "test"), test)
    assert not set(groups[table.split == "test"]) & set(groups[table.split == "train"])
    assert list(table.roles.features) == (["size"] if role in ("left out", "id") else ["size", "by"])


@pytest.mark.parametrize(("values", "role"), [(DAYS, "left out"), (DAYS, "date"), ([*range(ROWS)], "number")])
def test_the_last_rows_in_time_are_tested(tmp_path: Path, values: list[Any], role: Role) -> None:
    """No train row is later than a test row, and rows of one time are in one split."""
    table = load_split(tmp_path, {"by": "time"}, values, role)
    times, test = np.array(values), table.split == "test"
    assert max(times[~test].tolist()) < min(times[test].tolist())
    assert ROWS * 0.25 <= test.sum() <= ROWS * 0.25 + 2


def test_one_time_that_most_rows_share_leaves_both_splits_rows(tmp_path: Path) -> None:
    """Where the boundary is the first time, only later rows are tested."""
    table = load_split(tmp_path, {"by": "time"}, [2020] * 55 + [2021] * 5)
    assert np.array_equal(np.flatnonzero(table.split == "test"), np.arange(55, 60))


@pytest.mark.parametrize(
    ("values", "test", "expected"),
    [(["train", "test", "hold", "train"] * 15, None, 15), ([0, 1, 2, 3] * 15, [2, 3], 30), ([0, 1] * 30, [1.0], 30)],
)
def test_the_file_brings_its_split(tmp_path: Path, values: list[Any], test: list[Any] | None, expected: int) -> None:
    """The rows whose value is named are the test split, by default those of "test"."""
    table = load_split(tmp_path, {"by": "column"} | ({"test": test} if test else {}), values)
    wanted = [str(value) in [f"{one:g}" for one in test] if test else value == "test" for value in values]
    assert np.array_equal(table.split == "test", wanted)
    assert table.count("test") == expected
    assert KEY not in table.columns.column_names


def test_the_key_survives_the_file(tmp_path: Path) -> None:
    """data.parquet keeps by what it is split, for the folds of a search."""
    table = load_split(tmp_path, {"by": "group"}, PATIENTS)
    write_table(table, tmp_path / "data.parquet")
    found, given = read_table(tmp_path / "data.parquet").key, table.key
    assert found
    assert given
    assert np.array_equal(found.values, given.values)


def test_a_built_in_set_can_be_split_by_a_column() -> None:
    """Its columns are its features."""
    block = {"source": "iris", "test_size": 0.2, "seed": 1, "stratify": False}
    split = {"by": "group", "column": "petal_width"}
    table = split_rows(load_builtin(DataParams.model_validate({**block, "split": split})))
    widths = table.columns["petal_width"].to_numpy()
    assert not set(widths[table.split == "test"]) & set(widths[table.split == "train"])
    with pytest.raises(DataError, match=r"data.split: iris has no column petal \(did you mean petal_\w+\?\)"):
        load_builtin(DataParams.model_validate({**block, "split": {"by": "group", "column": "petal"}}))


@pytest.mark.parametrize(
    ("split", "values", "sentence"),
    [
        (
            {"by": "group", "column": "bye"},
            PATIENTS,
            r"has no column bye \(did you mean by\?\); it has: size, by, class",
        ),
        ({"by": "group", "column": "class"}, PATIENTS, r"data.split.column is class, the target"),
        ({"by": "group"}, ["a", *PATIENTS[2:], " "], r"has no value in 1 of 60 rows: fill them"),
        ({"by": "group"}, ["one"] * ROWS, r"holds only the value one, and each split needs at least one"),
        ({"by": "time"}, ["2024-01-01", "soon"] * 30, r"is 'soon' in a row, which is neither a number nor an ISO date"),
        ({"by": "time"}, [7] * ROWS, r"holds only the value 7.0"),
        ({"by": "time", "test": ["a"]}, DAYS, r"data.split.test is for data.split.by: column, not time: remove it"),
        ({"by": "column"}, ["train", "tset"] * 30, r"never is test \(did you mean tset\?\).*; it holds: train, tset"),
        ({"by": "column", "test": [1, 2]}, [1, 2] * 30, r"holds only 1, 2, all of the test split"),
        ({"by": "column"}, ["train", "test", "test"] * 20, r"leaves no row of class yes in the train split"),
    ],
)
def test_an_unfit_column_is_one_sentence(
    tmp_path: Path, split: dict[str, Any], values: list[Any], sentence: str
) -> None:
    """It names the column, what is wrong with it and what to do."""
    assert re.search(sentence, refused(tmp_path, split, values))


def test_stratify_and_a_column_exclude_each_other(tmp_path: Path) -> None:
    """Whole groups cannot also keep each class's share."""
    sentence = refused(tmp_path, {"by": "group"}, PATIENTS, stratify=True)
    assert "data.stratify is true, but a split by group cannot" in sentence


def test_a_share_that_leaves_no_group_to_train_on(tmp_path: Path) -> None:
    """The share is one of the groups."""
    sentence = refused(tmp_path, {"by": "group"}, ["a", "b"] * 30, test_size=0.9)
    assert "2 of 2 groups would be in the test split and none in the train split" in sentence


def test_without_a_split_by_column_nothing_changes(params: Params, digits: Table) -> None:
    """Neither the table's metadata nor the contract names the block, so that their bytes stay."""
    assert "split" not in digits.roles.model_dump_json()
    assert "split" not in contract_of(digits, params.train, {}).params["data"]
    assert KEY not in digits.columns.column_names


def test_the_contract_names_the_split(tmp_path: Path, params: Params) -> None:
    """It is recorded as params.yaml has it."""
    contract = contract_of(load_split(tmp_path, {"by": "group"}, PATIENTS), params.train, {})
    assert contract.params["data"]["split"] == {"by": "group", "column": "by"}


def test_an_unknown_kind_is_one_sentence(params: Params) -> None:
    """The three kinds are listed."""
    document = params.model_dump(exclude_none=True)
    document["data"]["split"] = {"by": "patient", "column": "x"}
    with pytest.raises(ParamsError, match=r"data.split.by is 'patient' \(text\); allowed: one of: group, time, column"):
        parse_params(document, PARAMS)


def test_folds_keep_groups_together() -> None:
    """Every row is scored once, with no row of its group in the fit."""
    groups = np.array(PATIENTS, dtype=int)
    y = np.arange(ROWS) % 2
    for task in ("classification", "regression"):
        folds = draw_folds(FoldPlan("train.search.cv", 4, 0, task), y, Key("group", groups))  # type: ignore[arg-type]
        assert sorted(set(folds)) == [0, 1, 2, 3]
        assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    with pytest.raises(ParamsError, match=r"train.search.cv is 20, .*it has 13 groups; choose fewer folds"):
        draw_folds(FoldPlan("train.search.cv", 20, 0, "classification"), y, Key("group", groups))


def test_folds_in_time_are_those_of_scikit_learn() -> None:
    """Each fold follows the rows that its model is fitted on; equal times are in one fold."""
    times = np.random.RandomState(0).permutation(ROWS)
    folds = draw_folds(FoldPlan("x", 4, 0, "regression"), times, Key("time", times))
    order = np.argsort(times)
    for number, (fitted, scored) in enumerate(TimeSeriesSplit(4).split(order)):
        masks = rows_of_fold(folds, number, in_time=True)
        assert [set(np.flatnonzero(mask)) for mask in masks] == [set(order[fitted]), set(order[scored])]
    tied = np.arange(ROWS) // 5
    folds = draw_folds(FoldPlan("x", 4, 0, "regression"), times, Key("time", tied))
    assert all(len(set(folds[tied == time])) == 1 for time in set(tied))
    with pytest.raises(ParamsError, match=r"x is 4, .*too many rows have equal times; choose fewer folds"):
        draw_folds(FoldPlan("x", 4, 0, "regression"), times, Key("time", np.arange(ROWS) // 30))
    with pytest.raises(ParamsError, match=r"x is 4, .*it has 3 rows, and folds in time need 5; choose fewer folds"):
        draw_folds(FoldPlan("x", 4, 0, "regression"), times[:3], Key("time", np.arange(3)))


def test_other_folds_are_as_before() -> None:
    """Without a key, and with one that the file brings, they are shuffled and stratified by class."""
    y = np.arange(ROWS) % 3
    for key in (None, Key("column", np.zeros(ROWS, dtype=int))):
        for task, kind in (("classification", StratifiedKFold), ("regression", KFold)):
            folds = draw_folds(FoldPlan("x", 5, 7, task), y, key)  # type: ignore[arg-type]
            for number, (_, scored) in enumerate(kind(5, shuffle=True, random_state=7).split(y, y)):
                assert np.array_equal(np.flatnonzero(folds == number), scored)


def test_a_search_fits_on_earlier_rows_only() -> None:
    """Also in a round of halving, which takes some of the rows."""
    times = np.arange(ROWS)
    search = SearchParams(strategy="grid", space={"alpha": [1.0]}, cv=3)
    bench = prepare_bench(search, "regression", np.zeros((ROWS, 1)), times, 1, Key("time", times))
    for fold in range(3):
        fitted, scored = bench.rows_of(fold, 40)
        assert times[fitted].max() < times[scored].min()
