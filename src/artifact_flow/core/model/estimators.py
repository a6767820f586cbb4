"""Estimators: import paths and arguments from params.yaml become unfitted objects, nested as they are there.

Among the arguments, a mapping with the key `estimator` is an object too: `{estimator: sklearn.decomposition.PCA,
n_components: 10}`. The steps of a pipeline, and the parts of a voting, stacking or column-wise estimator, are lists of
`[name, object]`. An argument whose name is reserved stands under `keywords`. Every error names the full key.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

from artifact_flow.core.base.errors import ParamsError, closest
from artifact_flow.core.base.params import PARAMS, TrainParams
from artifact_flow.core.base.validation import kind_of
from artifact_flow.core.model.imports import import_class
from artifact_flow.core.model.own_code import OWN

ESTIMATOR, KEYWORDS = "estimator", "keywords"
NAMED_PARTS = ("steps", "estimators", "transformers", "transformer_list")  # arguments that are lists of [name, object]
WORDS = ("passthrough", "drop")  # what stands for an object in such a list


class Argument(NamedTuple):
    """An argument as params.yaml gives it: its name, its full key, and its value, which may hold objects."""

    name: str
    key: str
    value: Any


def build_estimator(params: TrainParams) -> Any:
    """Return the unfitted estimator that the block `train` describes.

    Raises ParamsError when an import path names no estimator, or an argument is unknown or cannot be passed.
    """
    cls = import_class(params.estimator, "train.estimator")
    if not (issubclass(cls, BaseEstimator) and hasattr(cls, "predict")):
        raise ParamsError(
            f"{PARAMS}: train.estimator is {params.estimator!r}, which is not a classifier or regressor; allowed: the "
            "import path of one, such as sklearn.linear_model.LogisticRegression."
        )
    estimator = _build(_describe(params), "train")
    for name, values in (params.search.space if params.search else {}).items():
        owner, argument = _find_owner(estimator, Argument(name, f"train.search.space.{name}", values), params.estimator)
        for value in values:
            _refuse_bool(type(owner), Argument(argument, f"train.search.space.{name}", value))
    return estimator


def uses_own_code(params: TrainParams) -> bool:
    """Return whether the estimator, or an object inside it, is of a class in src/own."""
    return any(path.partition(".")[0] == OWN for path in _list_paths(_describe(params)))


def explain_refusal(params: TrainParams, error: Exception) -> str:
    """Return the sentence for what an estimator raised, with the full key of the argument that it rejects, if any."""
    message = " ".join(str(error).split())
    # scikit-learn's own checks read: The 'C' parameter of LogisticRegression must be … Got 0 instead.
    found = re.fullmatch(r"The '(\w+)' parameter of (\w+) must be (.*)\. Got (.*) instead\.", message)
    if found:
        name, owner, allowed, value = found.groups()
        keys = [
            argument.key
            for cls, argument in _list_arguments(_describe(params), "train")
            if (argument.name == name and cls == owner) or argument.name.endswith(f"__{name}")
            if repr(argument.value) == value or not isinstance(argument.value, float | int | str)
        ]
        if keys:
            return f"{PARAMS}: {keys[0]} is {value}; allowed: {allowed}."
    return f"{PARAMS}: train: {params.estimator} rejects these arguments or this data: {message.rstrip('.')}."


def _describe(params: TrainParams) -> dict[str, Any]:
    """Return the block `train` without what is not the estimator's, as an object inside it would be described."""
    return {ESTIMATOR: params.estimator, **params.others} | ({KEYWORDS: params.keywords} if params.keywords else {})


def _build(described: Mapping[str, Any], key: str) -> Any:
    cls = import_class(described[ESTIMATOR], f"{key}.{ESTIMATOR}")
    known, given, later = _known_arguments(cls), {}, []
    for argument in _arguments(described, key):
        if known is not None and argument.name not in known:
            if "__" not in argument.name:
                raise _unknown(argument, described[ESTIMATOR], known)
            later.append(argument)
            continue
        _refuse_bool(cls, argument)
        value = _build_value(argument.value, argument.key, argument.name)
        given[argument.name] = tuple(value) if isinstance(value, list) and _needs_tuple(cls, argument.name) else value
    try:
        built = cls(**given)
    except Exception as error:  # scikit-learn's estimators raise various exceptions
        raise ParamsError(
            f"{PARAMS}: {key}: {described[ESTIMATOR]} rejects these arguments: {' '.join(str(error).split())}."
        ) from error
    for argument in later:
        owner, name = _find_owner(built, argument, described[ESTIMATOR])
        _refuse_bool(type(owner), argument._replace(name=name))
        built.set_params(**{argument.name: _build_value(argument.value, argument.key, name)})
    return built


def _build_value(value: Any, key: str, name: str = "") -> Any:
    if isinstance(value, dict):
        if ESTIMATOR in value:
            return _build(value, key)
        return {part: _build_value(item, f"{key}.{part}") for part, item in value.items()}
    if isinstance(value, list):
        if name in NAMED_PARTS:
            return [_build_named(item, f"{key}[{number}]") for number, item in enumerate(value)]
        return [_build_value(item, f"{key}[{number}]") for number, item in enumerate(value)]
    return value


def _build_named(item: Any, key: str) -> tuple[Any, ...]:
    """Return one of the named parts of an estimator, such as a step, as the tuple that scikit-learn needs."""
    if (
        not isinstance(item, list)
        or len(item) < 2
        or not isinstance(item[0], str)
        or not (item[1] in WORDS or (isinstance(item[1], dict) and ESTIMATOR in item[1]))
    ):
        raise ParamsError(
            f"{PARAMS}: {key} is {item!r}; allowed: [name, {{estimator: import path, …}}], or passthrough or drop in "
            "place of the mapping."
        )
    return (item[0], _build_value(item[1], key), *item[2:])


def _arguments(described: Mapping[str, Any], key: str) -> list[Argument]:
    """Return the arguments of an object, those under `keywords` last."""
    more = described.get(KEYWORDS, {})
    if not isinstance(more, dict):
        raise ParamsError(
            f"{PARAMS}: {key}.{KEYWORDS} is {more!r} ({kind_of(more)}); allowed: a mapping of arguments whose names "
            "are reserved."
        )
    own = {name: value for name, value in described.items() if name not in (ESTIMATOR, KEYWORDS)}
    twice = [name for name in more if name in own]
    if twice:
        raise ParamsError(f"{PARAMS}: {key}.{twice[0]} and {key}.{KEYWORDS}.{twice[0]} are one argument: remove one.")
    return [
        *(Argument(name, f"{key}.{name}", value) for name, value in own.items()),
        *(Argument(name, f"{key}.{KEYWORDS}.{name}", value) for name, value in more.items()),
    ]


def _list_arguments(described: Any, key: str) -> Iterator[tuple[str, Argument]]:
    """Yield the class name and each argument of an object, then those of the objects among its arguments."""
    if isinstance(described, dict) and ESTIMATOR in described:
        for argument in _arguments(described, key):
            yield described[ESTIMATOR].rpartition(".")[2], argument
            yield from _list_arguments(argument.value, argument.key)
    elif isinstance(described, dict):
        for name, value in described.items():
            yield from _list_arguments(value, f"{key}.{name}")
    elif isinstance(described, list):
        named = all(isinstance(item, list) and item and isinstance(item[0], str) for item in described)
        for number, item in enumerate(described):
            for value in item if named else (item,):  # the object of [name, object] stands at its pair's place
                yield from _list_arguments(value, f"{key}[{number}]")


def _list_paths(described: Any) -> Iterator[str]:
    """Yield the import path of each object in a description."""
    if isinstance(described, dict) and ESTIMATOR in described:
        path = described[ESTIMATOR]
        yield from (path,) if isinstance(path, str) else _list_paths(path)
    for value in (
        described.values() if isinstance(described, dict) else described if isinstance(described, list) else ()
    ):
        yield from _list_paths(value)


def _find_owner(estimator: Any, argument: Argument, path: str) -> tuple[Any, str]:
    """Return the object that an argument such as `pca__n_components` belongs to, and its name there.

    Raises ParamsError when neither the estimator nor an object inside it has such an argument.
    """
    inside = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    known = _known_arguments(type(estimator))
    if known is not None and argument.name not in {*known, *inside}:
        raise _unknown(argument, path, known, inside)
    owner, _, name = argument.name.rpartition("__")
    return (inside[owner], name) if owner in inside else (estimator, argument.name)


def _known_arguments(cls: type) -> list[str] | None:
    """Return the names of a class's arguments, or None if it accepts any."""
    try:
        parameters = inspect.signature(cls).parameters
    except ValueError:  # compiled code without a signature
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return list(parameters)


def _unknown(argument: Argument, path: str, known: list[str], inside: Mapping[str, Any] | None = None) -> ParamsError:
    near = closest(argument.name, {*known, *(inside or {})})
    return ParamsError(
        f"{PARAMS}: {argument.key} is not an argument of {path}{near}; allowed: {', '.join(sorted(known)) or 'none'}."
    )


def _needs_tuple(cls: type, name: str) -> bool:
    """Return whether scikit-learn takes a tuple for an argument, but no list, which is all that YAML has."""
    constraints = getattr(cls, "_parameter_constraints", {}).get(name, ())
    return tuple in constraints and list not in constraints and "array-like" not in constraints


def _refuse_bool(cls: Any, argument: Argument) -> None:
    """Raise ParamsError when an argument is true or false and the class does not document it as a boolean.

    Python's True equals 1, which scikit-learn would accept for `C`; numpy's bool is not a number and is rejected.
    """
    constraints = getattr(cls, "_parameter_constraints", {})
    name, value = argument.name, argument.value
    if isinstance(value, bool) and name in constraints:
        try:
            validate_parameter_constraints({name: constraints[name]}, {name: np.bool_(value)}, cls.__name__)
        except InvalidParameterError as error:
            allowed = str(error).partition(" must be ")[2].partition(". Got ")[0]
            raise ParamsError(
                f"{PARAMS}: {argument.key} is {str(value).lower()}; allowed: {' '.join(allowed.split())}."
            ) from error
