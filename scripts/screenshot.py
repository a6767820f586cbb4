"""The README's picture of the page: the digits model, asked in a real browser about a seven drawn with the mouse.

`make pictures` writes it anew, where Chromium is installed.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/pictures/page.png"
SIZE = {"width": 1180, "height": 740}
SEVEN = [(0.28, 0.22), (0.72, 0.22), (0.6, 0.5), (0.48, 0.82)]  # a stroke, as shares of the drawing field


@contextmanager
def serve() -> Iterator[str]:
    """Yield the address of the served model.onnx."""
    command = ["artifact-flow", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline() if process.stderr else ""
            found = re.search(r"http://\S+", line)
            if found is None:
                sys.exit(f"error: the service does not start: {line.strip()}")
            yield found[0]
        finally:
            process.terminate()


def draw_seven(page: Page) -> None:
    """Draw a seven into the field and ask for both answers."""
    box = page.locator("canvas").first.bounding_box()
    if box is None:
        sys.exit("error: the page has no drawing field: serve a model of digits.")
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=10)
    page.mouse.up()
    page.get_by_label("both").check()
    page.get_by_role("button", name="Predict", exact=True).click()
    page.get_by_text("They agree").last.wait_for()


if __name__ == "__main__":
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("error: the picture of the page needs Chromium: apt-get install chromium")
    with serve() as address, sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(address)
        draw_seven(page)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=PICTURE, animations="disabled")
