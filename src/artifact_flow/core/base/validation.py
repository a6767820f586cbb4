"""Validation: pydantic's first error about a document as one sentence with the file, key, value and what is allowed.

Each field's `description` says what is allowed.
"""

from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from artifact_flow.core.base.errors import closest


def explain_error(error: ValidationError, model: type[BaseModel], path: Path) -> str:
    """Return the sentence about the first error of a document, read from `path`, that is not a valid `model`."""
    first = error.errors(include_url=False)[0]
    names: list[str] = []
    block = model
    allowed = None
    for part in map(str, first["loc"]):
        names.append(part)
        field = block.model_fields.get(part)
        if field is None:  # an unknown key, or a position inside a list or a mapping
            break
        allowed = field.description
        block = next((kind for kind in nested_models(field.annotation)), block)
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        parent = model
        for part in names[:-1]:
            parent = next(iter(nested_models(parent.model_fields[part].annotation)))
        known = list(parent.model_fields)
        return f"{path}: {name} is not a known key{closest(names[-1], known)}; allowed here: {', '.join(known)}."
    if first["type"] == "missing":
        return f"{path}: {name} is missing; give it {allowed}."
    found = first["input"]
    return f"{path}: {name} is {found!r} ({kind_of(found)}); allowed: {allowed}."


def nested_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic models in a field's annotation, such as `TableParams` in `TableParams | None`."""
    kinds = get_args(annotation) or (annotation,)
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def kind_of(value: object) -> str:
    """Return the type of a YAML value in words."""
    kinds = {"str": "text", "NoneType": "nothing", "bool": "true or false", "dict": "a block", "list": "a list"}
    name = type(value).__name__
    return "a number" if name in ("int", "float") else kinds.get(name, f"a {name}")
