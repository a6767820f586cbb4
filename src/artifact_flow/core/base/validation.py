"""Validation: the first error of a document as one sentence with the file, key, value and what is allowed.

Each field's `description` says what is allowed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from artifact_flow.core.base.errors import ParamsError, closest
from artifact_flow.core.base.pipeline import PIPELINE, read_pipeline


def check_blocks(document: Mapping[str, Any], known: Sequence[str], path: Path) -> None:
    """Raise ParamsError for a block that is neither `known` nor named as a stage of the dvc.yaml next to `path`."""
    unknown = [name for name in document if name not in known]
    pipeline = read_pipeline(path.parent) if unknown else None
    stages = {title.partition("@")[0] for title in pipeline.stages} if pipeline else set()
    for name in unknown:
        if name not in stages:
            raise ParamsError(
                f"{path}: {name} is not a known key{closest(name, known)}; allowed here: {', '.join(known)}, or the "
                f"name of your own stage in {PIPELINE}."
            )


def explain_error(error: ValidationError, model: type[BaseModel], path: Path) -> str:
    """Return the sentence about the first error of a document, read from `path`, that is not a valid `model`."""
    first = error.errors(include_url=False)[0]
    names: list[str] = []
    parent, block = model, model  # the block that holds the last key, and the one in that key's value, if there is one
    allowed, types, keyed = None, set[str](), False
    for part in map(str, first["loc"]):
        if part in types:  # pydantic's name for one of several types that a value may have
            continue
        names.append(part)
        if keyed:  # the key of one of several blocks
            keyed = False
            continue
        parent = block
        field = parent.model_fields.get(part)
        if field is None:  # an unknown key, or a position inside a list or a mapping
            continue
        allowed, types = field.description, _type_names(field.annotation)
        block = next((kind for kind in nested_models(field.annotation)), block)
        keyed = bool(_mappings(field.annotation))
    name = ".".join(names)
    if first["type"] == "extra_forbidden":
        known = list(parent.model_fields)
        return f"{path}: {name} is not a known key{closest(names[-1], known)}; allowed here: {', '.join(known)}."
    if first["type"] == "missing":
        return f"{path}: {name} is missing; give it {allowed}."
    found = first["input"]
    return f"{path}: {name} is {found!r} ({kind_of(found)}); allowed: {allowed}."


def nested_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic models in a field's annotation, such as in `TableParams | None` or `dict[str, Block]`."""
    kinds = [*_alternatives(annotation), *(get_args(kind)[1] for kind in _mappings(annotation))]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _mappings(annotation: Any) -> list[Any]:
    """Return the mappings of blocks in an annotation, such as `dict[str, Block]`."""
    mappings = [kind for kind in _alternatives(annotation) if get_origin(kind) is dict]
    return [kind for kind in mappings if isinstance(get_args(kind)[1], type(BaseModel))]


def _type_names(annotation: Any) -> set[str]:
    """Return the names of the types in an annotation such as `float | Block | None`, empty for a single type."""
    kinds = [getattr(kind, "__origin__", kind) for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) not in (Union, UnionType) or len(kinds) < 2:
        return set()
    return {form.format(kind.__name__) for kind in kinds for form in ("{}", "constrained-{}")}


def kind_of(value: object) -> str:
    """Return the type of a YAML value in words."""
    kinds = {"str": "text", "NoneType": "nothing", "bool": "true or false", "dict": "a block", "list": "a list"}
    name = type(value).__name__
    return "a number" if name in ("int", "float") else kinds.get(name, f"a {name}")
