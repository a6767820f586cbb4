"""Sniff: how a user's file is written, as far as the user does not say so: encoding, separator, comments, header."""

from dataclasses import dataclass, replace
from pathlib import Path

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.base.params import MISSING
from artifact_flow.core.table.dialect import BLANKS, COMMENT, find_separator, guess_encoding, has_comments
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.names import are_values
from artifact_flow.core.table.source import csv_rows, detect_format, open_source, open_unpacked, read_head, read_start

SHOWN = 4  # values of a line in a message
EXAMPLE = 20  # characters of text around one that is not ASCII


@dataclass(frozen=True)
class Given:
    """What the user says about a text file; None: to be found out."""

    separator: str | None = None
    header: bool = True
    missing: tuple[str, ...] = ()
    encoding: str | None = None


def sniff_form(path: Path, given: Given) -> tuple[Form, list[str]]:
    """Return the form of a file, and notes about what was guessed.

    Raises DataError when the file is of another kind, or is not written in the given encoding.
    """
    form = Form(given.separator or ",", given.header, (*MISSING, *given.missing), encoding=given.encoding)
    with open_unpacked(path) as file:
        if detect_format(read_head(file, path)) != "CSV":
            return replace(form, encoding=None), []
    notes = []
    if given.encoding is None:
        with open_unpacked(path) as file:
            form = replace(form, encoding=guess_encoding(file))
    text = read_start(path, form) or ""
    if form.encoding and not given.encoding:
        notes.append(f"not UTF-8: read as {form.encoding}{_example(text)}; --encoding names another")
    if has_comments(text, given.separator):
        form = replace(form, comment=COMMENT)
        text = read_start(path, form) or ""
        notes.append(f"the lines above the header that begin with {COMMENT} are left out")
    if given.separator is None:
        form = replace(form, separator=find_separator(text))
        if form.separator == BLANKS:
            notes.append("the columns are separated by blanks")
    return form, notes


def refuse_values(path: Path, form: Form, target: str) -> None:
    """Raise DataError when the first line of a CSV is a row and no header, unless `target` is in it."""
    if not form.header:
        return
    with open_source(path, form) as file:
        head = read_head(file, path)
    if detect_format(head) != "CSV":
        return
    first, *rows = csv_rows(head, form, path)
    if are_values(first, rows, target):
        raise DataError(
            f"{path} has no header: its first line, {', '.join(first[:SHOWN])} …, is a row: add --no-header, which "
            f"calls the columns column_1 to column_{len(first)}, and name the target so."
        )


def _example(text: str) -> str:
    place = next((place for place, letter in enumerate(text) if not letter.isascii()), None)
    if place is None:
        return ""
    before = text[:place].replace("\n", ",").rpartition(",")[2][-EXAMPLE:]
    after = text[place : place + EXAMPLE].replace("\n", ",").partition(",")[0]
    return f", such as {before}{after}".rstrip()
