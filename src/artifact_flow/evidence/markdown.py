"""Markdown: tables and code spans that hold any text. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence

from artifact_flow.core.base.legend import ColumnLegend
from artifact_flow.evidence.columns import name_some


def code(text: object) -> str:
    """Return a text as a code span that stays one cell of a table, whatever it holds."""
    words = " ".join(str(text).split()).replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", words)), default=0) + 1)
    pad = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{fence}{pad}{words}{pad}{fence}"


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def list_some(texts: Iterable[str]) -> str:
    """Return some texts as code spans, and how many more there are."""
    named, more = name_some(texts)
    return ", ".join(map(code, named)) + (f" and {more} more" if more else "")


def escape(text: str) -> str:
    """Return a text without what Markdown would read as its own marks."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))


def show_words(legend: ColumnLegend) -> tuple[str, str]:
    """Return a column's unit and description as Markdown, "" where there is none."""
    return escape(legend.unit or ""), escape(legend.description or "")
