"""Objects: what a body of JSON holds, with every name that is given twice in an object."""

import json
from collections.abc import Callable
from typing import Any

import orjson
from pydantic_core import from_json

from artifact_flow.serving.delimited import GZIP, PACKED
from artifact_flow.serving.problems import Problem

LONG = 100  # digits of a whole number that only float() reads, as infinity if need be
MARK = b"\xef\xbb\xbf"


class Repeated(dict[str, Any]):
    """A JSON object in which a name is given twice."""

    name = ""


def load(body: bytes, wanted: Callable[[], str], where: str = "") -> Any:
    """Return what a JSON text holds; an object that gives a name twice, wherever it is, is a Repeated.

    Raises Problem when it is not JSON; `wanted` returns what to send instead. A text with as many quotation marks as
    its names and texts need has no name twice, so that most texts are parsed once.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if value is not None and body.count(b'"') == _count_quotes(value):
        return value
    value = None  # not in memory while it is parsed again
    body = body.removeprefix(MARK)
    if body.startswith(GZIP):
        raise Problem(415, PACKED)
    try:
        from_json(body)  # its messages have the line and the column
    except ValueError as error:
        message = str(error)
        hint = " in UTF-8" if b"\0" in body or "unicode" in message else ""
        raise Problem(422, f"{where}invalid JSON: {message}: send {wanted()}{hint}.") from error
    return json.loads(body, object_pairs_hook=_join, parse_int=_parse_whole)


def take_object(value: Any, what: str, wanted: Callable[[], str]) -> dict[str, Any]:
    """Return a value that is an object, each name of which is given once; raise Problem calling it `what` otherwise."""
    if type(value) is dict:
        return value
    if isinstance(value, Repeated):
        raise Problem(422, f"{value.name[:100]!r} is given twice in {what}: give each name once.")
    raise Problem(422, f"{what} is not a JSON object: send {wanted()}.")


def _count_quotes(value: Any) -> int:
    if type(value) is dict:
        count, items = 2 * len(value), list(value.values())
    elif type(value) is list:
        count, items = 0, value
    else:
        return 2 if type(value) is str else 0
    kinds = list(map(type, items))
    if dict in kinds or list in kinds:
        return count + sum(map(_count_quotes, items))
    return count + 2 * kinds.count(str)


def _parse_whole(text: str) -> float:
    return int(text) if len(text) < LONG else float(text)


def _join(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) == len(pairs):
        return row
    repeated = Repeated(row)
    names = [name for name, _ in pairs]
    repeated.name = next(name for place, name in enumerate(names) if name in names[:place])
    return repeated
