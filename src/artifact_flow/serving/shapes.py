"""Shapes: how many rows and values a large body holds, counted in its bytes before it is parsed.

A parser makes 250 MB to 10 GB of 10 MB of tiny objects (measured). To count their brackets and commas takes 20 ms.
"""

from collections.abc import Callable

import numpy as np

from artifact_flow.serving.problems import Problem

COUNTED, COUNTED_ROW = 200_000, 20_000  # bytes: a smaller batch, or a smaller row, is parsed without being counted
SPARE = 100  # values that a row may have besides its columns: they are refused later, by name
LISTS = 1_000_000  # of 64 bytes, besides their values
OUTER = 16  # brackets or lines besides those of the rows

Measure = Callable[[np.ndarray], tuple[int, int]]  # of bytes, the rows and the values


def check_json(body: bytes, columns: int, max_rows: int) -> None:
    """Raise Problem when JSON cannot be at most `max_rows` rows of about `columns` values."""
    if len(body) > (COUNTED if max_rows > 1 else COUNTED_ROW):
        _check(body, _measure_json, columns, max_rows, escapes=True)


def check_lines(body: bytes, columns: int, max_rows: int) -> None:
    """Raise Problem when JSON lines cannot be at most `max_rows` rows of about `columns` values."""
    if len(body) > COUNTED:
        if body.count(b"\n") > 2 * max_rows + OUTER:  # every second line may be blank
            raise _too_many_rows(body.count(b"\n"), max_rows)
        _check(body, _measure_json, columns, max_rows, escapes=True)


def check_csv(body: bytes, columns: int, max_rows: int) -> None:
    """Raise Problem when CSV cannot be at most `max_rows` rows of about `columns` values."""
    if len(body) > COUNTED:
        _check(body, _measure_csv, 2 * columns, max_rows, escapes=False)  # 2: numbers may have a decimal comma


def check_columns(body: bytes, columns: int, max_rows: int) -> None:
    """Raise Problem when JSON cannot be at most `max_rows` rows of about `columns` values, by rows or by columns."""
    if len(body) <= COUNTED:
        return
    for text in (np.frombuffer(body, np.uint8), _outside_quotes(body, escapes=True)):
        objects, lists, values, names = (_count(text, mark) for mark in "{[,:")
        few = objects <= max_rows + 4 * (columns + SPARE) and names <= (objects + 1) * (columns + SPARE)
        if few and lists <= LISTS and values <= max_rows * (columns + SPARE):
            return
    if lists > LISTS:
        raise Problem(413, f"the body has {lists} lists, more than {LISTS}: send the values of a column as one list.")
    raise Problem(413, f"the body has more than {max_rows} rows of the model's columns: send several requests.")


def _check(body: bytes, measure: Measure, columns: int, max_rows: int, escapes: bool) -> None:
    rows, values = measure(np.frombuffer(body, np.uint8))
    if rows > max_rows + OUTER or values > (rows + 1) * (columns + SPARE):
        rows, values = measure(_outside_quotes(body, escapes))
    if rows > max_rows + OUTER:
        raise _too_many_rows(rows, max_rows)
    if values > (rows + 1) * (columns + SPARE):
        raise Problem(413, f"the body has {values} values in {rows} rows: send rows with the model's columns only.")


def _too_many_rows(rows: int, max_rows: int) -> Problem:
    if max_rows == 1:
        return Problem(422, "the body is not one flat JSON object: send one row; /predict/batch takes several.")
    return Problem(413, f"the body has about {rows} rows, more than {max_rows}: send them in several requests.")


def _outside_quotes(body: bytes, escapes: bool) -> np.ndarray:
    """Return the bytes of a body that are not part of a quoted text, which may contain any."""
    if escapes:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    data = np.frombuffer(body, np.uint8)
    quotes = np.cumsum(data == ord('"'), dtype=np.uint8)  # modulo 256, which keeps even and odd
    outside: np.ndarray = data[quotes % 2 == 0]
    return outside


def _measure_json(text: np.ndarray) -> tuple[int, int]:
    return _count(text, "{") + _count(text, "["), _count(text, ",")


def _measure_csv(text: np.ndarray) -> tuple[int, int]:
    return _count(text, "\n") or _count(text, "\r"), max(_count(text, mark) for mark in ",;\t")


def _count(text: np.ndarray, character: str) -> int:
    return int(np.count_nonzero(text == ord(character)))
