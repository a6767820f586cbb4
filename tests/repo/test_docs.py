"""The documentation builds as a site that holds every page and needs no network."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from shipped import needs_shipped

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "zensical.toml"
ZENSICAL = shutil.which("zensical", path=str(Path(sys.executable).parent))
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(autouse=True)
def shipped_page() -> None:
    """Skip in a project with a README of its own."""
    needs_shipped("README.md")


def pages_in(nav: list[dict[str, Any]]) -> Iterator[str]:
    """Yield each page of the navigation."""
    for entry in nav:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from pages_in(target)


def test_the_navigation_has_every_page_once() -> None:
    """No page under docs/ is missing in zensical.toml, none is named twice."""
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(pages_in(tomllib.loads(CONFIG.read_text())["project"]["nav"])) == sorted(pages)


def test_no_font_is_fetched() -> None:
    """The theme would take its fonts from a CDN."""
    assert tomllib.loads(CONFIG.read_text())["project"]["theme"]["font"] is False


class Quiet(SimpleHTTPRequestHandler):
    """Answers with files and prints no line for each."""

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Yield the address of a web server over a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; warnings, such as a broken link, are errors."""
    if ZENSICAL is None:
        pytest.skip("zensical is not installed: make docs")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(CONFIG, folder)
    done = subprocess.run([ZENSICAL, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / ".artifact-flow/site"


def test_the_site_names_no_resource_elsewhere(site: Path) -> None:
    """Every script, style, font and picture of a page is a file of the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) == 1 + len(list((ROOT / "docs").rglob("*.md")))  # one for what is not found
    for page in pages:
        text = page.read_text()
        assert re.findall(r"<(?:script|img|iframe)[^>]+src=\"?(?:https?:)?//[^\s>]+", text) == []
        assert [link for link in re.findall(r"<link[^>]+>", text) if "://" in link] == []


def test_a_browser_asks_nothing_of_the_network(site: Path) -> None:
    """The first page, one with pictures and one with code load everything, the search too, from the site itself."""
    if BROWSER is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with serve(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name, title in (("index", "artifact-flow"), ("benchmarks", "Benchmarks"), ("own-stage", "Add a stage")):
            page.goto(f"{address}/{name}.html")
            page.get_by_role("heading", name=title).first.wait_for()
        page.wait_for_load_state("networkidle")
        browser.close()
        assert f"{address}/search.json" in asked
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
