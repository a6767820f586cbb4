"""Training: how a model was made and how good it is, as its contract and metrics tell every document. Pure."""

from collections.abc import Mapping
from typing import Any

from artifact_flow.core.base.contract import Contract
from artifact_flow.core.base.params import TrainParams

NATIVE_PLACE = "x86-64 Linux machine with AVX2 and FMA"


def split_metrics(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return split → metric → value of flat metrics such as "test.accuracy", the test split first."""
    found: dict[str, dict[str, float]] = {"test": {}}
    for name, value in metrics.items():
        split, _, metric = name.partition(".")
        found.setdefault(split, {})[metric] = value
    return found


def show_arguments(contract: Contract) -> dict[str, Any]:
    """Return the estimator's arguments: those of params.yaml, then those that a search found best."""
    train = contract.params["train"]
    given = {name: value for name, value in train.items() if name not in TrainParams.model_fields}
    return {**given, **(train.get("keywords") or {}), **(contract.params.get("best") or {})}


def show_promise(contract: Contract) -> str:
    """Return in words on which machines the outputs have the same bytes."""
    return "machine, x86-64 or arm64," if contract.portable else NATIVE_PLACE
