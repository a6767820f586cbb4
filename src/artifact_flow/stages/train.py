"""Stage train: data.parquet's train split becomes model_train.pkl and the contract that names it."""

import sys
import warnings
from pathlib import Path

from sklearn.pipeline import Pipeline

from artifact_flow.artifacts import MODEL, write_model
from artifact_flow.contract import CONTRACT, Contract, Feature, Target, describe_features, plain, write_contract
from artifact_flow.determinism import library_versions, reproducible
from artifact_flow.encoding import encode_rows
from artifact_flow.files import hash_file, replace_files
from artifact_flow.models import build_model, fit_model
from artifact_flow.params import Params, TrainParams
from artifact_flow.stages import run
from artifact_flow.tables import DATA, Table, read_table


def main(params: Params, folder: Path) -> None:
    """Write model_train.pkl and contract.json, both or none."""
    table = read_table(folder / DATA)
    train, roles = table.part("train"), table.roles
    raw = train.raw
    features = describe_features(roles.features, raw)
    X, _ = encode_rows(features, raw)
    with reproducible(params.train.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = build_model(params.train, roles.task, features, roles.params.preprocess)
        estimator = fit_model(model, X, train.y, params.train)
    for message in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
        print(f"warning: {message}", file=sys.stderr)
    sha256 = {DATA.name: hash_file(folder / DATA)}
    with replace_files(folder / MODEL, folder / CONTRACT) as (model, contract):
        sha256[MODEL.name] = write_model(estimator, model)
        write_contract(draw_contract(table, features, params.train, sha256), contract)
    final, prepared = (estimator[-1], ", pre-processed") if isinstance(estimator, Pipeline) else (estimator, "")
    print(f"{final}: fitted on {len(X)} rows{prepared}, sha256 {sha256[MODEL.name][:12]}…")


def draw_contract(table: Table, features: list[Feature], params: TrainParams, sha256: dict[str, str]) -> Contract:
    """Return the contract of the model that was fitted on the train split of `table` with `params`."""
    roles = table.roles
    return Contract(
        version=2,
        target=Target(name=roles.target, task=roles.task, classes=roles.classes),
        id=roles.id,
        rows={"train": table.count("train"), "test": table.count("test")},
        params=plain({"data": roles.params.model_dump(exclude_none=True), "train": params.model_dump()}),
        sha256=sha256,
        libraries=library_versions(),
        features=features,
    )


if __name__ == "__main__":
    run(main)
