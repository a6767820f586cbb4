"""Columns: the features of a model in words, where many columns that differ in a number alone are one line. Pure."""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.encoding import SECONDS_A_DAY

FEWEST = 3  # columns in a row that differ in a number alone, to be one line
NAMED = 12  # categories or classes that are named, at most


@dataclass(frozen=True)
class Line:
    """One or several columns: the first and last name, how many, their type, range and largest share missing."""

    first: str
    last: str
    count: int
    type: str
    range: tuple[str, ...]  # texts: the least and the largest value, the categories, or none
    missing: float


def summarize(features: Iterable[Feature], alone: Container[str] = ()) -> list[Line]:
    """Return the lines for features, in their order; those named in `alone` have a line each."""
    lines = []

    def alike(feature: Feature) -> tuple[str, str]:
        return feature.type, feature.name if feature.name in alone else re.sub(r"\d+", "0", feature.name)

    for _, run in groupby(features, key=alike):
        members = list(run)
        if len(members) < FEWEST or members[0].type == "category":
            lines += [_line([member]) for member in members]
        else:
            lines.append(_line(members))
    return lines


def show_range(feature: Feature) -> tuple[str, ...]:
    """Return the least and the largest value of a feature in the train split, or its categories; nothing if all miss.

    Of a text it is the number of its characters.
    """
    if feature.type == "category":
        return tuple(feature.categories or ())
    if feature.min is None or feature.max is None:
        return ()
    return show_value(feature.min, feature.type), show_value(feature.max, feature.type)


def show_value(value: float, kind: str) -> str:
    """Return a number as a contract holds it in words: a date as a date, a boolean as true or false."""
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "date":
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(value * SECONDS_A_DAY))
        return moment.date().isoformat() if value == int(value) else moment.replace(tzinfo=None).isoformat()
    return f"{value:.6g}"


def name_some(texts: Iterable[str], most: int = NAMED) -> tuple[list[str], int]:
    """Return the first of some texts, and how many more there are."""
    found = list(texts)
    return found[:most], max(0, len(found) - most)


def _line(members: list[Feature]) -> Line:
    first, last = members[0], members[-1]
    lows = [member.min for member in members if member.min is not None]
    highs = [member.max for member in members if member.max is not None]
    whole = first.model_copy(update={"min": min(lows), "max": max(highs)}) if lows and highs else first
    missing = max(member.missing for member in members)
    return Line(first.name, last.name, len(members), first.type, show_range(whole), missing)
