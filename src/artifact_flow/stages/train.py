"""Stage train: data.parquet's train split becomes model_train.pkl and the contract that names it."""

import sys
import warnings

from artifact_flow.artifacts import MODEL, write_model
from artifact_flow.contract import CONTRACT, describe, write_contract
from artifact_flow.datasets import DATA, read_table
from artifact_flow.determinism import reproducible
from artifact_flow.errors import told_in_one_sentence
from artifact_flow.files import hash_file, replace_files
from artifact_flow.models import train_model
from artifact_flow.params import load_params


def main() -> None:
    """Write model_train.pkl and contract.json, both or none."""
    params = load_params().train
    table = read_table()
    train = table.part("train")
    with reproducible(params.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = train_model(train.X, train.y, params, table.roles.task)
    for message in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
        print(f"warning: {message}", file=sys.stderr)
    sha256 = {DATA.name: hash_file(DATA)}
    with replace_files(MODEL, CONTRACT) as (model, contract):
        sha256[MODEL.name] = write_model(estimator, model)
        write_contract(describe(table, params, sha256), contract)
    print(f"{estimator}: fitted on {train.columns.num_rows} rows, sha256 {sha256[MODEL.name][:12]}…")


if __name__ == "__main__":
    with told_in_one_sentence():
        main()
