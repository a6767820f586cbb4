"""The README's pictures of plots: what `dvc plots show` draws of this working tree, as PNG files in docs/pictures.

`make pictures` writes them anew; the same plots and the same vl-convert give the same bytes. A picture has the
specification that DVC fills for its own page: our templates under .dvc/plots, the titles and axes of dvc.yaml.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import vl_convert

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/pictures"
VEGA_LITE = "5.21"  # as in docs/page.py
# vl-convert brings this typeface along, so that the machine's own fonts change nothing.
LOOKS = {"font": "Liberation Sans", "background": "white"}


class DrawError(Exception):
    """A plot cannot be drawn."""


@dataclass(frozen=True)
class Picture:
    """One PNG file and the plot in it, as `dvc plots show` takes it."""

    name: str
    plot: str


PICTURES = (
    Picture("confusion", "dvc.yaml::plots/confusion.csv"),
    Picture("predicted_actual", "flows/california_housing/plots/predicted_actual.csv"),
    Picture("float_8bit", "flows/california_housing/plots/float_8bit.csv"),
)


def fill_template(plot: str) -> str:
    """Return the Vega-Lite specification, data included, that DVC fills for a plot; raise DrawError without one."""
    done = subprocess.run(
        ["dvc", "plots", "show", "--show-vega", plot], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise DrawError(f"{plot}: dvc plots show failed: {done.stderr.strip()}")
    if not done.stdout.strip() or not json.loads(done.stdout):
        raise DrawError(f"{plot} has no rows to draw, or is no plot of dvc.yaml; reproduce it: dvc repro")
    return done.stdout


def draw_picture(picture: Picture) -> bytes:
    """Return a plot as PNG, half as large again as on the page, for sharp screens."""
    specification = fill_template(picture.plot)
    return vl_convert.vegalite_to_png(specification, vl_version=VEGA_LITE, scale=1.5, config=LOOKS)


def write_pictures() -> None:
    """Draw every picture, then write them all."""
    drawn = {picture.name: draw_picture(picture) for picture in PICTURES}
    FOLDER.mkdir(exist_ok=True)
    for name, image in drawn.items():
        (FOLDER / f"{name}.png").write_bytes(image)


if __name__ == "__main__":
    try:
        write_pictures()
    except DrawError as error:
        sys.exit(f"error: {error}")
