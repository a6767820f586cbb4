"""Params: params.yaml as frozen, validated values. An unknown key or invalid value raises ParamsError naming it.

There is one block per stage (`data`, `train`, `infer`, `export`, `quantize`), and `promote` for the registry. In
`train` the keys `estimator`, `threads`, `arithmetic`, `search`, `keywords` and `threshold` are reserved; every other
key, and each key under `keywords`, is an argument of the estimator, which checks it when it is built and fitted. A
block named after another stage of dvc.yaml belongs to that stage and is kept. flows/params.yaml holds the same blocks
for each flow, under `flows` and the flow's name.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artifact_flow.core.base.documents import flow_blocks, is_plain, load_yaml
from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.legend import ColumnLegend
from artifact_flow.core.base.validation import check_blocks, explain_error, kind_of, nested_models

PARAMS = Path("params.yaml")

NATIVE: Literal["native"] = "native"  # the arithmetic of scikit-learn and BLAS
MISSING = ("", "NA")  # the default texts that mark a missing value

Task = Literal["classification", "regression"]
# The type of a feature column, and the roles a column of the user's table can have.
Type = Literal["number", "boolean", "date", "category", "text"]
Role = Literal[Type, "day-first date", "month-first date", "id", "left out"]
By = Literal["group", "time", "column"]
# How the number 1234.5 is written in a column of a text table.
Style = Literal["1234.5", "1,234.5", "1234,5", "1.234,5", "1 234.5", "1 234,5", "1'234.5"]
_NUMBERS = "a mapping of columns to how 1234.5 is written there: " + ", ".join(f'"{one}"' for one in get_args(Style))


class _Block(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def _optional(description: str, **limits: int) -> Any:
    """Return the field of a key that, while it is not set, is absent everywhere: in contracts, in data.parquet."""
    return Field(exclude_if=lambda value: value is None, description=description, **limits)  # type: ignore[call-overload]


class TableParams(_Block):
    """How the user's table is read; `artifact-flow init` writes this block."""

    target: Annotated[str, Field(description="the name of a column")]
    task: Annotated[Task, Field(description="classification or regression")]
    separator: Annotated[
        str, Field(min_length=1, max_length=1, description="one character, such as a comma; a blank: one or more")
    ] = ","
    header: Annotated[bool, Field(description="true or false")] = True
    missing: Annotated[list[str], Field(description="a list of texts that stand for a missing value")] = [*MISSING]
    drop_missing_target: Annotated[bool, Field(description="true or false")] = False
    numbers: Annotated[dict[str, Style] | None, _optional(_NUMBERS)] = None
    encoding: Annotated[str | None, _optional("the name of an encoding other than UTF-8, such as cp1252")] = None
    comment: Annotated[
        str | None, _optional("one character, which begins lines above the header", min_length=1, max_length=1)
    ] = None
    columns: Annotated[
        dict[str, Role],
        Field(description=f"a mapping of each column to one of: {', '.join(get_args(Role))}"),
    ]


class SplitParams(_Block):
    """A split by a column: whole groups, the last rows in time, or the rows that the column names."""

    by: Annotated[By, Field(description=f"one of: {', '.join(get_args(By))}")]
    column: Annotated[str, Field(description="the name of a column, whatever its role")]
    test: Annotated[
        list[Any] | None,
        Field(min_length=1, description="for by: column, a list of the values of the test split's rows ([test])"),
    ] = None


class TextParams(_Block):
    """How the texts of a column become numbers: arguments of scikit-learn's TfidfVectorizer, one for each column."""

    max_features: Annotated[
        int, Field(ge=1, le=100_000, description="a whole number of words from 1 to 100000, the most frequent")
    ] = 5000
    ngram_range: Annotated[
        list[Annotated[int, Field(ge=1, le=5)]],
        Field(min_length=2, max_length=2, description="the least and the largest number of words in a row, 1 to 5"),
    ] = [1, 1]
    min_df: Annotated[int, Field(ge=1, description="a whole number of rows in which a word is, at least, from 1")] = 1
    stop_words: Annotated[list[str] | Literal["english"] | None, _optional("english, or a list of words")] = None


class DataParams(_Block):
    """Where the rows come from, how they are pre-processed and how they are split."""

    source: Annotated[str, Field(description="the name of a built-in data set, or the path of a CSV or Parquet file")]
    table: Annotated[TableParams | None, Field(description="a block of keys, as `artifact-flow init` writes it")] = None
    preprocess: Annotated[Literal["none", "auto"], Field(description="none or auto")] = "none"
    text: Annotated[TextParams | None, _optional("a block of keys")] = None
    test_size: Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1, both excluded")]
    seed: Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")]
    stratify: Annotated[bool, Field(description="true or false")]
    split: Annotated[SplitParams | None, _optional("a block of keys")] = None


Strategy = Literal["grid", "random", "halving"]
BUDGETED: tuple[Strategy, ...] = ("random", "halving")  # the strategies that take a number of candidates


class SearchParams(_Block):
    """How the estimator's arguments are searched: which combinations are tried and how they are compared."""

    strategy: Annotated[Strategy, Field(description=f"one of: {', '.join(get_args(Strategy))}")]
    space: Annotated[
        dict[str, Annotated[list[Any], Field(min_length=1)]],
        Field(min_length=1, description="a mapping of each argument to the list of its values, none of them empty"),
    ]
    cv: Annotated[int, Field(ge=2, le=100, description="a whole number of folds from 2 to 100")] = 5
    scoring: Annotated[str | None, Field(description="the name of a scikit-learn scorer, or null")] = None
    budget: Annotated[int | None, Field(ge=1, description="a whole number of candidates, from 1")] = None
    seed: Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")] = 0


class ThresholdParams(_Block):
    """How the decision threshold is chosen: by what it maximizes on the folds of the train split."""

    maximize: Annotated[
        str, Field(description="the name of a scikit-learn scorer, or the import path of your own function in src/own")
    ]
    cv: Annotated[int, Field(ge=2, le=100, description="a whole number of folds from 2 to 100")] = 5


class TrainParams(_Block):
    """The estimator and the keyword arguments it is built with."""

    model_config = ConfigDict(extra="allow")

    estimator: Annotated[
        str,
        Field(description="the import path of an estimator, such as sklearn.linear_model.LogisticRegression"),
    ]
    threads: Annotated[int, Field(ge=1, le=1024, description="a whole number of threads, from 1")]
    arithmetic: Annotated[
        Literal["fixed", "native"],
        Field(
            exclude_if=lambda value: value == NATIVE,
            description="fixed (one order of operations, the same bytes on every machine) or native",
        ),
    ] = NATIVE
    search: Annotated[SearchParams | None, _optional("a block of keys")] = None
    keywords: Annotated[
        dict[str, Any] | None, _optional("a mapping of the arguments whose names are reserved in this block")
    ] = None
    threshold: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | ThresholdParams | None,
        _optional("a number between 0 and 1, both excluded, or a block with maximize and the name of a scorer"),
    ] = None

    @property
    def others(self) -> dict[str, Any]:
        """The estimator's arguments that the block holds itself: every key that is not reserved."""
        return dict(self.__pydantic_extra__ or {})


class InferParams(_Block):
    """How predictions are written, and which metrics of them besides the usual ones."""

    decimals: Annotated[int, Field(ge=1, le=12, description="a whole number from 1 to 12")]
    metrics: Annotated[
        list[str] | None,
        Field(description="a list of names of scikit-learn scorers and import paths of your own functions in src/own"),
    ] = None
    per_class: Annotated[bool, Field(description="true or false")] = False
    costs: Annotated[
        dict[Any, dict[Any, float]] | None,
        Field(description="a mapping of each actual class to a mapping of each predicted class to its cost"),
    ] = None
    cross_validation: Annotated[
        int | None, Field(ge=2, le=100, description="a whole number of folds from 2 to 100")
    ] = None
    importance: Annotated[
        int | None, Field(ge=1, le=100, description="how often each feature is permuted, from 1 to 100")
    ] = None


class ExportParams(_Block):
    """The opset of the ONNX model, its greatest difference from the pickle, and what it tells about its columns."""

    opset: Annotated[int, Field(ge=13, le=21, description="a whole number from 13 to 21")]
    max_difference: Annotated[float, Field(gt=0, le=1, description="a number above 0, at most 1")]
    columns: Annotated[
        dict[str, ColumnLegend] | None, _optional("a mapping of columns, features or the target, to a block of keys")
    ] = None


class QuantizeParams(_Block):
    """The gate that the 8-bit model must pass."""

    max_quality_loss: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
    min_agreement: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]


class PromoteParams(_Block):
    """The gate that a registered model must pass to become the champion."""

    max_loss: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")] = 0.0
    min_rebuilders: Annotated[int, Field(ge=0, le=100, description="a whole number of keys from 0 to 100")] = 0
    keys: Annotated[str, Field(min_length=1, description="the path of a folder of public keys")] = "trusted"


class Params(_Block):
    """The blocks of one flow. `export` and `quantize` are present if dvc.yaml has these stages.

    The block of a user's own stage is an attribute with the stage's name, a dictionary.
    """

    model_config = ConfigDict(extra="allow")  # the blocks that `parse_params` accepts

    data: Annotated[DataParams, Field(description="a block of keys")]
    train: Annotated[TrainParams, Field(description="a block of keys")]
    infer: Annotated[InferParams, Field(description="a block of keys")]
    export: Annotated[ExportParams | None, Field(description="a block of keys")] = None
    quantize: Annotated[QuantizeParams | None, Field(description="a block of keys")] = None
    promote: Annotated[PromoteParams, Field(description="a block of keys")] = PromoteParams()

    def block(self, name: Literal["export", "quantize"]) -> Any:
        """Return an optional block; raise ParamsError when it is missing."""
        found = getattr(self, name)
        if found is None:
            (block,) = nested_models(Params.model_fields[name].annotation)
            raise ParamsError(f"{PARAMS}: the block {name} is missing; it needs: {', '.join(block.model_fields)}.")
        return found


def load_params(path: Path = PARAMS, flow: str | None = None) -> Params:
    """Return the validated content of a params.yaml, or that of one of its `flows`.

    The file is read as YAML 1.2 by the parser that DVC uses, so that both see the same values. Raises ParamsError when
    the file is missing, is not YAML, has no such flow, or holds a key or value that is not allowed.
    """
    document = load_yaml(path)
    if flow is not None:
        document = flow_blocks(document, path, flow)
    return parse_params(document, path)


def parse_params(document: object, path: Path = PARAMS) -> Params:
    """Return validated params from a loaded document; raise ParamsError naming the first wrong key in `path`."""
    if not isinstance(document, dict):
        raise ParamsError(f"{path} holds no blocks; needed: {', '.join(_needed())}.")
    for block, keys in document.items():
        for key in (block, *(keys if isinstance(keys, dict) else ())):
            if not isinstance(key, str):
                raise ParamsError(f"{path}: the key {key!r} is {kind_of(key)}; allowed: a name, which is text.")
    check_blocks(document, list(Params.model_fields), path)
    try:
        params = Params.model_validate(document)
    except ValidationError as error:
        raise ParamsError(explain_error(error, Params, path)) from error
    search = params.train.search
    space = search.space if search else {}
    given = {
        **params.train.others,
        **{f"keywords.{key}": value for key, value in (params.train.keywords or {}).items()},
        **{f"search.space.{key}": values for key, values in space.items()},
    }
    for key, value in given.items():
        if not is_plain(value):
            raise ParamsError(
                f"{path}: train.{key} is {value!r} ({kind_of(value)}); allowed: a number, text, true or false, null, "
                "or lists and mappings of these."
            )
    if search:
        _check_search(search, path)
    return params


def _check_search(search: SearchParams, path: Path) -> None:
    """Raise ParamsError when two keys of a search contradict each other."""
    names = list(TrainParams.model_fields)
    for key in search.space:
        if key in names:
            raise ParamsError(
                f"{path}: train.search.space.{key} is one of the reserved names {', '.join(names)}; allowed: an "
                "argument of the estimator."
            )
    if search.strategy == "random" and search.budget is None:
        raise ParamsError(
            f"{path}: train.search.budget is missing, and strategy random needs it; give it "
            f"{SearchParams.model_fields['budget'].description}."
        )
    if search.strategy not in BUDGETED and search.budget is not None:
        raise ParamsError(
            f"{path}: train.search.budget is {search.budget}, but strategy {search.strategy} tries every candidate; "
            f"allowed: no budget, or strategy {' or '.join(BUDGETED)}."
        )


def _needed() -> list[str]:
    return [name for name, field in Params.model_fields.items() if field.is_required()]
