"""Dates: the ways to write a date, each a rule that rewrites it as ISO 8601. Imports no library.

Arrow applies the rules to whole columns and `re` to single values, so that training, `predict` and the service read a
date alike. A date without a time zone is in UTC.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

_YEAR, _MONTH, _DAY = r"(\d{4})", r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
_TIME = r"([ T]\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?"
WHOLE_SECONDS: Final = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?$"  # needs no rule
ZONED: Final = r":\d\d[+-]\d\d(:?\d\d)?$"  # ends in an offset from UTC
COMPACT: Final = rf"^{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"  # 20240115
DAY_FIRST: Final = rf"^{_DAY}([./-]){_MONTH}[./-]{_YEAR}{_TIME}$"
MONTH_FIRST: Final = rf"^{_MONTH}([./-]){_DAY}[./-]{_YEAR}{_TIME}$"
ALWAYS: Final = (
    (rf"^{_YEAR}-(0[1-9]|1[0-2])$", r"\1-\2-01"),
    (COMPACT, r"\1-\2-\3"),
    (rf"^{_YEAR}/{_MONTH}/{_DAY}{_TIME}$", r"\1-0\2-0\3\4"),
)
TIDY: Final = (  # pads the fields, and drops fractions of a second, and Z
    (r"^(\d{4})-0?(\d\d)-0?(\d\d)([ T]|$)", r"\1-\2-\3\4"),
    (r"^(\S+)[ T](\d:)", r"\1T0\2"),
    (r"(:\d\d)\.\d+", r"\1"),
    (r"Z$", ""),
)
RULES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {  # by role
    "date": (*ALWAYS, *TIDY),
    "day-first date": (*ALWAYS, (DAY_FIRST, r"\4-0\3-0\1\5"), *TIDY),
    "month-first date": (*ALWAYS, (MONTH_FIRST, r"\4-0\1-0\3\5"), *TIDY),
}
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d([+-]\d\d(:?\d\d)?)?|[+-]\d\d(:?\d\d)?)?)?")


def parse_date(text: str, role: str = "date") -> datetime:
    """Return the moment that a text names under a role of `RULES`, in UTC, with whole seconds.

    Raises ValueError when it is not a date under that role.
    """
    text = text.strip()
    for pattern, replacement in RULES[role]:
        text = re.sub(pattern, replacement, text, flags=re.ASCII)
    if not _ISO.fullmatch(text):
        raise ValueError(f"not a date: {text}")
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
