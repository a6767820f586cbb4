"""Writers: Arrow tables as files of their plainest form."""

from pathlib import Path

import pyarrow as pa
from pyarrow import csv


def write_csv(rows: pa.Table, path: Path) -> None:
    """Write a table as CSV in which only text that needs quotes has them."""
    # pyarrow's "needed" quotes every text, "none" refuses text that needs quotes
    texts = [column.unique() for column in rows.columns if pa.types.is_string(column.type)]
    special = any(set(str(text)) & set('",\r\n') for column in texts for text in column)
    csv.write_csv(rows, path, csv.WriteOptions(quoting_style="needed" if special else "none", quoting_header="none"))
