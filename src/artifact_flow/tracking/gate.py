"""Gate: the comparison of a new version's metrics with the champion's, which decides whether it may be promoted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artifact_flow.tracking.tags import DATA_TAG, DIRTY_TAG, MEASURED_TAG

PREPROCESS = "data.preprocess"  # the only parameter of the data that does not change the rows
QUALITY = {"classification": "accuracy", "regression": "r2"}


@dataclass(frozen=True)
class Comparison:
    """The metrics of a challenger and of the champion, and the gate's decision."""

    name: str
    version: str
    champion: str | None  # the version that was champion before
    metrics: dict[str, tuple[float | None, float | None]]  # name → (champion's, challenger's)
    reason: str | None  # why the challenger may not be promoted, or None
    promoted: bool

    def table(self) -> str:
        """Return a table of both versions' metrics, one line per metric."""
        width = max(map(len, self.metrics))
        before = f"version {self.champion}" if self.champion else "no champion"
        lines = [f"{'metric':{width}}  {before:>12}  {f'version {self.version}':>12}  {'change':>9}"]
        for name, (old, new) in self.metrics.items():
            change = "" if old is None or new is None else f"{new - old:+.5f}"
            lines.append(f"{name:{width}}  {_number(old):>12}  {_number(new):>12}  {change:>9}".rstrip())
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return the decision as a sentence."""
        if self.champion == self.version:
            return f"{self.name}: version {self.version} is already the champion"
        if not self.promoted:
            return f"{self.name}: version {self.version} is not promoted: {self.reason}. --force promotes it."
        forced = f", promoted with --force: {self.reason}" if self.reason else ""
        return f"{self.name}: version {self.version} is the champion{forced}"


def find_objection(version: Any, now: Any, before: Any, max_loss: float) -> str | None:
    """Return why a version may not become the champion, or None; `now` is its run, `before` the champion's or None."""
    if version.tags.get(DIRTY_TAG) != "false":
        return "no commit reproduces it: commit, then run `make register`"
    if before is None:
        return None
    if other := _describe_difference(now.data, before.data):
        return f"its metrics are not comparable with the champion's: {other}"
    quality = _quality(now.data.metrics)
    if quality is None:
        return f"neither version has a metric to compare ({' or '.join(f'test.{name}' for name in QUALITY.values())})"
    old, new = before.data.metrics[quality], now.data.metrics[quality]
    if not new >= old - max_loss:  # also true for NaN
        return f"{quality} is {new:.4f}, more than {max_loss:g} below the champion's {old:.4f}"
    return None


def _quality(metrics: Mapping[str, float]) -> str | None:
    return next((f"test.{name}" for name in QUALITY.values() if f"test.{name}" in metrics), None)


def _describe_difference(now: Any, before: Any) -> str | None:
    """Return in words how the measurements of two runs differ, or None when their metrics are comparable.

    Runs that earlier versions of this package logged have only the md5 of the whole table.
    """
    facts = {"target": "target", "classes": "classes", "test_rows": "test rows"}
    complete = all(f"{MEASURED_TAG}{fact}" in run.tags for fact in facts for run in (now, before))
    tags = {f"{MEASURED_TAG}{fact}": words for fact, words in facts.items()} if complete else {DATA_TAG: "test rows"}
    differing = [words for tag, words in tags.items() if now.tags.get(tag) != before.tags.get(tag)]
    if _quality(now.metrics) != _quality(before.metrics):
        differing.insert(0, "metric")
    if not differing:
        return None
    params = sorted(key for key in {*now.params, *before.params} if key.startswith("data.") and key != PREPROCESS)
    changes = [
        f"{key} is {now.params.get(key, 'not set')}, the champion's is {before.params.get(key, 'not set')}"
        for key in params
        if now.params.get(key) != before.params.get(key)
    ]
    return (
        f"different {' and different '.join(differing)} ({'; '.join(changes) or 'the content of the source differs'})"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"
