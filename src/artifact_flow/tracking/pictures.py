"""Pictures: plots as PNG images, drawn by vl-convert from the specifications that `dvc plots show` fills with data."""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from artifact_flow.core.base.errors import TrackError

VEGA_LITE = "5.21"  # as in scripts/page.py
# vl-convert brings this typeface along, so that the machine's own fonts change nothing.
LOOKS = {"font": "Liberation Sans", "background": "white"}


@dataclass(frozen=True)
class Drawing:
    """Plots that are being drawn in the background, from data that DVC collects in its own process."""

    drawn: "Future[dict[str, bytes]]"

    def finish(self) -> dict[str, bytes]:
        """Wait for the plots and return name → PNG; raise TrackError when DVC cannot fill them."""
        return self.drawn.result()


def start_drawing(folder: Path, plots: Sequence[Path]) -> Drawing:
    """Start drawing plots, given by their paths from `folder`, and return at once."""
    command = [sys.executable, "-m", "dvc", "plots", "show", "--json", *map(str, plots)]
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    thread = ThreadPoolExecutor(1)
    drawing = Drawing(thread.submit(_draw_filled, process))
    thread.shutdown(wait=False)
    return drawing


def _draw_filled(process: "subprocess.Popen[str]") -> dict[str, bytes]:
    filled, said = process.communicate()
    if process.returncode:
        raise TrackError(
            f"`dvc plots show` failed: {' '.join(said.split())[:300]}: fix that and run the same command again."
        )
    return {Path(name).stem: draw(vega) for name, vega in read_plots(filled).items()}


def read_plots(filled: str) -> dict[str, str]:
    """Return plot → Vega-Lite specification with its data, from the output of `dvc plots show --json`."""
    data = json.loads(filled).get("data", {}) if filled.strip() else {}
    # "dvc.yaml::plots/confusion.csv" is the plot that dvc.yaml defines, "plots/confusion.csv" DVC's default line plot
    defined = {name.partition("::")[2] for name in data}
    return {
        name.rpartition("::")[2]: json.dumps(drawn[0]["content"])
        for name, drawn in data.items()
        if drawn and name not in defined
    }


def draw(vega: str) -> bytes:
    """Return a Vega-Lite specification as PNG, at 1.5 times the size on the page, for high-resolution screens."""
    import vl_convert  # noqa: PLC0415 - heavy

    return bytes(vl_convert.vegalite_to_png(vega, vl_version=VEGA_LITE, scale=1.5, config=LOOKS))
