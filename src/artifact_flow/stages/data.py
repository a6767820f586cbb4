"""Stage data: the source that params.yaml names becomes data.parquet, one typed table with its seeded split."""

from artifact_flow.datasets import DATA, load_builtin, split_rows, write_table
from artifact_flow.errors import told_in_one_sentence
from artifact_flow.files import replace_files
from artifact_flow.params import load_params


def main() -> None:
    """Write data.parquet."""
    params = load_params().data
    table = split_rows(load_builtin(params))
    with replace_files(DATA) as (path,):
        write_table(table, path)
    rows, test = table.columns.num_rows, table.part("test").columns.num_rows
    print(f"{params.source}: {rows} rows, {len(table.roles.features)} features; {rows - test} train, {test} test")


if __name__ == "__main__":
    with told_in_one_sentence():
        main()
