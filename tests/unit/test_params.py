"""params.yaml is read as frozen, typed values, and every mistake in it is told in one sentence."""

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.params import Params, TableParams, load_params, parse_params

DEFAULTS = Path(__file__).with_name("params.yaml")


def changed(*path: str, to: Any) -> dict[str, Any]:
    """Return the defaults with one value changed, or with one key removed where `to` is Ellipsis."""
    document = copy.deepcopy(YAML(typ="safe").load(DEFAULTS))
    block = document
    for key in path[:-1]:
        block = block[key]
    if to is ...:
        del block[path[-1]]
    else:
        block[path[-1]] = to
    return document


def test_required_keys_have_the_right_types(params: Params) -> None:
    """The defaults hold each key the stages need, typed as documented."""
    assert isinstance(params.data.source, str)
    assert isinstance(params.data.test_size, float)
    assert isinstance(params.data.seed, int)
    assert isinstance(params.data.stratify, bool)
    assert isinstance(params.train.estimator, str)
    assert isinstance(params.train.threads, int)
    assert isinstance(params.infer.decimals, int)


def test_keyword_arguments_stand_beside_the_reserved_names(params: Params) -> None:
    """What is not reserved in `train` goes to the estimator, typed as YAML typed it."""
    assert params.train.others == {"C": 1.0, "solver": "lbfgs", "max_iter": 1000}


SEARCH = {"strategy": "grid", "space": {"C": [0.1, 1.0]}}


def test_a_search_has_defaults() -> None:
    """Strategy and space are all it needs; it is no argument of the estimator."""
    params = parse_params(changed("train", "search", to=SEARCH))
    assert params.train.search is not None
    assert params.train.search.model_dump() == SEARCH | {"cv": 5, "scoring": None, "budget": None, "seed": 0}
    assert "search" not in params.train.others


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"strategy": "gird"}, "strategy is 'gird' (text); allowed: one of: grid, random, halving."),
        ({"strategy": ...}, "strategy is missing; give it one of: grid, random, halving."),
        ({"space": {}}, "space is {} (a block); allowed: a mapping of each argument to the list of its values"),
        ({"space": {"C": 1.0}}, "space.C is 1.0 (a number); allowed: a mapping of each argument to the list"),
        ({"space": {"C": []}}, "space.C is [] (a list); allowed: a mapping of each argument to the list"),
        ({"space": {"C": [{1}]}}, "space.C is [{1}] (a list); allowed: a number, text, true or false, null"),
        (
            {"space": {"threads": [1, 2]}},
            "space.threads is one of the reserved names estimator, threads, arithmetic, search,",
        ),
        ({"cv": 1}, "cv is 1 (a number); allowed: a whole number of folds from 2 to 100."),
        ({"scoring": 1}, "scoring is 1 (a number); allowed: the name of a scikit-learn scorer, or null."),
        ({"budget": 3}, "budget is 3, but strategy grid tries every candidate; allowed: no budget, or strategy"),
        ({"strategy": "random"}, "budget is missing, and strategy random needs it; give it a whole number"),
        ({"strategy": "random", "budget": 0}, "budget is 0 (a number); allowed: a whole number of candidates, from 1."),
        ({"sede": 1}, "sede is not a known key (did you mean seed?); allowed here: strategy, space, cv, scoring"),
    ],
)
def test_a_wrong_search_is_one_sentence(keys: dict[str, Any], sentence: str) -> None:
    """Of each key, and of keys that do not go together."""
    search = {name: value for name, value in (SEARCH | keys).items() if value is not ...}
    with pytest.raises(ParamsError) as error:
        parse_params(changed("train", "search", to=search))
    assert str(error.value).startswith(f"params.yaml: train.search.{sentence}")
    assert "\n" not in str(error.value)


def test_params_are_frozen(params: Params) -> None:
    """No stage can change a parameter on its way."""
    with pytest.raises(ValidationError):
        params.data.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("data", "seed"), ..., "data.seed is missing; give it a whole number from 0 to 4294967295."),
        (("data", "sede"), 1, "data.sede is not a known key (did you mean seed?); allowed here: source, table"),
        (("colour",), {}, "colour is not a known key; allowed here: data, train, infer, export, quantize, promote, or"),
        (("infer",), ..., "infer is missing; give it a block of keys."),
        (("train",), 7, "train is 7 (a number); allowed: a block of keys."),
        (("data", "test_size"), 1.5, "data.test_size is 1.5 (a number); allowed: a number between 0 and 1"),
        (("data", "test_size"), 0, "data.test_size is 0 (a number); allowed: a number between 0 and 1"),
        (("data", "test_size"), "half", "data.test_size is 'half' (text); allowed: a number between 0 and 1"),
        (("data", "test_size"), float("nan"), "data.test_size is nan (a number); allowed: a number between"),
        (("data", "seed"), -1, "data.seed is -1 (a number); allowed: a whole number from 0"),
        (("data", "seed"), 1.5, "data.seed is 1.5 (a number); allowed: a whole number from 0"),
        (("data", "seed"), True, "data.seed is True (true or false); allowed: a whole number from 0"),
        (("data", "stratify"), 1, "data.stratify is 1 (a number); allowed: true or false."),
        (("data", "source"), ["a"], "data.source is ['a'] (a list); allowed: the name of a built-in data set"),
        (("train", "threads"), 0, "train.threads is 0 (a number); allowed: a whole number of threads"),
        (("train", "estimator"), None, "train.estimator is None (nothing); allowed: the import path"),
        (("data", "seed"), datetime.date(2020, 1, 1), "data.seed is datetime.date(2020, 1, 1) (a date); allowed"),
        (("data", 1), 2, "the key 1 is a number; allowed: a name, which is text."),
        ((None,), {}, "the key None is nothing; allowed: a name"),
        (("train", "tol"), datetime.date(2020, 1, 1), "train.tol is datetime.date(2020, 1, 1) (a date); allowed: a"),
        (("train", "classes"), [{"a"}], "train.classes is [{'a'}] (a list); allowed: a number, text"),
        (("export", "columns"), {"a": {"unti": "m"}}, "export.columns.a.unti is not a known key (did you mean unit?);"),
        (("export", "columns"), {"a": {"unit": 1}}, "export.columns.a.unit is 1 (a number); allowed: one line of at"),
        (
            ("export", "columns"),
            {"a": {"unit": ""}},
            "export.columns.a.unit is '' (text); allowed: one line of at most",
        ),
        (("export", "columns"), {"a": {"unit": "\n"}}, "export.columns.a.unit is '\\n' (text); allowed: one line"),
        (("export", "columns"), {"a": "m"}, "export.columns.a is 'm' (text); allowed: a mapping of columns, features"),
        (("export", "columns"), ["a"], "export.columns is ['a'] (a list); allowed: a mapping of columns, features or"),
        (("infer", "decimals"), 13, "infer.decimals is 13 (a number); allowed: a whole number from 1 to 12."),
    ],
)
def test_a_wrong_value_is_one_sentence(path: tuple[str, ...], value: Any, sentence: str) -> None:
    """The sentence names file, key, what was found and what is allowed."""
    with pytest.raises(ParamsError) as error:
        parse_params(changed(*path, to=value))
    assert str(error.value).startswith(f"params.yaml: {sentence}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"data: [1, 2\ntrain: 3", "line 2, column 6 is not YAML: expected ',' or ']'"),
        (b"data:\n\tseed: 1", "line 2, column 1 is not YAML"),
        (b"data: 1\ndata: 2", 'line 2, column 1 is not YAML: found duplicate key "data"'),
        (b"- data", "holds no blocks; needed: data, train, infer."),
        (b"", "holds no blocks; needed: data, train, infer."),
        (b"data: \x01", "is not YAML: unacceptable character"),
        (b"data: 2020-13-45", "is not YAML: month must be in 1..12"),
        (b"data: " + b"[" * 1000, "is not YAML: maximum recursion depth exceeded"),
        (b"data: \xff", "is not UTF-8 text (byte 6)"),
    ],
)
def test_a_file_that_is_no_params_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    """What is not YAML, not a mapping or not text is told with its line."""
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError) as error:
        load_params(path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    """Without params.yaml the sentence says what to do."""
    with pytest.raises(ParamsError, match=r"is missing in .*: run from the repository's root"):
        load_params(tmp_path / "params.yaml")


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    """YAML 1.2: 1e-3 is a number and `no` is text, to the stages as to `dvc params diff`."""
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULTS.read_text().replace("C: 1.0", "tol: 1e-3\n  class_weight: no"))
    assert load_params(path).train.others["tol"] == 0.001
    assert load_params(path).train.others["class_weight"] == "no"


def test_a_folder_is_one_sentence(tmp_path: Path) -> None:
    """What cannot be read is told with the system's reason."""
    with pytest.raises(ParamsError, match=r"cannot be read: Is a directory"):
        load_params(tmp_path)


def test_weights_by_class_are_plain() -> None:
    """A mapping with whole numbers as keys is what `class_weight` takes."""
    document = changed("train", "class_weight", to={0: 1.0, 1: 2.0})
    assert parse_params(document).train.others["class_weight"] == {0: 1.0, 1: 2.0}


FLOWS = """\
flows:
  small:
    data: {source: iris, test_size: 0.2, seed: 42, stratify: false}
    train: {estimator: sklearn.linear_model.LogisticRegression, threads: 1}
    infer: {decimals: 8}
    export: {opset: 17, max_difference: 1e-5}
  other: 7
quantize:
  small: {max_quality_loss: 0.003, min_agreement: 0.995}
"""


def test_a_flow_is_a_block_of_blocks(tmp_path: Path) -> None:
    """Its own blocks, and its gate from those of all flows."""
    path = tmp_path / "params.yaml"
    path.write_text(FLOWS)
    params = load_params(path, "small")
    assert params.data.source == "iris"
    assert params.block("export").opset == 17
    assert params.block("quantize").min_agreement == 0.995


@pytest.mark.parametrize(
    ("content", "flow", "sentence"),
    [
        (FLOWS, "smal", "has no flow smal (did you mean small?); it has: small, other."),
        (FLOWS, "other", "has no flow other (did you mean other?); it has: small, other."),
        ("flows: []", "small", "has no flow small; it has: none."),
        ("7", "small", "has no flow small; it has: none."),
        (
            FLOWS.replace("opset: 17", "opset: 9"),
            "small",
            "export.opset is 9 (a number); allowed: a whole number from 13",
        ),
    ],
)
def test_a_flow_that_is_none_is_one_sentence(tmp_path: Path, content: str, flow: str, sentence: str) -> None:
    """The flows that there are stand in the sentence."""
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError) as error:
        load_params(path, flow)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_stage_without_its_block_is_one_sentence() -> None:
    """A dvc.yaml with a stage that params.yaml says nothing of."""
    params = parse_params(changed("quantize", to=...))
    with pytest.raises(
        ParamsError, match=r"the block quantize is missing; it needs: max_quality_loss, min_agreement\."
    ):
        params.block("quantize")


def test_a_role_that_is_none_is_one_sentence() -> None:
    """Deep in the table's block too, the sentence says what is allowed there."""
    table = {"target": "price", "task": "regression", "columns": {"rooms": "numbr"}}
    with pytest.raises(
        ParamsError, match=r"data\.table\.columns\.rooms is 'numbr' \(text\); allowed: a mapping of each"
    ):
        parse_params(changed("data", "table", to=table))
    with pytest.raises(ParamsError, match=r"data\.table\.targt is not a known key \(did you mean target\?\)"):
        parse_params(changed("data", "table", to=table | {"targt": "price", "columns": {}}))


def test_a_stage_of_one_s_own_has_its_block(tmp_path: Path) -> None:
    """A block of the name of a stage in dvc.yaml is that stage's; any other is a mistake still."""
    path = tmp_path / "params.yaml"
    path.write_text(f"{DEFAULTS.read_text()}\nclean:\n  limit: 3\n")
    with pytest.raises(
        ParamsError, match=r"clean is not a known key; allowed here: data, .*, or the name of your own stage"
    ):
        load_params(path)
    path.with_name("dvc.yaml").write_text("stages: {clean: {cmd: echo}}\n")
    assert load_params(path).clean == {"limit": 3}  # type: ignore[attr-defined]
    path.write_text(f"{path.read_text()}\ncolour: {{}}\n")
    with pytest.raises(ParamsError, match="colour is not a known key"):
        load_params(path)


def test_a_key_of_a_table_that_is_not_set_is_in_no_file() -> None:
    """Contracts and tables of models that were trained before such a key existed stay as they are, byte for byte."""
    table = {"target": "y", "task": "regression", "columns": {"a": "number"}}
    dumped = TableParams.model_validate(table).model_dump()
    assert set(dumped) == {*table, "separator", "header", "missing", "drop_missing_target"}
    said = {"numbers": {"a": "1.234,5"}, "encoding": "cp1252", "comment": "#"}
    assert TableParams.model_validate(table | said).model_dump() == dumped | said
