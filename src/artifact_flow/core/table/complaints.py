"""Complaints: Arrow's errors about a file as one sentence with the file, row, column, value and remedy."""

import re
from collections.abc import Sequence

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.columns import WORDS, no_fit
from artifact_flow.core.table.form import Name

JSON_WORDS = {
    "string": "text",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def explain_refusal(error: Exception, path: Name, names: Sequence[str], row: int = 1) -> DataError:
    """Return Arrow's error about a text file as one sentence: file, row, column, value, remedy.

    `row` is the number of the first row of the current batch, from which Arrow counts in JSON lines.
    """
    message = " ".join(str(error).split())
    where = str(path)
    if found := re.search(r"Row #(\d+)", message):
        where = f"{path}, row {found[1]}"
    elif found := re.search(r"\.? in row (\d+)$", message):
        where, message = f"{path}, row {row + int(found[1])}", message[: found.start()]
    if found := re.search(r"Expected (\d+) columns, got (\d+)", message):
        return DataError(f"{where}: {ragged_row(found[1], found[2])}")
    column = re.search(r"column #(\d+)", message)
    name = names[int(column[1])] if column and int(column[1]) < len(names) else "a column"
    if "UTF8" in message:
        return DataError(
            f"{where}: {name} is not UTF-8: save the file as UTF-8, or name its encoding, as `init --encoding` does."
        )
    if found := re.search(r"conversion error to (\w+).*invalid value '(.*)'$", message):
        kinds = {"double": "number", "bool": "boolean", "timestamp": "date"}
        word = WORDS[kinds.get(found[1], "number")]
        return no_fit(where, name, repr(found[2]), word)
    if found := re.search(r"Column\(/(.*)\) changed from (\w+) to (\w+)$", message):
        wanted, is_ = (JSON_WORDS.get(kind, kind) for kind in found.group(2, 3))
        return DataError(f"{where}: {other_kind(found[1], is_, wanted)}")
    return DataError(f"{where} cannot be read as a table: {message.rstrip('.')}.")


def damaged_file(path: Name, error: Exception) -> DataError:
    """Return the sentence about a file that cannot be read to its end."""
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"{path} is damaged or cut off ({reason}): copy it again from its origin.")


def ragged_row(expected: object, found: object) -> str:
    """Return what is wrong with a row whose number of values differs from the number of columns."""
    return f"{found} values instead of {expected}: fix that row, or quote its separators."


def other_kind(name: str, found: str, wanted: str) -> str:
    """Return what is wrong with a JSON value whose type differs from the column's first value."""
    return f"{name} is {found}, but {wanted} is expected: write it the same way in every row."
