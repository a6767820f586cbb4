"""Schema: a contract in MLflow's terms: the columns, the signature, an input example and the data set."""

import datetime
from typing import Any

from artifact_flow.core.base.contract import Contract, Feature
from artifact_flow.core.table.tables import DATA
from artifact_flow.tracking.result import Result

TYPES = {"number": "double", "boolean": "boolean", "date": "datetime", "category": "string", "text": "string"}


def dataset_input(name: str, md5: str, source: dict[str, str], schema: Any = None) -> Any:
    """Return a file as MLflow's input: its name, its md5 (DVC's name for it), its source, and its columns if given."""
    from mlflow.data.code_dataset_source import CodeDatasetSource  # noqa: PLC0415
    from mlflow.data.meta_dataset import MetaDataset  # noqa: PLC0415
    from mlflow.entities import DatasetInput, InputTag  # noqa: PLC0415

    dataset: Any = MetaDataset(CodeDatasetSource(source), name=name, digest=md5, schema=schema)  # type: ignore[abstract]
    return DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "train, test")])


def dataset(result: Result) -> Any:
    """Return a result's data.parquet as MLflow's input, with its columns and the source in params.yaml."""
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415

    target = result.contract.target
    schema = Schema([*columns(result.contract), ColSpec("string" if target.classes else "double", target.name)])
    source = {"source": str(result.contract.params["data"]["source"]), "path": str(DATA)}
    return dataset_input(result.name, result.data_md5, source, schema)


def columns(contract: Contract) -> Any:
    """Return the contract's features as MLflow's column specifications; one that may be missing is optional."""
    from mlflow.types import ColSpec  # noqa: PLC0415

    return [ColSpec(TYPES[f.type], f.name, required=not contract.may_miss(f)) for f in contract.features]


def signature(contract: Contract) -> Any:
    """Return the model's signature: the features, `prediction` and, for a classifier, an optional `probability`."""
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415

    outputs = [ColSpec("string" if contract.target.classes else "double", "prediction")]
    if contract.target.classes:
        outputs.append(ColSpec("double", "probability", required=False))
    return ModelSignature(Schema(columns(contract)), Schema([*outputs]))


def example(contract: Contract) -> Any:
    """Return an input example, a DataFrame of one row: the middle of each feature's training range."""
    import pandas as pd  # noqa: PLC0415 - comes with mlflow

    return pd.DataFrame({feature.name: [_middle(feature)] for feature in contract.features})


def _middle(feature: Feature) -> Any:
    value = feature.middle
    if feature.type == "date" and value is not None:
        return datetime.datetime.fromisoformat(str(value))
    return value
