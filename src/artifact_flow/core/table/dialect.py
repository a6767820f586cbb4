"""Dialect: how a text file is written around its table: encoding, separator, and lines above the header.

`clean` gives the table alone, as UTF-8, from a file whose form is known; the other functions find that form. A byte
order mark says what the encoding is, whatever the form.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO

from artifact_flow.core.base.errors import DataError
from artifact_flow.core.table.form import Form, Name
from artifact_flow.core.table.streams import BLOCK_BYTES, join_blocks

SEPARATORS = (",", ";", "\t", "|")
BLANKS = " "  # as a separator: any number of blanks and tabs
SNIFFED_ROWS = 20
COMMENT = "#"
SAMPLE = 1 << 14  # bytes from which an encoding is guessed
SEPARATOR_LINE = re.compile(rb"\A(?:\xef\xbb\xbf)?\"?sep=(.)\"?\r?\n", re.IGNORECASE)  # what Excel reads and writes
# byte order marks; UTF-8's own is left to the readers
BYTE_ORDER = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Encodings whose texts are told apart by their letters; among those of Latin letters, Windows' own is the usual one.
OTHER_LETTERS = ("cp1251", "cp1253", "cp932", "gb18030", "big5", "euc_kr")
LATIN, UNDEFINED = "cp1252", re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # the bytes that are no character in cp1252
NOT_ASCII, LETTERS = re.compile(rb"[\x80-\xff]"), re.compile(rb"[A-Za-z]")


def clean(stream: IO[bytes], start: bytes, form: Form, name: Name) -> IO[bytes]:
    """Return a stream of the table alone, as UTF-8; the same stream if there is nothing to change.

    `start` are its first bytes, not yet read. Raises DataError when the form names no encoding; reading raises one when
    the bytes are not of that encoding.
    """
    mark = next((encoding for bom, encoding in BYTE_ORDER.items() if start.startswith(bom)), None)
    encoding = mark or (None if start.startswith(codecs.BOM_UTF8) else form.encoding)
    if not (encoding or form.comment or form.separator == BLANKS or SEPARATOR_LINE.match(start)):
        return stream
    return join_blocks(_clean_blocks(stream, encoding, form, name))


def _clean_blocks(stream: IO[bytes], encoding: str | None, form: Form, name: Name) -> Iterator[bytes]:
    decode = _decoder(encoding, name)
    rest, first = b"", True
    while block := stream.read(BLOCK_BYTES):
        text = rest + decode(block, False)
        cut = len(text) if form.separator != BLANKS else text.rfind(b"\n") + 1
        text, rest = text[:cut], text[cut:]
        if first and text:
            text, first = _without_preamble(text, form), False
        yield _single_blanks(text) if form.separator == BLANKS else text
    rest += decode(b"", True)
    yield _single_blanks(_without_preamble(rest, form) if first else rest) if form.separator == BLANKS else rest


def _decoder(encoding: str | None, name: Name) -> Callable[[bytes, bool], bytes]:
    if encoding is None:
        return lambda block, final: block
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        if not isinstance(decoder.decode(b""), str):
            raise LookupError
    except LookupError as error:
        raise DataError(f"{name}: {encoding} is no encoding; allowed: a name such as cp1252 or utf-16.") from error

    def decode(block: bytes, final: bool) -> bytes:
        try:
            return decoder.decode(block, final).encode()
        except UnicodeError as error:
            raise DataError(f"{name} is not written in {encoding}: name its encoding, or save it as UTF-8.") from error

    return decode


def _without_preamble(text: bytes, form: Form) -> bytes:
    """Return the first block without a line that names the separator, and without the comments above the header."""
    text = SEPARATOR_LINE.sub(b"", text)
    if form.comment:
        mark = re.escape(form.comment.encode())
        text = re.sub(rb"\A(?:\xef\xbb\xbf)?(?:[ \t]*(?:" + mark + rb"[^\n]*)?\n)*", b"", text)
    return text


def _single_blanks(text: bytes) -> bytes:
    """Return lines without blanks at their ends and with single ones between values, outside of quotes."""
    lines = re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", text)
    return re.sub(rb'"[^"]*"|[ \t]+', lambda found: found[0] if found[0].startswith(b'"') else b" ", lines)


def guess_encoding(stream: IO[bytes]) -> str | None:
    """Return the encoding of a text file, or None if it is UTF-8, from all of its bytes that are not ASCII.

    UTF-16 is told by its mark or its zero bytes. latin-1 is named only where cp1252 has no such character.
    """
    decoder, odd = codecs.getincrementaldecoder("utf-8")(), b""
    first = True
    while block := stream.read(BLOCK_BYTES):
        if first and (wide := _wide(block)):
            return wide
        first = False
        if not odd and _is_utf8(decoder, block):
            continue
        odd += b"\n".join(line for line in block.splitlines() if not line.isascii())[:SAMPLE]
    if not odd:
        try:
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            return LATIN
        return None
    from charset_normalizer import from_bytes  # noqa: PLC0415 - rarely needed

    best = from_bytes(odd[:SAMPLE], cp_isolation=[LATIN, "cp1250", *OTHER_LETTERS]).best()
    other = len(NOT_ASCII.findall(odd)) > len(LETTERS.findall(odd)) / 2  # Latin texts have few such letters
    if other and best and best.encoding in OTHER_LETTERS:
        return best.encoding
    return "latin-1" if UNDEFINED.search(odd) else LATIN


def _wide(block: bytes) -> str | None:
    for bom, encoding in BYTE_ORDER.items():
        if block.startswith(bom):
            return encoding
    start = block[:1000]
    if start[1::2].count(0) > len(start) / 4:
        return "utf-16-le"
    return "utf-16-be" if start[0::2].count(0) > len(start) / 4 else None


def _is_utf8(decoder: codecs.IncrementalDecoder, block: bytes) -> bool:
    try:
        decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def find_separator(text: str) -> str:
    """Return the separator that best splits the first rows: evenly and often; blanks only where no other one does.

    A first line such as `sep=;` names it. A header may be one shorter than its rows.
    """
    named = SEPARATOR_LINE.match(text[:16].encode())
    if named:
        return named[1].decode()

    def evenness(mark: str) -> tuple[bool, bool, int]:
        table = text if mark != BLANKS else _single_blanks(text.encode()).decode()
        rows = csv.reader(io.StringIO(table, newline=""), delimiter=mark)
        try:
            first, *others = [len(row) for row in islice(filter(None, rows), SNIFFED_ROWS)]
        except (csv.Error, ValueError):
            return False, False, 0
        widest = max(others, default=first)
        even = min(others, default=first) == widest > 1
        return even and widest - 1 <= first, even and widest == first, first

    best = max(SEPARATORS, key=evenness)
    return BLANKS if not evenness(best)[0] and evenness(BLANKS)[0] else best


def has_comments(text: str, separator: str | None) -> bool:
    """Return whether the lines above the header begin with #; a header that begins so has as many values as a row."""
    lines = text.removeprefix("\ufeff").splitlines()
    count = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith(COMMENT)), 0)
    if not count or not any(line.startswith(COMMENT) for line in lines[:count]):
        return False
    mark = separator or find_separator("\n".join(lines[count:]))
    last = [line for line in lines[:count] if line.strip()][-1]
    return len(next(csv.reader([last], delimiter=mark))) != len(next(csv.reader([lines[count]], delimiter=mark)))
