"""Stage train: data.parquet's train split becomes model_train.pkl and the contract that names it.

With a block `train.search` the best arguments are found first. The model is then the one that these arguments written
out would give, byte for byte.
"""

import os
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from artifact_flow.core.base.contract import CONTRACT, describe_features, write_contract
from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.core.base.figures import show_figure
from artifact_flow.core.base.files import hash_file, replace_files
from artifact_flow.core.base.params import Params, TrainParams
from artifact_flow.core.base.progress import shown_steps
from artifact_flow.core.model.artifacts import MODEL, write_model
from artifact_flow.core.model.estimators import uses_own_code
from artifact_flow.core.model.fixed_fit import explain_uncovered, is_portable
from artifact_flow.core.model.handover import draw_contract, record_threshold
from artifact_flow.core.model.models import build_model, final_step, fit_model
from artifact_flow.core.model.own_code import hash_own_code
from artifact_flow.core.model.predictions import FIXED
from artifact_flow.core.model.search import Build, Found, prepare_bench, search_best, show_arguments, tabulate_trials
from artifact_flow.core.model.thresholds import apply_threshold, check_threshold, choose_threshold
from artifact_flow.core.table.tables import DATA, Table, check_made, read_table
from artifact_flow.core.table.writers import write_csv
from artifact_flow.scale.backend import open_backend, read_choice

SEARCH = Path("plots/search.csv")


def main(params: Params, folder: Path) -> None:
    """Write model_train.pkl, contract.json and the search's results, which have no rows without one, all or none."""
    table = read_table(folder / DATA)
    check_made(table, params.data)
    train, roles = table.part("train"), table.roles
    check_threshold(params.train, roles.classes)
    raw = train.raw
    features = describe_features(roles.features, raw, centred=roles.params.preprocess == "auto")
    X, _ = encode_rows(features, raw)
    build = partial(
        build_model,
        task=roles.task,
        features=features,
        preprocess=roles.params.preprocess,
        text=roles.params.text,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = find_best(params.train, build, X, train)
        chosen = found.params if found else params.train
        with reproducible(chosen.threads):
            fitted = fit_model(build(chosen), X, train.y, chosen)
        estimator, threshold = fitted, None
        if params.train.threshold is not None:
            with reproducible(chosen.threads):
                threshold = choose_threshold(params.train, build, chosen, X, train)
            estimator = apply_threshold(fitted, build(chosen), threshold)
    portable = is_portable(fitted, params.train)
    if params.train.arithmetic == "fixed" and not hasattr(fitted, FIXED) and not portable:
        gap = explain_uncovered(fitted)
        print(f"note: train.arithmetic is fixed, but {gap}: fitted by scikit-learn", file=sys.stderr)
    for message in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
        print(f"warning: {message}", file=sys.stderr)
    sha256 = {DATA.name: hash_file(folder / DATA)}
    best = found.best.arguments if found else None
    with replace_files(folder / MODEL, folder / CONTRACT, folder / SEARCH) as (model, contract, search):
        sha256[MODEL.name] = write_model(estimator, model)
        sha256 |= hash_own_code() if uses_own_code(params.train) else {}
        drawn = draw_contract(table, features, params.train, sha256, best)
        drawn = drawn.model_copy(update={"portable": portable})
        write_contract(drawn if threshold is None else record_threshold(drawn, threshold), contract)
        write_csv(tabulate_trials(found.trials if found else ()), search)
    prepared = ", pre-processed" if isinstance(fitted, Pipeline) else ""
    decided = "" if threshold is None else f", {roles.classes[1]} from a probability of {show_figure(threshold)}"
    print(f"{final_step(fitted)}: fitted on {len(X)} rows{prepared}{decided}, sha256 {sha256[MODEL.name][:12]}…")


def find_best(params: TrainParams, build: Build, X: np.ndarray, train: Table) -> Found | None:
    """Return what `train.search` finds where the environment says, or None without a search; say so on stderr."""
    if params.search is None:
        return None
    bench = prepare_bench(params.search, train.roles.task, X, train.y, params.threads, train.key)
    start = time.monotonic()
    with open_backend(read_choice(os.environ), params.threads) as backend, shown_steps("searching") as progress:
        found = search_best(params, build, bench, backend.run, progress)
        where = backend.name
    refused = [trial for trial in found.trials if trial.refusal]
    if refused:
        print(
            f"warning: {len(refused)} of {len(found.trials)} candidates are refused, such as "
            f"{show_arguments(refused[0].arguments)}: {refused[0].refusal}",
            file=sys.stderr,
        )
    fits = len(found.trials) * params.search.cv
    print(
        f"search: {fits} fits in {time.monotonic() - start:.1f} s {where}; best: "
        f"{show_arguments(found.best.arguments)} with {show_figure(found.best.mean)} ± {show_figure(found.best.std)}",
        file=sys.stderr,
    )
    return found
