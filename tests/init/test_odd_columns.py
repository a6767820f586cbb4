"""Tables whose columns are easily misread: each ends in the right roles, or in a sentence that names the cure.

Of those that are accepted, the values and the test score are those of plain scikit-learn.
"""

import contextlib
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from init.odd import adopt, check_score, predict, refuse

from artifact_flow.stages import infer

ROWS = 60
RANDOM = np.random.default_rng(14)
SIZE = [round(float(value), 3) for value in RANDOM.normal(50, 10, ROWS)]
NOISE = RANDOM.normal(0, 4, ROWS)
PRICE = tuple(round(2 * size + float(noise), 2) for size, noise in zip(SIZE, NOISE, strict=True))
KIND = ["up" if price > 100 else "down" for price in PRICE]
DISTINCT = [int(number) * int(number) * 7 + 11 for number in RANDOM.permutation(ROWS)]  # whole, not consecutive
START = datetime(2024, 1, 15, 8, tzinfo=UTC).timestamp()
SECONDS = [START + int(step) * 7600 for step in RANDOM.permutation(ROWS)]  # within a week
DATES = [START // 86400 * 86400 + int(step) * 86400 for step in RANDOM.integers(0, 400, ROWS)]


def form(seconds: Sequence[float], pattern: str) -> list[str]:
    """Return moments as texts."""
    return [datetime.fromtimestamp(one, UTC).strftime(pattern) for one in seconds]


def days(seconds: Sequence[float]) -> list[float]:
    """Return moments as days since 1970."""
    return [one / 86400 for one in seconds]


def months() -> list[str]:
    """Return months of three years."""
    return [f"{2021 + place % 3}-{1 + place * 5 % 12:02}" for place in range(ROWS)]


def cycle(*values: str) -> list[str]:
    """Return the values again and again, a row each."""
    return [values[int(place)] for place in RANDOM.integers(0, len(values), ROWS)]


@dataclass(frozen=True)
class Odd:
    """A table: a column as the file has it, its name, and what it shall become."""

    name: str
    texts: Sequence[Any]
    role: str
    values: Sequence[Any] | None = None  # what the model shall see; None: nothing
    says: str = ""  # `init` prints this
    target: Sequence[Any] = PRICE
    arguments: Sequence[str] = ()


ZIPS, BOOLS = cycle("02134", "10001", "00501"), cycle("Yes", "No", "yes")
CARDS = [4_000_123_412_340_000 + 7 * int(place) for place in RANDOM.integers(0, 30, ROWS)]
MANY_DIGITS = [str(90_071_992_547_409_931 + 2 * int(place)) for place in RANDOM.integers(0, 4, ROWS)]
NUMERIC: Callable[[Sequence[Any]], list[float]] = lambda texts: [float(text) for text in texts]  # noqa: E731
ACCEPTED = {
    "a year a row": Odd("year", range(1960, 1960 + ROWS), "number", range(1960, 1960 + ROWS)),
    "years that begin where the name is unknown": Odd("vintage", range(1900, 1960), "number", range(1900, 1960)),
    "a random quantity called number": Odd("number", DISTINCT, "number", DISTINCT),
    "a quantity that was paid": Odd("paid", DISTINCT, "number", DISTINCT),
    "an employee's number": Odd("EmployeeNumber", DISTINCT, "id", says="different whole numbers, named as number"),
    "a code a row": Odd("Major_code", DISTINCT, "id", says="different whole numbers, named as code"),
    "a counter": Odd("rank", range(5, 5 + ROWS), "id", says="counts the rows"),
    "time zones": Odd("at", form(SECONDS, "%Y-%m-%dT%H:%M:%S+02:00"), "date", days([one - 7200 for one in SECONDS])),
    "time zones of which some are Z": Odd(
        "at",
        [text + ("Z" if place % 2 else "+0000") for place, text in enumerate(form(SECONDS, "%Y-%m-%d %H:%M:%S"))],
        "date",
        days(SECONDS),
    ),
    "months": Odd(
        "month", months(), "date", days([datetime.fromisoformat(f"{one}-01T00:00Z").timestamp() for one in months()])
    ),
    "dates without marks": Odd("day", form(DATES, "%Y%m%d"), "date", days(DATES), "being a date"),
    "dates with slashes, year first": Odd("day", form(DATES, "%Y/%m/%d"), "date", days(DATES)),
    "month first, told by the values": Odd(
        "day", form(DATES, "%-m/%-d/%Y"), "month-first date", days(DATES), "has the month first"
    ),
    "day first, told by the values": Odd(
        "day", form(DATES, "%-d.%-m.%Y"), "day-first date", days(DATES), "has the day first"
    ),
    "day first with a time": Odd(
        "at", form(SECONDS, "%d/%m/%Y %H:%M"), "day-first date", days([s // 60 * 60 for s in SECONDS])
    ),
    "day first, told by the user": Odd(
        "day",
        [f"{1 + place % 9}/{1 + place % 12}/2024" for place in range(ROWS)],
        "day-first date",
        days([datetime(2024, 1 + place % 12, 1 + place % 9, tzinfo=UTC).timestamp() for place in range(ROWS)]),
        "set by you",
        arguments=["--day-first", "day"],
    ),
    "both orders": Odd(
        "day",
        ["1/28/2024" if place % 2 else f"{13 + place % 15}/2/2024" for place in range(ROWS)],
        "left out",
        says="a date that is not written as 2026-11-21",
    ),
    "booleans of mixed case": Odd("garden", BOOLS, "boolean", [float(text.lower() == "yes") for text in BOOLS]),
    "zip codes": Odd("zip", ZIPS, "category", ZIPS, "codes with leading zeros, kept as text"),
    "17 digits": Odd("account", MANY_DIGITS, "category", MANY_DIGITS, "too long for float64, kept as text"),
    "16 digits": Odd("card", CARDS, "number", CARDS),
    "words that differ in case": Odd(
        "colour", (words := cycle("red", "Red", "blue")), "category", words, "differ in case only"
    ),
    "whole numbers as target": Odd(
        "x",
        DISTINCT,
        "number",
        DISTINCT,
        "classification, because it has 3 distinct whole numbers (or --task regression)",
        [int(price // 30) // 1 if price < 90 else 3 if price < 110 else 4 for price in [max(60.0, p) for p in PRICE]],
    ),
    "texts as target": Odd("x", DISTINCT, "number", DISTINCT, "classification, because its values are text\n", KIND),
}


@pytest.mark.parametrize("odd", ACCEPTED.values(), ids=ACCEPTED.keys())
@pytest.mark.slow
def test_a_column_that_is_easily_misread_is_read(tmp_path: Path, odd: Odd) -> None:
    """The role, the reason, the values that the model sees, and the score."""
    rows = zip(SIZE, odd.texts, odd.target, strict=True)
    content = f"size,{odd.name},y\n" + "".join(f"{size},{text},{y}\n" for size, text, y in rows)
    adopted = adopt(tmp_path, content, "--target", "y", *odd.arguments)
    assert adopted.roles == {"size": "number", odd.name: odd.role}
    assert odd.says in "\n".join(line.rstrip() for line in adopted.printed.splitlines()) + "\n"
    features: Mapping[str, Sequence[Any]] = {"size": SIZE} | ({} if odd.values is None else {odd.name: odd.values})
    check_score(adopted, features, odd.target)


def test_free_text_is_learned_from_and_names_are_not(tmp_path: Path) -> None:
    """Many texts of several words are `text`, with gaps too; names are left out; few distinct texts are a category."""
    texts = [f"a note about {kind}, the {place}th of many" if place % 9 else "" for place, kind in enumerate(KIND)]
    sentences = cycle("as good as it was before", "not so good as it was")
    rows = zip(texts, sentences, KIND, strict=True)
    content = "note,state,person,y\n" + "".join(
        f'"{text}",{state},Ann {place * 2 // 3} May,{y}\n' for place, (text, state, y) in enumerate(rows)
    )
    adopted = adopt(tmp_path, content, "--target", "y")
    assert adopted.roles == {"note": "text", "state": "category", "person": "left out"}
    assert "free text of 8 words, by the median; or --leave-out" in adopted.printed
    assert "does not apply" not in adopted.printed
    assert adopted.params.data.text is not None
    assert adopted.scores["test"]["accuracy"] > 0.8
    with (tmp_path / "predictions.csv").open() as file:
        promised = [row["prediction"] for row in csv.DictReader(file)]
    assert predict(tmp_path, content) == promised


REFUSED = {
    "dates in an unclear order": (
        {"day": [f"{1 + place % 9}/{1 + place % 12}/2024" for place in range(ROWS)]},
        "t.csv: every date in day may have the day or the month first: add --day-first day or --month-first day, or "
        "leave such columns out with --leave-out day.",
    ),
    "two such columns": (
        {"day": cycle("1/2/2024", "3/4/2024"), "end": cycle("1.2.2025", "1.3.2025")},
        "t.csv: every date in day, end may have the day or the month first: add --day-first day end or --month-first "
        "day end, or leave such columns out with --leave-out day end.",
    ),
}


@pytest.mark.parametrize(("columns", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_nobody_can_tell_is_asked(tmp_path: Path, columns: Mapping[str, Sequence[Any]], sentence: str) -> None:
    """One sentence with the flags, about all such columns."""
    rows = zip(*columns.values(), PRICE, strict=True)
    content = ",".join([*columns, "y"]) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    assert refuse(tmp_path, content, "--target", "y") == sentence


LEAKS = {
    "a copy in other units": (
        "cents", [round(100 * price) for price in PRICE], PRICE, "cents reproduces, in other units, y, the target"
    ),
    "values that belong to one class each": (
        "check", ["bad" if kind == "up" else "ok" if place % 3 else "ok-disputed" for place, kind in enumerate(KIND)],
        KIND, "check reproduces y, the target",
    ),
    "a value that only one class has": (
        "refund", [size if kind == "up" else "" for size, kind in zip(SIZE, KIND, strict=True)],
        KIND, "refund reproduces y, the target",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "texts", "target", "says"), LEAKS.values(), ids=LEAKS.keys())
def test_a_leak_is_warned_of(tmp_path: Path, name: str, texts: Sequence[Any], target: Sequence[Any], says: str) -> None:
    """The column is named with the flag that leaves it out."""
    rows = zip(SIZE, texts, target, strict=True)
    content = f"size,{name},y\n" + "".join(f"{size},{text},{y}\n" for size, text, y in rows)
    adopted = adopt(tmp_path, content, "--target", "y")
    assert f"warning: {says}, and will not be known when you predict it" in adopted.printed
    assert f"--leave-out {name} --force" in adopted.printed


def test_a_perfect_test_score_is_suspicious(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stage says so, and where to look; another score is none."""
    for errors, said in ((0, True), (20, False)):
        codes = [place % 2 if place >= errors else 0 for place in range(200)]
        content = "code,x,y\n" + "".join(
            f"{'ab'[code]},{place % 7},{'pq'[place % 2]}\n" for place, code in enumerate(codes)
        )
        adopted = adopt(tmp_path, content, "--target", "y", "--force")
        with contextlib.chdir(tmp_path):
            infer.main(adopted.params, Path())
        line = "suspicious: no error in the test split: look for a column that leaks y, the target\n"
        assert (line in capsys.readouterr().out) == said


def test_repeated_rows_are_counted_and_classes_that_differ_in_case_are_named(tmp_path: Path) -> None:
    """Both are notes: the table is adopted."""
    rows = [f"{size},{kind}\n" for size, kind in zip(SIZE, KIND, strict=True)]
    content = "size,y\n" + "".join([*rows, *rows[:7], *(f"{size + 1},UP\n" for size in SIZE[:5])])
    adopted = adopt(tmp_path, content, "--target", "y")
    assert adopted.table.columns.num_rows == ROWS + 12
    assert f"note: 7 of {ROWS + 12} rows repeat an earlier row: a row in both splits" in adopted.printed
    assert "note: classes of y, the target, up and UP differ in case only: write them alike" in adopted.printed
