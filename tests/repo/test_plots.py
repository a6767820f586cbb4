"""Plots, drawn by real DVC in a real browser without network access."""

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from project import Project

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / ".dvc/page.html"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None and "CI" not in os.environ, reason="needs Chromium: apt-get install chromium"
)

DEFINITIONS = """\
plots:
  - confusion.csv: {template: confusion_counts, x: predicted, y: actual, title: Confusion}
  - predicted_actual.csv: {template: predicted_actual, x: actual, y: predicted, title: Predicted}
  - float_8bit.csv: {template: float_8bit, x: float, y: quantized, title: Eight bits}
  - search.csv: {template: parallel_coordinates, x: params, y: mean_test_score, title: Search}
  - curves.csv: {template: curves, x: x, y: y, title: Curves}
  - importance.csv: {template: importance, x: importance, y: feature, title: Importance}
  - empty.csv: {template: confusion_counts, x: predicted, y: actual, title: Without rows}
"""
DATA = {
    "confusion.csv": "actual,predicted,rows\ncat,cat,7\ncat,dog,0\ndog,cat,2\ndog,dog,5\n",
    "predicted_actual.csv": "actual,predicted\n1.5,1.25\n2.5,3\n-1,0\n",
    "float_8bit.csv": "float,quantized\n0.5,0.48\n0.75,0.75\n0.9,0.91\n",
    "search.csv": "iter,params,mean_test_score,rank_test_score\n"
    "0,C=0.1; solver=saga,0.5,4\n0,C=10.0; solver=saga,0.6,3\n0,C=x; solver=saga,,5\n"
    "1,C=10.0; solver=saga,0.75,1\n1,C=1.0; solver=lbfgs,0.7,2\n",
    "curves.csv": "curve,class,x,y\nROC,dog,0,0\nROC,dog,0,0.5\nROC,dog,1,1\nprecision-recall,dog,1,0.5\n"
    "precision-recall,dog,0,1\ncalibration,dog,0.2,0.25\n",
    "importance.csv": "feature,importance,deviation\nsize,0.25,0.05\nage,0.125,0.01\n",
    "empty.csv": "actual,predicted,rows\n",
}


class Elements(HTMLParser):
    """The tags and the attributes of a page, without the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@pytest.fixture
def plots(tmp_path: Path) -> Project:
    """A project with only plots, with our templates and page, committed on branch main."""
    project = Project(tmp_path / "plots")
    shutil.copytree(ROOT / ".dvc/plots", project.root / ".dvc/plots")
    for name in (".dvc/config", ".dvc/page.html", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, project.root / name)
    for name, text in DATA.items() | {("dvc.yaml", DEFINITIONS)}:
        (project.root / name).write_text(text)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.commit("Plots")
    return project


def browse(project: Project, page: str = "dvc_plots/index.html") -> str:
    """Return a page's document after its scripts have run, in a browser without network access."""
    assert BROWSER, "Chromium is missing: apt-get install chromium"
    return project.run(
        "env",
        f"HOME={project.root}",  # for its crash reports and caches
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--proxy-server=127.0.0.1:9",
        f"--user-data-dir={project.root / 'browser'}",
        "--virtual-time-budget=5000",
        "--dump-dom",
        (project.root / page).as_uri(),
    )


def texts_of(drawing: str) -> list[str]:
    """Return the texts in a drawing."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", drawing)


def drawings_by_title(document: str) -> dict[str, str]:
    """Return title → SVG of each drawn plot; the title is the last text in it."""
    drawings = re.findall(r'<svg[^>]* class="marks".*?</svg>', document, re.DOTALL)
    return {texts_of(drawing)[-1]: drawing for drawing in drawings}


def count_points(drawing: str) -> int:
    """Return the number of points in a drawing."""
    return drawing.count('aria-roledescription="point"')


def test_the_page_needs_no_network() -> None:
    """It loads nothing, its policy forbids loading, and it has the placeholder for DVC's plots."""
    page = PAGE.read_text(encoding="utf-8")
    elements = Elements(page)
    assert page.count("{plot_divs}") == 1
    assert "{scripts}" not in page
    assert "sourceMappingURL" not in page
    assert not {"link", "iframe", "img", "base"} & set(elements.tags)
    assert not {"src", "href"} & {name for name, _ in elements.attributes}
    policies = [value for _, value in elements.attributes if value and value.startswith("default-src 'none'")]
    assert len(policies) == 1
    assert "http" not in policies[0]


def test_the_page_names_its_libraries() -> None:
    """It lists each library with version and hash, and includes the licence."""
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^<!-- (\S+) [\d.]+, sha256 [0-9a-f]{64} -->$", page, re.MULTILINE) == [
        "vega",
        "vega-lite",
        "vega-embed",
    ]
    assert "BSD 3-Clause License" in page


@pytest.mark.parametrize("template", sorted((ROOT / ".dvc/plots").glob("*.json")), ids=lambda path: path.stem)
def test_a_template_has_the_schema_of_the_inlined_library(template: Path) -> None:
    """The page and the templates use Vega-Lite 5."""
    assert json.loads(template.read_text())["$schema"].endswith("/schema/vega-lite/v5.json")
    assert "<!-- vega-lite 5." in PAGE.read_text(encoding="utf-8")


@needs_browser
def test_plots_show_is_drawn_without_a_network(plots: Project) -> None:
    """Every plot with rows is drawn with all its points; a file without rows is skipped."""
    plots.run("dvc", "plots", "show")
    drawings = drawings_by_title(browse(plots))
    assert set(drawings) == {"Confusion", "Predicted", "Eight bits", "Search", "Curves", "Importance"}
    assert {"workspace", "actual", "predicted", "cat", "dog", "7", "2", "5"} <= set(texts_of(drawings["Confusion"]))
    assert "0" not in texts_of(drawings["Confusion"])
    assert {"actual", "predicted"} <= set(texts_of(drawings["Predicted"]))
    assert count_points(drawings["Predicted"]) == 3
    assert {"float", "quantized", "difference"} <= set(texts_of(drawings["Eight bits"]))
    assert count_points(drawings["Eight bits"]) == 3
    texts = set(texts_of(drawings["Curves"]))
    assert {"ROC: true by false positive rate", "Precision by recall", "Calibration: share by probability"} <= texts
    assert count_points(drawings["Curves"]) == 6
    assert {"size", "age", "importance"} <= set(texts_of(drawings["Importance"]))
    texts = set(texts_of(drawings["Search"]))
    assert {"C", "solver", "mean_test_score", "0.1", "1.0", "10.0", "saga", "lbfgs", "0.5000", "0.7500"} <= texts
    assert "x" not in texts  # a refused candidate
    assert (
        drawings["Search"].count('aria-roledescription="line mark"') == 3
    )  # one line for each candidate, from its last round


@needs_browser
def test_plots_diff_draws_the_revisions_side_by_side(plots: Project) -> None:
    """Each plot has a panel for each revision, even if one revision has no rows."""
    plots.edit("float_8bit.csv", lambda text: text + "0.8,0.7\n")
    (plots.root / "confusion.csv").write_text(DATA["empty.csv"])
    plots.run("dvc", "plots", "diff", "main")
    drawings = drawings_by_title(browse(plots))
    assert set(drawings) == {"Confusion", "Predicted", "Eight bits", "Search", "Curves", "Importance"}
    assert count_points(drawings["Eight bits"]) == 3 + 4
    assert {"main", "workspace"} <= set(texts_of(drawings["Eight bits"]))
    assert {"main", "7"} <= set(texts_of(drawings["Confusion"]))


@needs_browser
def test_the_default_page_needs_a_network(plots: Project) -> None:
    """DVC's default page needs a network, so the browser of these tests draws nothing with it."""
    plots.run("dvc", "config", "--unset", "plots.html_template")
    plots.run("dvc", "plots", "show")
    assert not drawings_by_title(browse(plots))
