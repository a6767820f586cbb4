"""Params: params.yaml as frozen, validated values. It refuses what it does not know, naming key and value.

One block a stage: `data`, `train`, `infer`. In `train` the names `estimator` and `threads` are reserved; every
other key is a keyword argument of the estimator, which checks it itself when it is built and fitted.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from artifact_flow.errors import ParamsError

PARAMS = Path("params.yaml")


class _Block(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class DataParams(_Block):
    """Where the rows come from and how they are split."""

    source: Annotated[str, Field(description="the name of a built-in data set, such as digits")]
    test_size: Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1, both excluded")]
    seed: Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")]
    stratify: Annotated[bool, Field(description="true or false")]


class TrainParams(_Block):
    """The estimator, and beside it the keyword arguments it is built with."""

    model_config = ConfigDict(extra="allow")

    estimator: Annotated[
        str,
        Field(description="the import path of an estimator, such as sklearn.linear_model.LogisticRegression"),
    ]
    threads: Annotated[int, Field(ge=1, le=1024, description="a whole number of threads, from 1")]

    @property
    def keywords(self) -> dict[str, Any]:
        """The estimator's keyword arguments: every key of the block that is not reserved."""
        return dict(self.__pydantic_extra__ or {})


class InferParams(_Block):
    """How predictions are written."""

    decimals: Annotated[int, Field(ge=1, le=12, description="a whole number from 1 to 12")]


class Params(_Block):
    """The whole of params.yaml."""

    data: Annotated[DataParams, Field(description="a block of keys")]
    train: Annotated[TrainParams, Field(description="a block of keys")]
    infer: Annotated[InferParams, Field(description="a block of keys")]


def load_params(path: Path = PARAMS) -> Params:
    """Return the validated content of a params.yaml.

    Read as YAML 1.2 by the parser that DVC uses, so that both see the same values. Raises ParamsError when the file
    is missing, is not YAML, or holds a key or value that is not allowed.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path} is missing in {Path.cwd()}: run from the repository's root, or `git checkout {path}`."
        ) from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}: it must be a file that you may read.") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ParamsError(f"{path}{where} is not YAML: {error.problem}: mend that line.") from error
    except (YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParamsError(f"{path} is not YAML: {reason}: mend or remove that value.") from error
    return parse_params(document, path)


def parse_params(document: object, path: Path = PARAMS) -> Params:
    """Return validated params from a loaded document; raise ParamsError naming the first wrong key in `path`."""
    if not isinstance(document, dict):
        raise ParamsError(f"{path} holds no blocks; needed: {', '.join(Params.model_fields)}.")
    for block, keys in document.items():
        for key in (block, *(keys if isinstance(keys, dict) else ())):
            if not isinstance(key, str):
                raise ParamsError(f"{path}: the key {key!r} is {_kind(key)}; allowed: a name, which is text.")
    try:
        params = Params.model_validate(document)
    except ValidationError as error:
        raise ParamsError(_sentence(error, path)) from error
    for key, value in params.train.keywords.items():
        if not _is_plain(value):
            raise ParamsError(
                f"{path}: train.{key} is {value!r} ({_kind(value)}); allowed: a number, text, true or false, null, "
                "or lists and mappings of these."
            )
    return params


def closest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" for the known word nearest to `word`, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _sentence(error: ValidationError, path: Path) -> str:
    first = error.errors(include_url=False)[0]
    *parents, key = (str(part) for part in first["loc"])
    block: Any = Params
    for parent in parents:
        block = block.model_fields[parent].annotation
    name = ".".join((*parents, key))
    if first["type"] == "extra_forbidden":
        known = list(block.model_fields)
        return f"{path}: {name} is not a known key{closest(key, known)}; allowed here: {', '.join(known)}."
    allowed = block.model_fields[key].description
    if first["type"] == "missing":
        return f"{path}: {name} is missing; give it {allowed}."
    found = first["input"]
    return f"{path}: {name} is {found!r} ({_kind(found)}); allowed: {allowed}."


def _kind(value: object) -> str:
    kinds = {"str": "text", "NoneType": "nothing", "bool": "true or false", "dict": "a block", "list": "a list"}
    name = type(value).__name__
    return "a number" if name in ("int", "float") else kinds.get(name, f"a {name}")


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
