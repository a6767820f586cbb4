"""Flows: what commands take that work on several of them."""

from collections.abc import Sequence
from pathlib import Path

FLOW = "the folder of a flow, such as flows/iris; default: the main flow"


def refuse_shared(flows: Sequence[Path], option: str, value: str | None) -> None:
    """Raise TrackError when one value of an option is given for several flows."""
    from artifact_flow.core.base.errors import TrackError

    if value is not None and len(flows) > 1:
        raise TrackError(
            f"{option} {value} cannot be that of {len(flows)} flows: name one flow, or leave {option} out."
        )
