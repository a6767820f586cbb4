"""Ending: a line of our own after the last one of a CSV, by which a quotation mark that is never closed is found.

Arrow's and Python's readers take such a value, and with it all rows below, to the end of the file without a word. The
line has a value more than there are columns, so that Arrow reports it, unless it is inside that value.
"""

from collections.abc import Sequence
from itertools import chain
from typing import IO

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.form import Form, Name
from artifact_flow.core.table.streams import BLOCK_BYTES, join_blocks

MARK = "\x1aend of the table"
OPEN_QUOTE = "a quotation mark is never closed: close it, or write one within a value twice."


class Ending:
    """The line after the last one of one CSV, and whether its reader came to it."""

    def __init__(self, name: Name, names: Sequence[str], form: Form) -> None:
        """Take what messages call the CSV, its columns and its form."""
        self._name, self._line = name, MARK + form.separator * len(names)
        self._seen = self._inside = False
        self._row: int | None = None  # with the line inside it, where Arrow numbers rows: with one thread

    def append_to(self, stream: IO[bytes]) -> IO[bytes]:
        """Return a stream that yields the line after the rest of another one."""
        return join_blocks(chain(iter(lambda: stream.read(BLOCK_BYTES), b""), (f"\n{self._line}\n".encode(),)))

    def take(self, text: str, number: int | None) -> bool:
        """Return whether a row that Arrow reports is the line or has it inside; Arrow hides what its handler raises."""
        if text == self._line:
            self._seen = True
        elif self._line in text:
            self._inside, self._row = True, number
        else:
            return False
        return True

    def check(self, row: int) -> None:
        """Raise DataError unless the line was reported; `row` is the number of the last row that Arrow gave."""
        if not self._seen:
            raise DataError(f"{self._name}, row {self._row or row + self._inside}: {OPEN_QUOTE}")
