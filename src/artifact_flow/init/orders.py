"""Orders: the role of a column of dates, and whether the day or the month comes first, told by all of its values."""

import pyarrow as pa
import pyarrow.compute as pc

from artifact_flow.core.base.dates import DAY_FIRST, MONTH_FIRST
from artifact_flow.core.base.params import Role
from artifact_flow.init.values import all_match

ZONE = r"(Z|[+-]\d\d(:?\d\d)?)?"
DATE = (
    rf"^\d{{4}}-\d\d-\d\d([ T]\d\d?:\d\d(:\d\d(\.\d+)?)?{ZONE})?$|^\d{{4}}-\d\d-\d\dZ$"
    rf"|^\d{{4}}/\d\d?/\d\d?([ T]\d\d?:\d\d(:\d\d(\.\d+)?)?{ZONE})?$|^(1[5-9]|20|21)\d\d-(0[1-9]|1[0-2])$"
)
DIGITS = r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
OTHER = r"^\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?$|^\d{4}/\d{1,2}/\d{1,2}( .*)?$"
FEW = 3  # fewer distinct values of eight digits may be dates by chance
UNCLEAR = "may have the day or the month first"
UNREADABLE = "a date that is not written as 2026-11-21"


def tell_date(distinct: pa.Array) -> tuple[Role, str] | None:
    """Return the role of a column of distinct texts and what to say about it, or None when they are no dates.

    The role is "left out" with the note UNCLEAR when every value fits both orders of day and month.
    """
    plain = pc.match_substring_regex(distinct, DATE)
    rest = distinct.filter(pc.invert(plain))
    if not len(rest):
        return "date", "days since 1970"
    if len(distinct) >= FEW and all_match(distinct, DIGITS):
        return "date", f"days since 1970, {distinct[0]} being a date"
    day, month = all_match(rest, DAY_FIRST), all_match(rest, MONTH_FIRST)
    if day and month:
        return "left out", UNCLEAR
    if day or month:
        role: Role = "day-first date" if day else "month-first date"
        clear = rest.filter(pc.invert(pc.match_substring_regex(rest, MONTH_FIRST if day else DAY_FIRST)))
        return role, f"days since 1970; {clear[0]} has the {'day' if day else 'month'} first"
    return ("left out", UNREADABLE) if all_match(rest, OTHER) else None
