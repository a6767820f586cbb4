"""Sink: the interface for logging a result. `runs` implements it for MLflow, `mirror` for W&B."""

from dataclasses import dataclass
from typing import Protocol

from artifact_flow.tracking.pictures import Drawing
from artifact_flow.tracking.result import Result


@dataclass(frozen=True)
class Logged:
    """A logged result: the run's id, where to look at it, and whether an earlier call had logged it."""

    run_id: str
    place: str
    found: bool


class Sink(Protocol):
    """A service or a folder that stores results as runs."""

    def log(self, result: Result, drawing: Drawing) -> Logged:
        """Log a result and its plots once; return the existing run when it is logged already. Raises TrackError."""
