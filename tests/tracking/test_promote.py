"""The gate of `promote`: which metrics of two versions are comparable. Uses the embedded database."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from artifact_flow.core.base.params import DataParams
from artifact_flow.core.table.datasets import load_source
from artifact_flow.core.table.tables import split_rows, write_table
from artifact_flow.tracking.client import Server
from artifact_flow.tracking.gate import Comparison
from artifact_flow.tracking.registry import Registry
from artifact_flow.tracking.result import hash_test_rows

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, about its parts

ON = {"target": "species", "classes": "a, b", "test_rows": "1f"}
TAGS = {f"artifact_flow.measured_on.{fact}": value for fact, value in ON.items()} | {"artifact_flow.data_md5": "aa"}
PARAMS = {"data.source": "iris.csv", "data.seed": "42", "data.preprocess": "none", "train.C": "1.0"}
METRICS = {"test.accuracy": 0.9, "train.accuracy": 0.95}


class Versions:
    """A registry to which tests add versions with chosen tags, parameters and metrics."""

    def __init__(self, root: Path) -> None:
        self.server = Server(root)
        self.experiment = self.server.ensure_experiment("iris")
        self.server.client.create_registered_model("iris")

    def add(self, tags: Mapping[str, str], params: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        """Add a version with a clean commit, and return its number."""
        client = self.server.client
        run = client.create_run(self.experiment, tags=dict(tags)).info.run_id
        for name, value in params.items():
            client.log_param(run, name, value)
        for name, number in metrics.items():
            client.log_metric(run, name, number)
        version = client.create_model_version(
            "iris", source=str(self.server.root), run_id=run, tags={"git.dirty": "false"}
        )
        return str(version.version)

    def promote(self, version: str, **options: Any) -> Comparison:
        """Try to promote a version."""
        return Registry(self.server).promote("iris", 0.0, version, **options)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Versions:
    """An empty registry with one champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = Versions(tmp_path)
    assert found.promote(found.add(TAGS, PARAMS, METRICS)).promoted
    return found


OTHERS = {
    "split": (
        {"test_rows": "2e"},
        {"data.seed": "7"},
        {},
        "different test rows (data.seed is 7, the champion's is 42)",
    ),
    "source": ({"test_rows": "2e"}, {}, {}, "different test rows (the content of the source differs)"),
    "prepared too": (
        {"test_rows": "2e"},
        {"data.preprocess": "auto"},
        {},
        "different test rows (the content of the source differs)",
    ),
    "target": (
        {"target": "kind", "test_rows": "2e"},
        {"data.table.target": "kind"},
        {},
        "different target and different test rows (data.table.target is kind, the champion's is not set)",
    ),
    "classes": ({"classes": "a, b, c"}, {}, {}, "different classes (the content of the source differs)"),
    "task": (
        {"classes": "", "test_rows": "2e"},
        {"data.table.task": "regression"},
        {"test.r2": 0.99},
        "different metric and different classes and different test rows "
        "(data.table.task is regression, the champion's is not set)",
    ),
}


@pytest.mark.slow
def test_other_test_data_are_refused_unless_forced(versions: Versions) -> None:
    """Even with better metrics, the champion stays, and a sentence names the difference; force promotes, with a tag."""
    alias = versions.server.client.get_model_version_by_alias
    for case, (on, params, metrics, difference) in OTHERS.items():
        tags = TAGS | {f"artifact_flow.measured_on.{fact}": value for fact, value in on.items()}
        version = versions.add(tags, PARAMS | params, metrics or {"test.accuracy": 1.0})
        compared = versions.promote(version)
        expected = f"its metrics are not comparable with the champion's: {difference}"
        assert (compared.promoted, compared.reason) == (False, expected), case
        assert f"iris: version {version} is not promoted: {expected}. --force promotes it." == compared.verdict()
        assert str(alias("iris", "champion").version) == "1"
    forced = versions.promote(version, force=True)
    assert (
        f"iris: version {version} is the champion, promoted with --force: its metrics are not comparable"
        in forced.verdict()
    )
    assert str(alias("iris", "champion").version) == version
    assert versions.server.client.get_model_version("iris", version).tags["artifact_flow.forced"] == expected


@pytest.mark.slow
def test_the_same_test_data_are_compared(versions: Versions) -> None:
    """Training and preprocessing may differ; worse metrics and NaN are refused; the champion is recognised."""
    same = PARAMS | {"train.C": "0.1", "data.preprocess": "auto"}
    other_table = TAGS | {"artifact_flow.data_md5": "bb"}  # its metadata hold data.preprocess
    assert versions.promote("1").verdict() == "iris: version 1 is already the champion"
    worse = versions.promote(versions.add(other_table, same, {"test.accuracy": 0.8}))
    assert worse.reason == "test.accuracy is 0.8000, more than 0 below the champion's 0.9000"
    assert not versions.promote(versions.add(other_table, same, {"test.accuracy": math.nan})).promoted
    assert versions.promote(versions.add(other_table, same, {"test.accuracy": 0.9})).reason is None


@pytest.mark.slow
def test_a_run_without_measured_on_is_compared_by_its_table(versions: Versions) -> None:
    """For runs of earlier versions, without a hash of test rows: the same data.parquet passes, another one does not."""
    before = {"artifact_flow.data_md5": "aa"}
    assert versions.promote(versions.add(before, PARAMS, METRICS)).promoted
    compared = versions.promote(
        versions.add(TAGS | {"artifact_flow.data_md5": "bb"}, PARAMS | {"data.seed": "7"}, METRICS)
    )
    assert compared.reason is not None
    assert compared.reason.endswith("different test rows (data.seed is 7, the champion's is 42)")


@pytest.mark.slow
def test_a_version_without_a_hash_cannot_have_been_reproduced(versions: Versions) -> None:
    """Another tool registered it: where statements are required, the reason says so; elsewhere it is promoted."""
    version = versions.add(TAGS, PARAMS, METRICS)
    refused = versions.promote(version, doubt=lambda name, sha256: None)
    assert (
        refused.reason
        == "it has no hash of a model file, so no statement can be about it: register it with `make register`"
    )
    assert versions.promote(version).promoted


def test_the_hash_of_test_rows_depends_only_on_the_rows(tmp_path: Path) -> None:
    """Another seed, share or source changes the hash; preprocessing does not."""

    def hash_of(**changes: Any) -> str:
        given = {"source": "iris", "preprocess": "none", "test_size": 0.2, "seed": 42, "stratify": True}
        path = tmp_path / "data.parquet"
        write_table(split_rows(load_source(DataParams.model_validate(given | changes))), path)
        return hash_test_rows(path)

    assert hash_of() == hash_of(preprocess="auto")
    assert len({hash_of(), hash_of(seed=7), hash_of(test_size=0.3), hash_of(source="wine")}) == 4
