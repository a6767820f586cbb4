"""Mixed: columns of numbers with texts among them, which never become categories unless the user says so."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.numbers import are_numbers

MOSTLY = 0.5  # share of values that are numbers, from which texts among them are an error
FEW_MARKS = 10  # distinct texts among numbers up to which they are marks; more are texts in their own right


@dataclass(frozen=True)
class Mixed:
    """A column of numbers with texts among them: the first one's place, the distinct texts, the share of numbers.

    `other` names another role that the column may have.
    """

    name: str
    place: int
    texts: list[str]
    share: float
    other: str


def find_mixed(name: str, values: pa.ChunkedArray, text: bool, other: str) -> list[Mixed]:
    """Return the column if most of its values are numbers and some are not; `text`: it would be read as text."""
    distinct, counts = values.drop_null().value_counts().flatten()
    numbers = are_numbers(distinct)
    share = (pc.sum(counts.filter(numbers)).as_py() or 0) / max(1, pc.sum(counts).as_py() or 0)
    texts = distinct.filter(pc.invert(numbers)).to_pylist() if MOSTLY <= share < 1 else []
    if not texts or (not text and len(texts) > FEW_MARKS):
        return []
    return [Mixed(name, pc.index(values, pa.scalar(texts[0])).as_py(), texts, share, other)]


def refuse_mixed(path: Path, form: Form, columns: Sequence[Mixed]) -> None:
    """Raise DataError about columns of numbers with texts among them; the first is explained, the others are named."""
    if not columns:
        return
    first, *rest = columns
    row = 1 + form.header
    marks = shlex.join(first.texts if len(first.texts) <= FEW_MARKS else first.texts[:1])
    others = ", ".join(f"{one.name} ({one.texts[0]!r} in row {one.place + row})" for one in rest)
    raise DataError(
        f"{path}, row {first.place + row}: {first.name} is {first.texts[0]!r}, but {first.share:.1%} of its values "
        f"are numbers: fix it; or, if it stands for a missing value, add --missing {marks}{first.other}; or leave the "
        f"column out with --leave-out {shlex.quote(first.name)}" + (f"; the same holds for {others}." if rest else ".")
    )
