"""Difference: which parameter has another value than when a file was made."""

from collections.abc import Mapping
from typing import Any

from artifact_flow.core.base.params import PARAMS


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
