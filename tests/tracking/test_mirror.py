"""W&B: results are mirrored once, offline by default, and only into the ignored folder."""

import pytest
from serving.server import command
from tracking.conftest import Tracked

pytestmark = pytest.mark.filterwarnings("ignore")  # of its own parts


@pytest.mark.slow
def test_a_result_is_mirrored_offline_once(tracked: Tracked) -> None:
    """The run and its files are in the ignored folder; a second call adds no run; HOME stays empty."""
    home = tracked.root.parent / "home"
    home.mkdir()
    environ = ["env", "-u", "XDG_CONFIG_HOME", "-u", "XDG_CACHE_HOME", f"HOME={home}"]
    said = [tracked.run(*environ, *command("track", "--sink", "wandb", "--sink", "mlflow")) for _ in range(2)]
    assert said[0].count(" logged; ") == 2
    assert said[1].count(" already contains this result; ") == 2
    folder = tracked.root / ".artifact-flow/wandb"
    runs = list(folder.glob("offline-run-*"))
    assert len(runs) == 1
    (log,) = runs[0].glob("*.wandb")
    content = log.read_bytes()
    assert b"digits-model" in content
    assert b"model.onnx" in content
    assert list(home.rglob("*")) == []
    assert tracked.is_clean()
