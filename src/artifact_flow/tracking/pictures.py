"""Pictures: plots as PNG files, drawn by vl-convert from what `dvc plots show` fills."""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from artifact_flow.core.base.errors import TrackError

VEGA_LITE = "5.21"  # as in docs/page.py
# vl-convert brings this typeface along, so that the machine's own fonts change nothing.
LOOKS = {"font": "Liberation Sans", "background": "white"}


@dataclass(frozen=True)
class Drawing:
    """Plots that are being drawn beside what else is to be done: DVC is filling them in a process of its own."""

    drawn: "Future[dict[str, bytes]]"

    def finish(self) -> dict[str, bytes]:
        """Return each plot with rows as PNG, by its name; raise TrackError when DVC cannot fill them."""
        return self.drawn.result()


def start_drawing(folder: Path, plots: Sequence[Path]) -> Drawing:
    """Let DVC fill plots of a repository, seen from `folder`, and draw what it fills."""
    command = [sys.executable, "-m", "dvc", "plots", "show", "--json", *map(str, plots)]
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    thread = ThreadPoolExecutor(1)
    drawing = Drawing(thread.submit(_draw_filled, process))
    thread.shutdown(wait=False)
    return drawing


def _draw_filled(process: "subprocess.Popen[str]") -> dict[str, bytes]:
    filled, said = process.communicate()
    if process.returncode:
        raise TrackError(f"`dvc plots show` failed: {' '.join(said.split())[:300]}: mend that and run it again.")
    return {Path(name).stem: draw(vega) for name, vega in read_plots(filled).items()}


def read_plots(filled: str) -> dict[str, str]:
    """Return plot → Vega-Lite specification, its data included, of what `dvc plots show --json` printed."""
    data = json.loads(filled).get("data", {}) if filled.strip() else {}
    # "dvc.yaml::plots/confusion.csv" is what dvc.yaml draws of the file, "plots/confusion.csv" a line through it
    defined = {name.partition("::")[2] for name in data}
    return {
        name.rpartition("::")[2]: json.dumps(drawn[0]["content"])
        for name, drawn in data.items()
        if drawn and name not in defined
    }


def draw(vega: str) -> bytes:
    """Return a Vega-Lite specification as PNG, half as large again as on the page, for sharp screens."""
    import vl_convert  # noqa: PLC0415 - heavy

    return bytes(vl_convert.vegalite_to_png(vega, vl_version=VEGA_LITE, scale=1.5, config=LOOKS))
