"""Identifiers: whether different whole numbers name the rows or measure something, by their name and their values."""

import re

import numpy as np

STRONG = {"id", "ids", "key", "uuid", "guid", "code", "identifier"}
WEAK = {"index", "row", "no", "nr", "num", "number"}  # these may also name a quantity
MEASURES = {
    *("year", "years", "yr", "month", "months", "week", "weeks", "day", "days", "date", "hour", "hours", "time"),
    *("minute", "minutes", "second", "seconds", "timestamp", "age", "price", "cost", "amount", "salary", "income"),
    *("count", "total", "sum", "mean", "average", "size", "length", "distance", "weight", "height", "random", "value"),
}
JOINED = re.compile(r"(user|customer|cust|client|order|item|product|person|patient|employee|emp|account|row|record)id$")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
YEARS = (1800, 2100)


def identifier_reason(name: str, numbers: np.ndarray) -> str:
    """Return why different whole numbers, float64 [rows] in the file's order, identify the rows, or "" if they do not.

    Consecutive numbers do unless they are years or the name is that of a measure; others only by their name, and a name
    that may also be that of a quantity, such as `number`, only if they rise from row to row.
    """
    words = [word.lower() for word in WORDS.findall(name)] or ["id"]
    last, measure = words[-1], bool(MEASURES & {*words})
    strong = last in STRONG or JOINED.search(last) is not None
    low, high = float(numbers.min()), float(numbers.max())
    years = YEARS[0] <= low <= high <= YEARS[1] and last not in WEAK
    if high - low == len(numbers) - 1 and (strong or not (measure or years)):
        return "counts the rows"
    if strong:
        return f"different whole numbers, named as {last}"
    if measure:
        return ""
    steps = np.diff(numbers)
    rising = bool((steps > 0).all() or (steps < 0).all())
    if last in WEAK and (rising or (len(words) > 1 and last != "index")):
        return f"different whole numbers, named as {last}"
    return ""
