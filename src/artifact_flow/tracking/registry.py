"""Registry: results as versions of a registered model, the aliases that say which serves, and the way back to files.

A version carries the sha256 of each of its files as tags, beside the files and not with them: what was replaced in the
store is refused when it is fetched.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.model.artifacts import MODEL, PORTABLE
from artifact_flow.tracking.client import STORE, Server, shown
from artifact_flow.tracking.result import MODEL_FILES, Result
from artifact_flow.tracking.runs import DATA_TAG, DIRTY_TAG, FILES, LOCK_TAG, MEASURED_TAG, SHA256_TAG, TAG, Runs

CHALLENGER, CHAMPION = "challenger", "champion"
FORCED_TAG = f"{TAG}forced"
SCHEME = "models:/"
PREPROCESS = "data.preprocess"  # the one parameter of the data that changes no row
QUALITY = {"classification": "accuracy", "regression": "r2"}


@dataclass(frozen=True)
class Registered:
    """A version of a registered model, and whether it was there before."""

    name: str
    version: str
    found: bool


@dataclass(frozen=True)
class Comparison:
    """A challenger beside the champion: the metrics of both, and what the gate makes of them."""

    name: str
    version: str
    champion: str | None  # the version that served until now
    metrics: dict[str, tuple[float | None, float | None]]  # name → (champion's, challenger's)
    reason: str | None  # why the challenger may not serve; None where it may
    promoted: bool

    def table(self) -> str:
        """Return the metrics of both, line by line."""
        width = max(map(len, self.metrics))
        before = f"version {self.champion}" if self.champion else "no champion"
        lines = [f"{'metric':{width}}  {before:>12}  {f'version {self.version}':>12}  {'change':>9}"]
        for name, (old, new) in self.metrics.items():
            change = "" if old is None or new is None else f"{new - old:+.5f}"
            lines.append(f"{name:{width}}  {_number(old):>12}  {_number(new):>12}  {change:>9}".rstrip())
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return what came of it, in a sentence."""
        if self.champion == self.version:
            return f"{self.name}: version {self.version} is the champion already"
        if not self.promoted:
            return f"{self.name}: version {self.version} stays where it is: {self.reason}. --force promotes it."
        forced = f", by force: {self.reason}" if self.reason else ""
        return f"{self.name}: version {self.version} is the champion{forced}"


@dataclass(frozen=True)
class Fetched:
    """A version's files in a folder of their own, each found to have the hash that the registry names."""

    folder: Path
    version: str
    sha256: dict[str, str]

    @property
    def model(self) -> Path:
        """The portable model where the version has one, else the pickle."""
        return self.folder / (PORTABLE.name if PORTABLE.name in self.sha256 else MODEL.name)


class Registry:
    """The registry of an MLflow server or database."""

    def __init__(self, server: Server) -> None:
        """Take an opened server."""
        self.server = server

    def register(self, result: Result, name: str | None = None) -> Registered:
        """Return the version that is a result, made where there is none yet, with the alias "challenger".

        Raises TrackError when the result was not tracked, or MLflow refuses the name.
        """
        name, client = result.name if name is None else name, self.server.client
        run = Runs(self.server).find(result)
        if run is None:
            raise TrackError(
                f"no run at {shown(self.server.uri)} holds this result of {result.folder}: `make track` logs it first."
            )
        with self.server.told():
            model = Runs(self.server).model_of(run.info.run_id, run.info.experiment_id)
            self._ensure_model(name)
            version = self._first(name, result)
            found = version is not None
            if version is None:
                tags = {f"{SHA256_TAG}{file}": result.sha256[file] for file in result.model_files}
                mine = client.create_model_version(
                    name,
                    source=f"{SCHEME}{model.model_id}",
                    run_id=run.info.run_id,
                    tags={**tags, LOCK_TAG: result.lock},
                    description=_describe(result),
                    model_id=model.model_id,
                )
                version = self._first(name, result) or mine
                if version.version != mine.version:  # another one registered it at the same moment
                    client.delete_model_version(name, mine.version)
            self._tag_commit(version, result)
            client.set_registered_model_alias(name, CHALLENGER, version.version)
        return Registered(name, str(version.version), found)

    def promote(self, name: str, max_loss: float, version: str | None = None, force: bool = False) -> Comparison:
        """Return a version (the challenger's) beside the champion, and make it the champion where the gate lets it.

        The gate: a commit gives the version, both were measured on the same test rows, and the test split's accuracy or
        R² is at most `max_loss` below the champion's. `force` passes it, and says so in a tag. Raises TrackError when
        there is no such version.
        """
        client = self.server.client
        candidate = self._get(name, version or CHALLENGER)
        champion = self._get(name, CHAMPION, missing_ok=True)
        with self.server.told():
            now, before = self._run_of(candidate), self._run_of(champion) if champion else None
            names = sorted({*now.data.metrics, *(before.data.metrics if before else ())})
            metrics = {
                metric: (before.data.metrics.get(metric) if before else None, now.data.metrics.get(metric))
                for metric in names
            }
            is_champion = champion is not None and str(champion.version) == str(candidate.version)
            reason = None if is_champion else _refusal(candidate, now, before, max_loss)
            promoted = reason is None or force
            if promoted and not is_champion:
                if reason:
                    client.set_model_version_tag(name, candidate.version, FORCED_TAG, reason)
                client.set_registered_model_alias(name, CHAMPION, candidate.version)
        return Comparison(
            name=name,
            version=str(candidate.version),
            champion=str(champion.version) if champion else None,
            metrics=metrics,
            reason=reason,
            promoted=promoted,
        )

    def fetch(self, uri: str) -> Fetched:
        """Return the files of "models:/name@alias" or "models:/name/version", after their hashes are checked.

        They are downloaded once, into a folder of the version that git ignores. Raises TrackError when there is no
        such version, it was not registered here, or a file was replaced.
        """
        name, version = parse_uri(uri)
        found = self._get(name, version)
        sha256 = {
            key.removeprefix(SHA256_TAG): value for key, value in found.tags.items() if key.startswith(SHA256_TAG)
        }
        if CONTRACT.name not in sha256 or not set(sha256) <= set(MODEL_FILES):
            raise TrackError(
                f"{uri} (version {found.version}) does not say the hashes of its files, so it was not made by "
                "`make register` and is not opened: register the model by it."
            )
        folder = self.server.root / STORE.parent / "registry" / f"{name}-{found.version}-{sha256[CONTRACT.name][:12]}"
        if not _holds(folder, sha256):
            self._download(found, uri, folder, sha256)
        return Fetched(folder, str(found.version), sha256)

    def _download(self, version: Any, uri: str, folder: Path, sha256: dict[str, str]) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            with self.server.told():
                source = f"{SCHEME}{version.name}/{version.version}"
                local = Path(self.server.mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=aside))
            for name, expected in sha256.items():
                path = local / "data" / FILES / name
                found = hash_file(path) if path.is_file() else None
                if found != expected:
                    what = f"has the sha256 {found[:12]}…, not {expected[:12]}…" if found else "is missing"
                    raise TrackError(
                        f"{uri} (version {version.version}): {name} {what} in the registry's store, so it was replaced "
                        "after it was registered and is not opened: serve another version, or register this one anew."
                    )
            shutil.rmtree(folder, ignore_errors=True)
            (local / "data" / FILES).rename(folder)

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            self.server.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _first(self, name: str, result: Result) -> Any:
        found = self.server.client.search_model_versions(f"name = '{name}' and tags.`{LOCK_TAG}` = '{result.lock}'")
        return min(found, key=lambda version: int(version.version), default=None)

    def _tag_commit(self, version: Any, result: Result) -> None:
        if version.tags.get(DIRTY_TAG) == "false":
            return
        for tag, value in (("git.commit", result.git.commit), (DIRTY_TAG, str(result.git.dirty).lower())):
            self.server.client.set_model_version_tag(version.name, version.version, tag, value)

    def _get(self, name: str, which: str, missing_ok: bool = False) -> Any:
        """Return a version by its number or alias."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        client = self.server.client
        with self.server.told():
            try:
                if which.isdecimal():
                    return client.get_model_version(name, which)
                return client.get_model_version_by_alias(name, which)
            except MlflowException as error:
                missing = error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
                if missing and missing_ok:
                    return None
                if missing:
                    raise TrackError(
                        f"the registry at {shown(self.server.uri)} has no {name} {which}: `make register` makes one."
                    ) from error
                raise

    def _run_of(self, version: Any) -> Any:
        return self.server.client.get_run(version.run_id)


def fetch(uri: str) -> Fetched:
    """Return the files of a version in the configured registry; see `Registry.fetch`."""
    parse_uri(uri)
    return Registry(Server()).fetch(uri)


def parse_uri(uri: str) -> tuple[str, str]:
    """Return name, and alias or version, of "models:/name@alias" or "models:/name/3"; raise TrackError otherwise."""
    found = re.fullmatch(rf"{SCHEME}([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    if not found:
        raise TrackError(f"{uri} names no version of a model: give models:/iris@champion or models:/iris/3.")
    return found[1], found[2] or found[3]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def _holds(folder: Path, sha256: dict[str, str]) -> bool:
    return all((folder / name).is_file() and hash_file(folder / name) == value for name, value in sha256.items())


def _refusal(version: Any, now: Any, before: Any, max_loss: float) -> str | None:
    """Return why a version may not be the champion, or None; `now` is its run, `before` the champion's or None."""
    if version.tags.get(DIRTY_TAG) != "false":
        return "no commit gives it: commit, then `make register`"
    if before is None:
        return None
    if other := _other_measure(now.data, before.data):
        return f"its metrics do not compare with the champion's: {other}"
    quality = _quality(now.data.metrics)
    if quality is None:
        return f"neither has a metric to compare, {' or '.join(f'test.{name}' for name in QUALITY.values())}"
    old, new = before.data.metrics[quality], now.data.metrics[quality]
    if not new >= old - max_loss:  # NaN is no better
        return f"{quality} is {new:.4f}, more than {max_loss:g} below the champion's {old:.4f}"
    return None


def _quality(metrics: Mapping[str, float]) -> str | None:
    return next((f"test.{name}" for name in QUALITY.values() if f"test.{name}" in metrics), None)


def _other_measure(now: Any, before: Any) -> str | None:
    """Return what two runs were measured on differently, or by, in words; None where their metrics compare.

    Runs of earlier versions of this package tell no more than the md5 of the whole table.
    """
    facts = {"target": "target", "classes": "classes", "test_rows": "test rows"}
    told = all(f"{MEASURED_TAG}{fact}" in run.tags for fact in facts for run in (now, before))
    tags = {f"{MEASURED_TAG}{fact}": words for fact, words in facts.items()} if told else {DATA_TAG: "test rows"}
    differing = [words for tag, words in tags.items() if now.tags.get(tag) != before.tags.get(tag)]
    if _quality(now.metrics) != _quality(before.metrics):
        differing.insert(0, "metric")
    if not differing:
        return None
    params = sorted(key for key in {*now.params, *before.params} if key.startswith("data.") and key != PREPROCESS)
    changes = [
        f"{key} is {now.params.get(key, 'not given')}, the champion's {before.params.get(key, 'not given')}"
        for key in params
        if now.params.get(key) != before.params.get(key)
    ]
    return f"other {' and other '.join(differing)} ({'; '.join(changes) or 'what is in the source differs'})"


def _describe(result: Result) -> str:
    contract = result.contract
    train = contract.params["train"]
    given = train | contract.params.get("best", {})
    reserved = ("estimator", "threads", "search")
    arguments = ", ".join(f"{key}={value}" for key, value in given.items() if key not in reserved)
    quality = QUALITY[contract.target.task]
    value = result.metrics.get(f"test.{quality}")
    metric = f"test {quality} {'unknown' if value is None else f'{value:.4f}'}"
    rows = " and ".join(f"{count} {split}" for split, count in contract.rows.items())
    return (
        f"{str(train['estimator']).rpartition('.')[2]}({arguments}) of {contract.params['data']['source']}: {metric}, "
        f"{len(contract.features)} features, {rows} rows. Its files: {', '.join(result.model_files)}."
    )
