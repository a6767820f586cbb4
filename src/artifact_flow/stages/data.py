"""Stage data: the source that params.yaml names becomes data.parquet, one typed table with its seeded split."""

from pathlib import Path

from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.params import Params
from artifact_flow.core.base.progress import shown_download
from artifact_flow.core.table.datasets import load_source
from artifact_flow.core.table.tables import DATA, split_rows, write_table


def main(params: Params, folder: Path) -> None:
    """Write data.parquet."""
    table = split_rows(load_source(params.data, shown_download))
    with replace_files(folder / DATA) as (path,):
        write_table(table, path)
    counts = f"{table.count('train')} train, {table.count('test')} test"
    print(f"{params.data.source}: {table.columns.num_rows} rows, {len(table.roles.features)} features; {counts}")
