"""Backends: the libraries that implement a sink; one is imported only when a command opens it."""

from typing import Literal

from artifact_flow.tracking.sink import Sink


def open_sink(name: Literal["mlflow", "wandb"]) -> Sink:
    """Open the sink of a library and return it; raise TrackError when the library is not installed."""
    if name == "wandb":
        from artifact_flow.tracking.mirror import Mirror  # noqa: PLC0415 - each imports a heavy library

        return Mirror()
    from artifact_flow.tracking.client import Server  # noqa: PLC0415
    from artifact_flow.tracking.runs import Runs  # noqa: PLC0415

    return Runs(Server())
