"""Params: params.yaml as frozen, validated values. An unknown key or invalid value raises ParamsError naming it.

There is one block per stage (`data`, `train`, `infer`, `export`, `quantize`), and `promote` for the registry. In
`train` the keys `estimator`, `threads` and `search` are reserved; every other key is a keyword argument of the
estimator, which checks it when it is built and fitted. A block named after another stage of dvc.yaml belongs to that
stage and is kept. flows/params.yaml holds the same blocks for each flow, under `flows` and the flow's name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from artifact_flow.core.base.errors import ParamsError, closest
from artifact_flow.core.base.pipeline import PIPELINE, read_pipeline
from artifact_flow.core.base.validation import explain_error, kind_of, nested_models

PARAMS = Path("params.yaml")

MISSING = ("", "NA")  # the default texts that mark a missing value

Task = Literal["classification", "regression"]
# The type of a feature column, and the roles a column of the user's table can have.
Type = Literal["number", "boolean", "date", "category"]
Role = Literal[Type, "id", "left out"]
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


class DataParams(_Block):
    """Where the rows come from, how they are pre-processed and how they are split."""

    source: Annotated[str, Field(description="the name of a built-in data set, or the path of a CSV or Parquet file")]
    table: Annotated[TableParams | None, Field(description="a block of keys, as `artifact-flow init` writes it")] = None
    preprocess: Annotated[Literal["none", "auto"], Field(description="none or auto")] = "none"
    test_size: Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1, both excluded")]
    seed: Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")]
    stratify: Annotated[bool, Field(description="true or false")]


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


class TrainParams(_Block):
    """The estimator and the keyword arguments it is built with."""

    model_config = ConfigDict(extra="allow")

    estimator: Annotated[
        str,
        Field(description="the import path of an estimator, such as sklearn.linear_model.LogisticRegression"),
    ]
    threads: Annotated[int, Field(ge=1, le=1024, description="a whole number of threads, from 1")]
    search: Annotated[SearchParams | None, Field(description="a block of keys")] = None

    @property
    def keywords(self) -> dict[str, Any]:
        """The estimator's keyword arguments: every key of the block that is not reserved."""
        return dict(self.__pydantic_extra__ or {})


class InferParams(_Block):
    """How predictions are written."""

    decimals: Annotated[int, Field(ge=1, le=12, description="a whole number from 1 to 12")]


class ExportParams(_Block):
    """The opset of the ONNX model, and how close its predictions must be to the pickle's."""

    opset: Annotated[int, Field(ge=13, le=21, description="a whole number from 13 to 21")]
    max_difference: Annotated[float, Field(gt=0, le=1, description="a number above 0, at most 1")]


class QuantizeParams(_Block):
    """The gate that the 8-bit model must pass."""

    max_quality_loss: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
    min_agreement: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]


class PromoteParams(_Block):
    """The gate that a registered model must pass to become the champion."""

    max_loss: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")] = 0.0


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
    document = _load_yaml(path)
    if flow is not None:
        document = _flow_blocks(document, path, flow)
    return parse_params(document, path)


def _flow_blocks(document: Any, path: Path, flow: str) -> dict[str, Any]:
    """Return the blocks of one flow: those under `flows`, its gate under `quantize`, and the shared `promote`."""
    flows = document.get("flows") if isinstance(document, dict) else None
    if not isinstance(flows, dict) or not isinstance(flows.get(flow), dict):
        known = [str(name) for name in flows] if isinstance(flows, dict) else []
        raise ParamsError(f"{path} has no flow {flow}{closest(flow, known)}; it has: {', '.join(known) or 'none'}.")
    gates = document.get("quantize")
    gate = {"quantize": gates[flow]} if isinstance(gates, dict) and flow in gates else {}
    shared = {"promote": document["promote"]} if "promote" in document else {}
    return {**flows[flow], **gate, **shared}


def _load_yaml(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path} is missing in {Path.cwd()}: run from the repository's root, or `git checkout {path}`."
        ) from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}: it must be a readable file.") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ParamsError(f"{path}{where} is not YAML: {error.problem}: fix that line.") from error
    except (YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParamsError(f"{path} is not YAML: {reason}: fix or remove that value.") from error


def parse_params(document: object, path: Path = PARAMS) -> Params:
    """Return validated params from a loaded document; raise ParamsError naming the first wrong key in `path`."""
    if not isinstance(document, dict):
        raise ParamsError(f"{path} holds no blocks; needed: {', '.join(_needed())}.")
    for block, keys in document.items():
        for key in (block, *(keys if isinstance(keys, dict) else ())):
            if not isinstance(key, str):
                raise ParamsError(f"{path}: the key {key!r} is {kind_of(key)}; allowed: a name, which is text.")
    _check_blocks(document, path)
    try:
        params = Params.model_validate(document)
    except ValidationError as error:
        raise ParamsError(explain_error(error, Params, path)) from error
    search = params.train.search
    space = search.space if search else {}
    given = params.train.keywords | {f"search.space.{key}": values for key, values in space.items()}
    for key, value in given.items():
        if not _is_plain(value):
            raise ParamsError(
                f"{path}: train.{key} is {value!r} ({kind_of(value)}); allowed: a number, text, true or false, null, "
                "or lists and mappings of these."
            )
    if search:
        _check_search(search, path)
    return params


def _check_blocks(document: dict[str, Any], path: Path) -> None:
    """Raise ParamsError for a block named neither in `Params` nor as a stage of the dvc.yaml next to `path`."""
    known = list(Params.model_fields)
    unknown = [name for name in document if name not in known]
    pipeline = read_pipeline(path.parent) if unknown else None
    stages = {title.partition("@")[0] for title in pipeline.stages} if pipeline else set()
    for name in unknown:
        if name not in stages:
            raise ParamsError(
                f"{path}: {name} is not a known key{closest(name, known)}; allowed here: {', '.join(known)}, or the "
                f"name of your own stage in {PIPELINE}."
            )


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


def find_difference(made: Mapping[str, Any], now: Mapping[str, Any], name: str = "") -> str:
    """Return in words the first parameter whose value in `made` differs from its value in `now`, or "".

    Values compare as DVC compares them (1 equals 1.0): a stage is never reported as outdated that DVC would skip.
    """
    for key in {**made, **now}:
        before, after, place = made.get(key), now.get(key), f"{name}{key}"
        if isinstance(before, dict) and isinstance(after, dict):
            found = find_difference(before, after, f"{place}.")
            if found:
                return found
        elif before != after or (key in made) != (key in now):
            one, other = ("nothing" if key not in of else repr(of[key]) for of in (made, now))
            return f"{place} {one}, but {PARAMS} says {other}"
    return ""


def _needed() -> list[str]:
    return [name for name, field in Params.model_fields.items() if field.is_required()]


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
