"""Bill of materials: model.cdx.json, a CycloneDX 1.6 ML-BOM: the model, its data and the libraries that count. Pure.

https://cyclonedx.org/docs/1.6/json/ and https://cyclonedx.org/capabilities/mlbom/
"""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifact_flow.core.base.files import hash_bytes
from artifact_flow.core.base.interpreter import LEAN
from artifact_flow.core.table.tables import DATA
from artifact_flow.evidence.facts import Facts, Library, Value
from artifact_flow.evidence.training import show_arguments, show_promise, split_metrics

BOM = Path("model.cdx.json")
MODEL_REF, DATA_REF = "model", "data"


def render_bom(facts: Facts) -> str:
    """Return the bill of materials as JSON; the same facts give the same text."""
    return json.dumps(list_materials(facts), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def list_materials(facts: Facts) -> dict[str, Any]:
    """Return the bill of materials; its serial number is a version 5 UUID of the hash of everything else in it."""
    libraries = [_library(library) for library in facts.libraries]
    needed = [DATA_REF, *(library["bom-ref"] for library in libraries)]
    content = {
        "version": 1,
        "metadata": {"component": _model(facts)},
        "components": [_data(facts), *libraries],
        "dependencies": [{"ref": MODEL_REF, "dependsOn": needed}, *({"ref": ref} for ref in needed)],
    }
    digest = hash_bytes(json.dumps(content, sort_keys=True).encode())
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        **content,
    }


def _model(facts: Facts) -> dict[str, Any]:
    contract = facts.contract
    sha256 = facts.result.sha256
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL_REF,
        "name": facts.result.name,
        "version": facts.result.lock[:12],
        "description": f"{contract.params['train']['estimator']}, a {contract.target.task} model of "
        f"{contract.target.name}",
        "hashes": [_hash(sha256[facts.models[0]])],
        "properties": _properties(
            {
                "lock": facts.result.lock,
                "same bytes": f"on every {show_promise(contract).rstrip(',')}",
                **{f"file:{name}:md5": facts.md5[name] for name in facts.models},
            }
        ),
        "components": [
            {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [_hash(sha256[name])]}
            for name in facts.models
        ],
        "modelCard": _card(facts),
    }


def _card(facts: Facts) -> dict[str, Any]:
    contract = facts.contract
    threshold = contract.target.threshold
    arguments = {
        f"argument:{name}": json.dumps(value, ensure_ascii=False) for name, value in show_arguments(contract).items()
    }
    arguments |= {"decision threshold": f"{threshold:g}"} if threshold is not None else {}
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": contract.target.task,
            "architectureFamily": "scikit-learn",
            "modelArchitecture": contract.params["train"]["estimator"],
            "datasets": [{"ref": DATA_REF}],
            **({"inputs": [*map(_value, facts.inputs)]} if facts.inputs else {}),
            **({"outputs": [*map(_value, facts.outputs)]} if facts.outputs else {}),
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                {"type": name, "value": repr(value), "slice": split}
                for split, values in split_metrics(facts.result.metrics).items()
                for name, value in values.items()
            ]
        },
        "considerations": {
            "technicalLimitations": [
                "Outside the ranges and categories of the train split a prediction is a guess.",
                f"The test metrics rest on {contract.rows['test']} rows.",
                f"Its bytes are promised on every {show_promise(contract).rstrip(',')} with the locked libraries.",
            ]
        },
        "properties": _properties(arguments),
    }


def _data(facts: Facts) -> dict[str, Any]:
    contract = facts.contract
    rows = contract.rows
    return {
        "type": "data",
        "bom-ref": DATA_REF,
        "name": DATA.name,
        "hashes": [_hash(facts.result.sha256[DATA.name])],
        "data": [
            {
                "type": "dataset",
                "name": contract.model_name,
                "description": f"{rows['train']} rows to train and {rows['test']} rows to test, "
                f"{len(contract.features)} columns, from {contract.params['data']['source']}",
            }
        ],
        "properties": _properties(
            {"md5": facts.md5[DATA.name], **{f"rows:{split}": str(n) for split, n in rows.items()}}
        ),
    }


def _library(library: Library) -> dict[str, Any]:
    reference = f"pkg:pypi/{library.name}@{library.version}"
    about = f"The hashes are those of the files that {LEAN} allows, one for each platform."
    return {
        "type": "library",
        "bom-ref": reference,
        "name": library.name,
        "version": library.version,
        **({"description": about, "hashes": [_hash(sha256) for sha256 in library.sha256]} if library.sha256 else {}),
        "purl": reference,
    }


def _value(value: Value) -> dict[str, str]:
    return {"format": f"{value.name}: {value.type} [{', '.join(map(str, value.shape))}]"}


def _hash(sha256: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256}


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"artifact-flow:{name}", "value": value} for name, value in values.items()]
