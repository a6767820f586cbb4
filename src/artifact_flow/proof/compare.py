"""Compare: the verdict on each locked file, from the committed content and the reproductions, with its likely cause.

It runs no pipeline and prints nothing.
"""

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.core.base.lock import LOCK, output_hashes
from artifact_flow.core.model.predictions import METRICS, PREDICTIONS
from artifact_flow.proof.clone import Reproduction
from artifact_flow.proof.head import Head, Stages

METRIC_TOLERANCE, PROBABILITY_TOLERANCE = 0.01, 0.05

Verdict = Literal["same bytes", "same predictions", "same metrics", "different"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # from best to worst
EXPECTED: dict[Verdict, str] = {  # why different bytes are accepted on a machine that does not guarantee equal bytes
    "same predictions": "different bytes, as another machine or library may give",
    "same metrics": "labels not compared: the committed predictions.csv is not in DVC's cache; run `dvc pull`",
}


@dataclass(frozen=True)
class Finding:
    """The verdict on one tracked file over all surroundings, and the likely cause unless the bytes are the same."""

    path: str
    verdict: Verdict
    cause: str = ""


def compare(head: Head, reproductions: Sequence[Reproduction], tolerant: bool) -> list[Finding]:
    """Return a finding for each output that the locks of HEAD name, and one for each lock.

    `tolerant` accepts different bytes if the predictions and metrics in the file's folder agree within the tolerances;
    the committed predictions are read from DVC's cache.
    """
    stages = head.stages
    locked = output_hashes(stages) | {path: hash_bytes(content, "md5") for path, content in head.locks.items()}
    folders = {posixpath.dirname(path) for path in locked if posixpath.basename(path) == METRICS.name}
    likeness = {folder: _compare_folder(head, folder, locked, reproductions) for folder in folders} if tolerant else {}
    findings = []
    for path, md5 in sorted(locked.items()):
        others = [r for r in reproductions if r.hashes.get(path) != md5]
        if not others:
            committed = head.read(path)
            if committed is None or hash_bytes(committed, "md5") == md5:
                findings.append(Finding(path, "same bytes"))
            else:
                cause = f"the committed file is not the one that {LOCK} names"
                findings.append(Finding(path, "different", cause))
        else:
            verdict = _nearest_verdict(path, likeness)
            cause = EXPECTED.get(verdict) or likely_cause(path, stages, reproductions, others)
            findings.append(Finding(path, verdict, cause))
    return findings


def _nearest_verdict(path: str, likeness: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict on the metrics in a file's folder or above it, else the worst one in the folders below."""
    folder = posixpath.dirname(path)
    near = [verdict for place, verdict in likeness.items() if (f"{folder}/").startswith(f"{place}/")]
    below = [verdict for place, verdict in likeness.items() if not folder or f"{place}/".startswith(f"{folder}/")]
    return max(near or below or ["different"], key=VERDICTS.index)


def likely_cause(
    path: str, locked: Stages, reproductions: Sequence[Reproduction], others: Sequence[Reproduction]
) -> str:
    """Return why `path` is different in `others`, judging by the locks of HEAD and of the reproductions."""
    changed = _changed_inputs(path, locked, others[0].stages)
    if changed:
        return f"{LOCK} was made with a different {', '.join(changed)}: run `dvc repro` and commit the lock"
    if len(others) < len(reproductions):
        return "depends on: " + ", ".join(r.surroundings.name for r in others)
    if len({r.hashes.get(path) for r in others}) > 1:
        return "not deterministic: each run gives different bytes"
    if posixpath.basename(path) == LOCK.name:
        return "names other outputs than this commit produces"
    if not any(path in r.hashes for r in others):
        return f"no run produces it: {LOCK} has a stage that does not run; run `dvc repro` and commit the lock"
    return f"all runs agree on different bytes: {LOCK} was edited, forged with `dvc commit -f`, or made elsewhere"


def _changed_inputs(path: str, locked: Stages, new: Stages) -> list[str]:
    """Return the commands, parameters and source files upstream of `path` that differ between two locks."""
    made_by = {out["path"]: name for name, stage in locked.items() for out in stage.get("outs", ())}
    queue = [made_by[path]] if path in made_by else list(made_by.values())
    changed: dict[str, None] = {}
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        before, after = locked[name], new.get(name, {})
        if before.get("cmd") != after.get("cmd"):
            changed[f"command of {name}"] = None
        for file, values in before.get("params", {}).items():
            if values != after.get("params", {}).get(file):
                changed[f"{file} ({', '.join(values)})"] = None
        hashes = {dep["path"]: dep.get("md5") for dep in after.get("deps", ())}
        for dep in before.get("deps", ()):
            if dep["path"] in made_by:
                queue.append(made_by[dep["path"]])
            elif dep.get("md5") != hashes.get(dep["path"]):
                changed[dep["path"]] = None
    return list(changed)


def _compare_folder(
    head: Head, folder: str, locked: Mapping[str, str], reproductions: Sequence[Reproduction]
) -> Verdict:
    """Return how closely the metrics and predictions of one folder agree in HEAD and all reproductions."""
    path, rows = posixpath.join(folder, METRICS.name), posixpath.join(folder, PREDICTIONS.name)
    metrics = json.loads(head.read(path) or b"{}")
    if not all(metrics_alike(metrics, json.loads((r.root / path).read_text())) for r in reproductions):
        return "different"
    md5 = locked.get(rows, "")
    cached = head.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    if not (cached.is_file() and hash_file(cached, "md5") == md5):
        return "same metrics"
    alike = all(predictions_alike(cached, r.root / rows) for r in reproductions)
    return "same predictions" if alike else "different"


def metrics_alike(committed: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return whether two metrics files have the same splits and names, with values within 0.01 (1 % above 1)."""
    return committed.keys() == found.keys() and all(
        committed[split].keys() == found[split].keys()
        and all(
            abs(value - found[split][name]) <= METRIC_TOLERANCE * max(1.0, abs(value))
            for name, value in committed[split].items()
        )
        for split in committed
    )


def predictions_alike(committed: Path, found: Path) -> bool:
    """Return whether two predictions.csv have the same rows with equal labels and probabilities within 0.05.

    A regressor's predictions may differ by 0.05 standard deviations of the committed ones.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - only needed off the reference machine
    from pyarrow import csv  # noqa: PLC0415

    one, two = csv.read_csv(committed), csv.read_csv(found)
    key = ["id", "split", "target"]
    if one.schema != two.schema or not one.select(key).equals(two.select(key)):
        return False
    if one["probability"].null_count < len(one):
        close, scale = "probability", 1.0
        if not one["prediction"].equals(two["prediction"]):
            return False
    else:
        close, scale = "prediction", pc.stddev(one["prediction"]).as_py()
    worst = pc.max(pc.abs(pc.subtract(one[close], two[close]))).as_py()
    return bool(worst <= PROBABILITY_TOLERANCE * scale)
