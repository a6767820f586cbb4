"""Findings: what is wrong, where, and the cure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Finding:
    """One fault: its place, what is wrong there in one sentence, and the command or action that removes it.

    An error stops the pipeline or makes its results wrong, a warning may do so later, a note is a choice.
    """

    where: str
    what: str
    cure: str
    severity: Severity = "error"


def shorten(names: Sequence[str], most: int = 3) -> str:
    """Return names as a list in words, the first `most` of them by name."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
