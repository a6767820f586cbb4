"""The README's pictures of plots: what `dvc plots show` draws of this working tree, as PNG files in docs/pictures.

`make pictures` writes them anew; the same plots and the same vl-convert give the same bytes. A picture has the
specification that DVC fills for its own page: our templates under .dvc/plots, the titles and axes of dvc.yaml.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.tracking.pictures import start_drawing

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/pictures"


class DrawError(ArtifactFlowError):
    """A plot cannot be drawn."""


@dataclass(frozen=True)
class Picture:
    """One PNG file and the plot in it, as `dvc plots show` takes it."""

    name: str
    plot: str


PICTURES = (
    Picture("confusion", "plots/confusion.csv"),
    Picture("predicted_actual", "flows/california_housing/plots/predicted_actual.csv"),
    Picture("float_8bit", "flows/california_housing/plots/float_8bit.csv"),
)


def draw_picture(picture: Picture) -> bytes:
    """Return a plot as PNG; raise DrawError where it has no rows."""
    drawn = start_drawing(ROOT, [Path(picture.plot)]).finish()
    if picture.name not in drawn:
        raise DrawError(f"{picture.plot} has no rows to draw, or is no plot of dvc.yaml; reproduce it: dvc repro")
    return drawn[picture.name]


def write_pictures() -> None:
    """Draw every picture, then write them all."""
    drawn = {picture.name: draw_picture(picture) for picture in PICTURES}
    FOLDER.mkdir(exist_ok=True)
    for name, image in drawn.items():
        (FOLDER / f"{name}.png").write_bytes(image)


if __name__ == "__main__":
    try:
        write_pictures()
    except ArtifactFlowError as error:
        sys.exit(f"error: {error}")
