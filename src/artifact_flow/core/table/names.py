"""Names: the first line of a text table as unique column names, and whether it is a header at all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from artifact_flow.core.base.cells import FINITE

NUMBER = re.compile(FINITE)


@dataclass(frozen=True)
class Header:
    """The names of a file's columns, and as the file gives them: "" for a column without one."""

    names: list[str]
    given: list[str]

    @property
    def index(self) -> str | None:
        """The name of the first column if the file does not name it: pandas and R write row numbers or names there."""
        return self.names[0] if self.given and not self.given[0] else None

    @property
    def renamed(self) -> dict[str, str]:
        """The name of each column whose own name an earlier column has, with that name."""
        pairs = zip(self.names, self.given, strict=True)
        return {name: given for name, given in pairs if given not in ("", name)}

    @property
    def notes(self) -> list[str]:
        """What to tell about columns that are not called what the file calls them."""
        unnamed = [name for name, given in zip(self.names, self.given, strict=True) if not given]
        again = [
            f"{given} is the name of several columns: another is called {name}" for name, given in self.renamed.items()
        ]
        return [
            *([f"columns without a name are called by their place: {', '.join(unnamed)}"] if unnamed else []),
            *again,
        ]


def name_columns(first: Sequence[str], rows: Sequence[Sequence[str]]) -> Header:
    """Return the header of a text table whose first line is `first` and whose next rows are `rows`.

    Where every row has one value more than the header, the first column has no name, as R writes row names; or the
    last, if it is empty throughout. A column without a name is called by its place, such as column_3. A name that
    occurs again gets a number, such as size_2.
    """
    given = [" ".join(name.split()) for name in first]
    if rows and all(len(row) == len(first) + 1 for row in rows):
        if not any(row[-1].strip() for row in rows):
            given.append("")
        elif len(rows) > 1:  # a single row may have a value too many
            given.insert(0, "")
    while len(given) > 1 and not given[-1] and rows and all(len(row) < len(given) for row in rows):
        given.pop()
    names: list[str] = []
    held, seen = set(given), set[str]()
    for place, name in enumerate(given, start=1):
        unique = name
        if not name or name in seen:
            stem, number = ("column", place) if not name else (name, 2)
            while (unique := f"{stem}_{number}") in held:
                number += 1
            held.add(unique)
        seen.add(name)
        names.append(unique)
    return Header(names, given)


def are_values(first: Sequence[str], rows: Sequence[Sequence[str]], target: str) -> bool:
    """Return whether a file's first line is a row of values and no header.

    So it is where a text in it occurs below in the same column; where a number repeats in it; or where it has numbers
    that are no whole ones, or not in ascending order, as years or places would be, and none is called `target`.
    """
    columns = list(zip(first, *(row for row in rows if len(row) == len(first)), strict=True))
    if not columns or len(columns[0]) < 2:
        return False
    numeric = [name.strip() for name, *below in columns if _is_number(name) and any(map(_is_number, below))]
    if not numeric:
        return False
    repeated = any(
        name.strip() in map(str.strip, below) for name, *below in columns if name.strip() and not _is_number(name)
    )
    values = [float(name) for name in numeric]
    ascending = all(one < two for one, two in pairwise(values))
    plain = ascending and all(value.is_integer() for value in values)
    return repeated or (not plain and target not in map(str.strip, first))


def _is_number(text: str) -> bool:
    return bool(NUMBER.fullmatch(text.strip()))
