"""Form: how a text table is written, as `data.table` declares it, and what messages call the table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from artifact_flow.core.base.params import MISSING, Style, TableParams

Name: TypeAlias = Path | str  # of a table: its path, or its URL


@dataclass(frozen=True)
class Form:
    """How a text table is written: separator, header, marks for missing values, numbers, encoding and comments."""

    separator: str = ","
    header: bool = True
    missing: tuple[str, ...] = MISSING
    numbers: Mapping[str, Style] = field(default_factory=dict)  # of columns that are not written as 1234.5
    encoding: str | None = None  # None: UTF-8
    comment: str | None = None  # begins the lines above the header

    @staticmethod
    def of(table: TableParams) -> "Form":
        """Return the form that `data.table` declares."""
        missing, numbers = tuple(table.missing), table.numbers or {}
        return Form(table.separator, table.header, missing, numbers, table.encoding, table.comment)
