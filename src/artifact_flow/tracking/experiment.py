"""Experiment: the main flow run with other parameters, for MLproject's entry point `train`."""

import math
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from artifact_flow.core.base.errors import ParamsError, TrackError
from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.params import PARAMS, TrainParams, parse_params
from artifact_flow.core.model.estimators import build_estimator
from artifact_flow.tracking.dvc import run_dvc
from artifact_flow.tracking.options import OPTIONS


def run_experiment(values: Mapping[str, str | None]) -> None:
    """Run `dvc exp run` with values for the names in OPTIONS; None or "" keeps the value in params.yaml.

    Raises ParamsError when a value has the wrong type, is not allowed, or has no effect on the estimator, and
    TrackError when the run fails. In both cases params.yaml keeps its content.
    """
    settings = {OPTIONS[name][0]: _convert(name, text) for name, text in values.items() if text}
    before = PARAMS.read_bytes() if PARAMS.is_file() else b""
    document = YAML(typ="safe", pure=True).load(before) or {}
    changes = []
    for key, value in settings.items():
        block, _, name = key.partition(".")
        given = document.setdefault(block, {})
        changes += ["--set-param", f"{'' if name in given else '+'}{key}={value}"]  # the plus sign adds a new key
        given[name] = value
    params = parse_params(document)
    _refuse_without_effect(settings, params.train)
    if run_dvc("exp", "run", *changes).returncode:
        with replace_files(PARAMS) as (part,):
            part.write_bytes(before)
        raise TrackError(f"`dvc exp run` failed for the reason above; {PARAMS} is unchanged.")


def _convert(name: str, text: str) -> Any:
    _, kind, words = OPTIONS[name]
    try:
        value = kind(text)
    except ValueError as error:
        raise ParamsError(f"{name} is {text!r}; allowed: {words}.") from error
    if not math.isfinite(value):
        raise ParamsError(f"{name} is {text!r}; allowed: {words}.")
    return value


def _refuse_without_effect(settings: Mapping[str, Any], train: TrainParams) -> None:
    """Raise ParamsError when the estimator has no such argument, or the search sets it."""
    build_estimator(train)
    for key in settings:
        block, _, name = key.partition(".")
        if block == "train" and train.search and name in train.search.space:
            raise ParamsError(
                f"{PARAMS}: train.search.space.{name} lists the values to try, so {name} cannot be set: leave it out, "
                "or change the search."
            )
