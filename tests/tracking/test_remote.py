"""DVC's outputs in the same bucket as the files of the runs."""

from pathlib import Path

import pytest
from tracking.conftest import Tracked
from tracking.stores import BUCKET, s3_api

from artifact_flow.core.base.files import hash_file

pytestmark = pytest.mark.filterwarnings("ignore")  # of moto's server


@pytest.mark.slow
def test_outputs_go_to_a_bucket_and_come_back(tracked: Tracked, tmp_path: Path) -> None:
    """As in docs/track.md: push here, pull into a fresh clone, byte for byte."""
    with s3_api() as environ, pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        tracked.run("dvc", "remote", "add", "--default", "storage", f"s3://{BUCKET}/dvc")
        tracked.run("dvc", "remote", "modify", "storage", "endpointurl", environ["AWS_ENDPOINT_URL"])
        tracked.run("dvc", "remote", "modify", "storage", "verify", "true")
        tracked.commit("A remote")
        tracked.run("dvc", "push", "--quiet", "dvc.yaml")
        clone = Tracked(tmp_path / "clone")
        tracked.run("git", "clone", "--quiet", ".", str(clone.root))
        clone.run("dvc", "pull", "--quiet", "dvc.yaml")
    for name in ("model_train.pkl", "predictions.csv", "model.onnx"):
        assert hash_file(clone.root / name) == hash_file(tracked.root / name)
