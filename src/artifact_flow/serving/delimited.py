"""Delimited: the columns of a CSV body as texts, found as `predict` finds those of a CSV file."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.dialect import SEPARATORS, SNIFFED_ROWS, clean
from artifact_flow.core.table.ending import MARK, OPEN_QUOTE
from artifact_flow.core.table.form import Form
from artifact_flow.core.table.kinds import refuse_others
from artifact_flow.core.table.names import name_columns
from artifact_flow.serving.problems import Problem

BODY = "the body"
GZIP = b"\x1f\x8b"
PACKED = "the body is compressed by gzip: unpack it, and send what it holds."
START_BYTES = 4096  # which tell what a body is


@dataclass(frozen=True)
class Delimited:
    """The names of the columns in a CSV body, "" for one without a name, and its rows, all as long as `names`."""

    names: list[str]
    rows: list[list[str]]


def read_delimited(
    body: bytes, form: Form, charset: str | None, features: Sequence[str], columns: Sequence[str]
) -> Delimited:
    """Return the columns of a CSV written in a form, or with another separator if that gives more of the features.

    `columns` are those of the training file, all of which a body without a header may have.
    Without a charset, a body is UTF-8, or in the form's encoding if it is not valid UTF-8. Raises Problem when it is
    not CSV, has two columns of one name, or a row has too few or too many values or an open quotation mark.
    """
    text = _decode(body, form, charset)
    quoted = '"' in text
    if quoted and text.strip():
        text += f"\n{MARK}"
    elif not quoted:
        text = text.replace("\r\n", "\n")  # as Excel and Python end lines
    plain = _is_plain(text)
    marks = dict.fromkeys((form.separator, *SEPARATORS))
    wanted = set(features)
    try:
        first = {mark: next(_lines(text, mark, plain), []) for mark in marks} if text.strip() else {}
        separator = max(marks, key=lambda mark: len(wanted & {name.strip() for name in first.get(mark, ())}))
        lines = list(_lines(text, separator, plain))
    except csv.Error as error:
        raise Problem(422, f"the body is not CSV ({error}): send a header and rows of values.") from error
    if quoted:
        _remove_mark(lines, form.header)
    if not lines:
        return Delimited([], [])
    if not form.header and not wanted & set(lines[0]):
        return _without_header(lines, features, columns)
    header = name_columns(lines[0], list(islice(lines, 1, SNIFFED_ROWS + 1)))
    for given in header.renamed.values():
        if given in wanted:
            raise Problem(422, f"the header has several columns named {given}: give each column a different name.")
    names = [name if given else "" for name, given in zip(header.names, header.given, strict=True)]
    return Delimited(names, _even(lines[1:], len(names)))


def _decode(body: bytes, form: Form, charset: str | None) -> str:
    if body.startswith(GZIP):
        raise Problem(415, PACKED)
    encoding = charset or form.encoding
    if not charset and encoding and _is_utf8(body):
        encoding = None
    try:
        if body.strip():
            refuse_others(body[:START_BYTES], BODY)
        stream = clean(io.BytesIO(body), body[:START_BYTES], replace(form, encoding=encoding), BODY)
        return stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = body[: error.start].count(b"\n") + 1
        raise Problem(
            422, f"line {row} of the body is not UTF-8 (byte {error.start}): send UTF-8, with or without a mark."
        ) from error
    except DataError as error:
        raise Problem(422, str(error)) from error


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lines(text: str, separator: str, plain: bool) -> Iterator[list[str]]:
    """Return the rows of a text; lines without any value are left out, as Arrow leaves them out."""
    lines = io.StringIO(text, newline="")
    if plain:
        return (line.split(separator) for line in map(str.rstrip, lines, repeat("\n")) if line)
    return filter(None, csv.reader(lines, delimiter=separator))


def _remove_mark(lines: list[list[str]], header: bool) -> None:
    """Remove the mark behind the last row; raise Problem if it is inside that row's last value."""
    if lines and lines[-1] != [MARK]:
        number = len(lines) - header
        raise Problem(422, f"{f'row {number}' if number else 'the header'}: {OPEN_QUOTE}")
    del lines[-1:]


def _is_plain(text: str) -> bool:
    """Return whether the CSV reader would only split a text, which is slower: at line feeds and at separators."""
    longest = csv.field_size_limit()
    quoted = '"' in text or "\r" in text
    return not quoted and (len(text) <= longest or max(map(len, text.split("\n"))) <= longest)


def _without_header(lines: list[list[str]], features: Sequence[str], columns: Sequence[str]) -> Delimited:
    width = len(lines[0])
    if width == len(features):
        return Delimited(list(features), _even(lines, width, header=False))
    if width == len(columns):
        names = [f"column_{place}" for place in range(1, width + 1)]
        return Delimited(names, _even(lines, width, header=False))
    raise Problem(
        422,
        f"the body has no header and {width} columns: send all {len(columns)} columns of the training file, in their "
        f"order, or only the {len(features)} that the model uses.",
    )


def _even(rows: list[list[str]], width: int, header: bool = True) -> list[list[str]]:
    """Return the rows; raise Problem naming the first that has another number of values."""
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            than = f"the header has {width}" if header else f"the first row has {width}"
            raise Problem(422, f"row {number} has {len(row)} values, {than}: fix that row, or quote its separators.")
    return rows
