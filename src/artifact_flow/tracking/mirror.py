"""Mirror: results as runs of W&B. Without configuration they stay offline, and `wandb sync` uploads them."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import repository_root
from artifact_flow.tracking.pictures import Drawing
from artifact_flow.tracking.result import Result
from artifact_flow.tracking.sink import Logged

FOLDER = Path(".artifact-flow/wandb")
PROJECT = "artifact-flow"
# No error reports, no machine statistics, no prompts in the terminal.
ENVIRONMENT = {
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_GIT": "true",
}


class Mirror:
    """The sink for W&B."""

    def __init__(self, root: Path | None = None) -> None:
        """Open W&B for a repository; raise TrackError when it is not installed."""
        self.folder = (root or repository_root()) / FOLDER
        # online only if the user sets the API key or WANDB_MODE
        self.mode = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        folders = {f"WANDB_{kind}_DIR": str(self.folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        os.environ.update(ENVIRONMENT | folders)
        try:
            import wandb  # noqa: PLC0415 - heavy
        except ModuleNotFoundError as error:
            raise TrackError(
                f"{error.name} is not installed: `make track` installs the packages that tracking needs."
            ) from error
        self.wandb: Any = wandb

    def log(self, result: Result, drawing: Drawing) -> Logged:
        """Return the run of a result. Its id is a part of the lock's hash, so the same result is the same run."""
        config = dict(result.params) | {"git.commit": result.git.commit, "git.dirty": result.git.dirty}
        with self._run(result.lock[:16], result.title, result.name, config) as run:
            if run:
                run.summary.update(dict(result.metrics))
                pictures = {name: Image.open(io.BytesIO(picture)) for name, picture in drawing.finish().items()}
                run.log({f"plots/{name}": self.wandb.Image(picture) for name, picture in pictures.items()})
                for kind, files in (("model", result.model_files), ("results", result.other_files)):
                    hashes = {"sha256": {file: result.sha256[file] for file in files}}
                    artifact = self.wandb.Artifact(f"{result.name}-{kind}", kind, metadata=hashes)
                    for file in files:
                        artifact.add_file(str(result.folder / file), name=file)
                    run.log_artifact(artifact)
        place = f"`wandb sync {self.folder}/offline-run-*` uploads it" if self.mode == "offline" else "at W&B"
        return Logged(result.lock[:16], place, run is None)

    def log_file(self, path: Path, kind: str, about: Mapping[str, str], md5: str) -> None:
        """Log a file once, as the artifact of a run for it alone."""
        with self._run(md5[:16], f"{path.name} {md5[:7]}", "data", dict(about) | {"md5": md5}) as run:
            if run:
                artifact = self.wandb.Artifact(path.name, kind, about["description"], {"md5": md5})
                artifact.add_file(str(path))
                run.log_artifact(artifact)

    @contextmanager
    def _run(self, run_id: str, name: str, group: str, config: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a run to fill, or None if this machine has logged it already."""
        done = self.folder / f"{run_id}.{self.mode}"
        if done.is_file():
            yield None
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                id=run_id,
                name=name,
                group=group,
                config=dict(config),
                dir=str(self.folder.parent),
                mode=self.mode,
                resume="allow" if self.mode == "online" else None,
                settings=self.wandb.Settings(x_disable_stats=True, x_disable_meta=True, save_code=False),
            ) as run:
                yield run
        except (self.wandb.Error, OSError) as error:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            raise TrackError(
                f"W&B rejected the request ({reason}): fix that and run the same command again."
            ) from error
        done.touch()
