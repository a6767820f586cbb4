"""Sink: the small interface behind which a result is logged. `runs` has MLflow's, `mirror` has that of W&B."""

from dataclasses import dataclass
from typing import Literal, Protocol

from artifact_flow.tracking.pictures import Drawing
from artifact_flow.tracking.result import Result


@dataclass(frozen=True)
class Logged:
    """Where a result stands: the run's id, a place to look at it, and whether it was there before."""

    run_id: str
    place: str
    found: bool


class Sink(Protocol):
    """Something that keeps results."""

    def log(self, result: Result, drawing: Drawing) -> Logged:
        """Log a result, with its plots as pictures, once: the same one again is found. Raises TrackError."""


def open_sink(name: Literal["mlflow", "wandb"]) -> Sink:
    """Return a sink, opened; raise TrackError when its library is not installed."""
    if name == "wandb":
        from artifact_flow.tracking.mirror import Mirror  # noqa: PLC0415 - each brings a heavy library

        return Mirror()
    from artifact_flow.tracking.client import Server  # noqa: PLC0415
    from artifact_flow.tracking.runs import Runs  # noqa: PLC0415

    return Runs(Server())
