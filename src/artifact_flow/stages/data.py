"""Stage data: the source that params.yaml names becomes data.parquet, one typed table with its seeded split."""

from pathlib import Path

from artifact_flow.datasets import load_source
from artifact_flow.files import replace_files
from artifact_flow.params import Params
from artifact_flow.stages import run
from artifact_flow.tables import DATA, split_rows, write_table


def main(params: Params, folder: Path) -> None:
    """Write data.parquet."""
    table = split_rows(load_source(params.data))
    with replace_files(folder / DATA) as (path,):
        write_table(table, path)
    counts = f"{table.count('train')} train, {table.count('test')} test"
    print(f"{params.data.source}: {table.columns.num_rows} rows, {len(table.roles.features)} features; {counts}")


if __name__ == "__main__":
    run(main)
