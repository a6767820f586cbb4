"""Registry: results as versions of a registered model, and the aliases "challenger" and "champion".

The tags of a version hold the sha256 of each of its files. They are stored apart from the files, so `fetch` detects a
file that was replaced in the store.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from artifact_flow.core.base.errors import TrackError
from artifact_flow.tracking.client import Server, shown
from artifact_flow.tracking.gate import QUALITY, Comparison, find_objection
from artifact_flow.tracking.result import MODEL_FILES, Result
from artifact_flow.tracking.runs import Runs
from artifact_flow.tracking.tags import DIRTY_TAG, FORCED_TAG, LOCK_TAG, SHA256_TAG

CHALLENGER, CHAMPION = "challenger", "champion"
SCHEME = "models:/"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model, and whether an earlier call had registered it."""

    name: str
    version: str
    found: bool


class Registry:
    """The model registry of an MLflow server or database."""

    def __init__(self, server: Server) -> None:
        """Use an opened server."""
        self.server = server

    def register(self, result: Result, name: str | None = None) -> Registered:
        """Return the version of a result, created if necessary, and give it the alias "challenger".

        Raises TrackError when the result was not tracked or MLflow rejects the name.
        """
        name, client = result.name if name is None else name, self.server.client
        run = Runs(self.server).find(result)
        if run is None:
            raise TrackError(
                f"no run at {shown(self.server.uri)} contains the result in {result.folder}: run `make track` first."
            )
        with self.server.translate_errors():
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
                if version.version != mine.version:  # another process registered it at the same moment
                    client.delete_model_version(name, mine.version)
            self._tag_commit(version, result)
            client.set_registered_model_alias(name, CHALLENGER, version.version)
        return Registered(name, str(version.version), found)

    def promote(
        self,
        name: str,
        max_loss: float,
        version: str | None = None,
        force: bool = False,
        doubt: Callable[[str, str], str | None] | None = None,
    ) -> Comparison:
        """Compare a version (default: the challenger) with the champion, and promote it if the gate allows it.

        The gate: a commit reproduces the version, both were measured on the same test rows, and the accuracy or R² on
        the test split is at most `max_loss` below the champion's, and `doubt`, if given, has no objection to the name
        and the sha256 of the version's model file. `force` overrides the gate and records the reason in a tag. Raises
        TrackError when there is no such version.
        """
        client = self.server.client
        candidate = self.get(name, version or CHALLENGER)
        champion = self.get(name, CHAMPION, missing_ok=True)
        with self.server.translate_errors():
            now, before = self._run_of(candidate), self._run_of(champion) if champion else None
            names = sorted({*now.data.metrics, *(before.data.metrics if before else ())})
            metrics = {
                metric: (before.data.metrics.get(metric) if before else None, now.data.metrics.get(metric))
                for metric in names
            }
            is_champion = champion is not None and str(champion.version) == str(candidate.version)
            reason = None
            if not is_champion:
                reason = find_objection(candidate, now, before, max_loss) or _object(candidate, doubt)
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

    def get(self, name: str, which: str, missing_ok: bool = False) -> Any:
        """Return a version by its number or alias.

        Raises TrackError when it does not exist, unless `missing_ok`: then it returns None.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        client = self.server.client
        with self.server.translate_errors():
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
                        f"the registry at {shown(self.server.uri)} has no version {which} of {name}: "
                        "`make register` creates one."
                    ) from error
                raise

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

    def _run_of(self, version: Any) -> Any:
        return self.server.client.get_run(version.run_id)


def _object(version: Any, doubt: Callable[[str, str], str | None] | None) -> str | None:
    """Return what `doubt` has against the file of a version that a client would choose, or None."""
    if doubt is None:
        return None
    for name in MODEL_FILES:
        if sha256 := version.tags.get(f"{SHA256_TAG}{name}"):
            return doubt(name, sha256)
    return "it has no hash of a model file, so no statement can be about it: register it with `make register`"


def _describe(result: Result) -> str:
    contract = result.contract
    train = contract.params["train"]
    given = train | contract.params.get("best", {})
    reserved = ("estimator", "threads", "search", "keywords")
    arguments = ", ".join(f"{key}={value}" for key, value in given.items() if key not in reserved)
    quality = QUALITY[contract.target.task]
    value = result.metrics.get(f"test.{quality}")
    metric = f"test {quality} {'unknown' if value is None else f'{value:.4f}'}"
    rows = " and ".join(f"{count} {split}" for split, count in contract.rows.items())
    return (
        f"{str(train['estimator']).rpartition('.')[2]}({arguments}) of {contract.params['data']['source']}: {metric}, "
        f"{len(contract.features)} features, {rows} rows. Files: {', '.join(result.model_files)}."
    )
