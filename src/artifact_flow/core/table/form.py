"""Form: how a text table is written, as `data.table` declares it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from artifact_flow.core.base.params import MISSING, Style, TableParams


@dataclass(frozen=True)
class Form:
    """How a text table is written: its separator, whether it has a header, what marks a missing value, and numbers."""

    separator: str = ","
    header: bool = True
    missing: tuple[str, ...] = MISSING
    numbers: Mapping[str, Style] = field(default_factory=dict)  # of columns that are not written as 1234.5

    @staticmethod
    def of(table: TableParams) -> "Form":
        """Return the form that `data.table` declares."""
        return Form(table.separator, table.header, tuple(table.missing), table.numbers or {})
