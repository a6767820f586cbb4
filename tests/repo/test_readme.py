"""The README and the pages under docs/ are true: their sessions print what they show, and what they name exists."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from project import Project
from ruamel.yaml import YAML
from shipped import needs_shipped

from artifact_flow.core.base.params import parse_params
from artifact_flow.proof.surroundings import AS_IT_IS, CHANGES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def sessions_of(page: Path) -> list[str]:
    """Return the terminal sessions of a page."""
    return re.findall(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(autouse=True)
def shipped_page() -> None:
    """Skip if a user has replaced the README."""
    needs_shipped("README.md")


def commands_of(session: str) -> list[tuple[str, list[str]]]:
    """Return each command of a session with its shown output lines."""
    parts = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    return [(lines[0], lines[1:]) for lines in (part.splitlines() for part in parts)]


def plain(line: str) -> str:
    """Return a line with its white space collapsed and without the duration of a command."""
    return re.sub(r"\d+\.\d+ s$", "", " ".join(line.split()))


def shell(command: str) -> str:
    """Return a command as the test runs it: make with the existing environment, and `verify` with --quick."""
    if command == "make verify":
        return "artifact-flow verify --quick"
    return re.sub(r"^make\b", "make --no-print-directory --assume-old=setup", command)


def of_the_full_proof(line: str) -> bool:
    """Return whether only the full `verify` prints a line: one for each surroundings, and their number."""
    runs = [AS_IT_IS, *CHANGES]
    titles = [f"reproduced {number}/{len(runs)} {run.name} in" for number, run in enumerate(runs, start=1)]
    return line.startswith(tuple(titles)) or f" files, {len(runs)} surroundings: " in line


@pytest.mark.slow
def test_the_sessions_print_what_they_show(project: Project, tmp_path: Path) -> None:
    """Every command of the pages' sessions, in their order, in one fresh clone, prints every line shown.

    The README comes first; each page returns to the committed state at its end.
    """
    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "--quiet", ".", str(clone.root))
    sessions = [(page, session) for page in PAGES for session in sessions_of(page)]
    assert {name_of(page) for page, _ in sessions} == {"README.md", "docs/tutorial.md"}
    for page, session in sessions:
        for command, shown in commands_of(session):
            fails = any(line.startswith("error: ") for line in shown)
            printed = clone.run("sh", "-c", shell(command), code=255 if fails else 0)
            lines = {plain(line) for line in printed.splitlines()}
            for line in shown:
                assert of_the_full_proof(line) or any(plain(line) in found for found in lines), (
                    f"{name_of(page)}: `{command}` did not print: {line}"
                )


@pytest.mark.slow
def test_the_commands_for_experiments_need_no_flow(project: Project) -> None:
    """When only the main flow is reproduced, the commands in docs/experiments.md for experiments succeed."""
    page = (ROOT / "docs/experiments.md").read_text()
    (block,) = re.findall(r"## Compare, keep, discard\n\n```sh\n(.*?)```", page, re.DOTALL)
    kept = subprocess.check_output(["git", "ls-files", "flows"], cwd=ROOT, text=True).split()
    for name in kept:
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project.root / name)
    project.commit("Flows that were never run here")
    project.run("dvc", "exp", "run", "--set-param", "infer.decimals=7", "--name", "adust-lieu")
    project.run("git", "checkout", "--quiet", ".")
    for command in block.splitlines():
        project.run("sh", "-c", command)
    assert "decimals: 7" in (project.root / "params.yaml").read_text()
    project.run("dvc", "status", "--quiet", "dvc.yaml")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_checkout_names_what_it_wants(page: Path) -> None:
    """Without a target, `dvc checkout` and `dvc pull` want the outputs of every flow, and fail without them."""
    for command in re.findall(r"(?:`|^\$ |^ *)(dvc (?:checkout|pull)\b[^`|#\n]*)", page.read_text(), re.MULTILINE):
        targets = [word for word in command.split()[2:] if not word.startswith("-")]
        assert targets, f"{name_of(page)}: {command}"


def test_every_make_target_exists() -> None:
    """Each `make x` on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:`|^\$ |^)make ([a-z-]+)\b(?!`? does)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{name_of(page)}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file of the repository."""
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), f"{name_of(page)} links to {link}"


def test_the_example_parameters_are_valid() -> None:
    """Every block of parameters on a page is valid."""
    blocks = [b for page in PAGES for b in re.findall(r"^```yaml\n(data:.*?)^```", page.read_text(), re.M | re.S)]
    assert blocks
    yaml = YAML(typ="safe", pure=True)
    for block in blocks:
        parse_params(yaml.load(block))
    shipped = yaml.load(ROOT / "tests/unit/params.yaml")
    blocks = [b for page in PAGES for b in re.findall(r"^```yaml\n(train:.*?)^```", page.read_text(), re.M | re.S)]
    assert blocks
    for block in blocks:
        assert bool(parse_params(shipped | yaml.load(block)).train.search) == ("search:" in block)


def test_the_figures_are_measured() -> None:
    """The benchmarks have written a row for each pair with a bar, and the README counts them and shows the misses."""
    value = r"[^|]*: \*\*[\d.,]+ (?:s|ms|MB|/s|M rows/s|of 8)\*\*[^|]*"
    row = rf"^\| {value} \| {value} \| [\d.]+ × [^|]*\| [≤≥] [\d.]+ × \| (met|missed) \|$"
    verdicts = re.findall(row, (DOCS / "benchmarks.md").read_text(), re.MULTILINE)
    assert len(verdicts) == 30
    summary = re.findall(r"<!-- figures -->\n(.*?)\n<!-- end of figures -->", README, re.DOTALL)[0]
    met, missed = verdicts.count("met"), verdicts.count("missed")
    assert f"{len(verdicts)} figures against their bars: {met} met, {missed} missed." in summary
    value = r".*: [\d.,]+ (?:s|ms|MB|/s|M rows/s|of 8)"
    shown = rf"^\| {value} \| {value} \| [\d.]+ × \| [≤≥] [\d.]+ × \|$"
    assert len(re.findall(shown, summary, re.MULTILINE)) == missed


def test_the_tables_of_flows_and_bits_match_the_outputs() -> None:
    """The numbers of the flows and of the 8-bit model are equal to those in the committed files."""
    needs_shipped("flows/dvc.yaml", "flows/params.yaml")

    def read(name: str) -> dict[str, Any]:
        return dict(json.loads((ROOT / "flows" / name).read_text()))

    flows, bits = ((DOCS / name).read_text() for name in ("flows.md", "quantize.md"))
    shown = {"iris": "accuracy", "california_housing": "r2", "olivetti_faces": "accuracy"}
    for flow, metric in shown.items():
        value = read(f"{flow}/metrics.json")["test"][metric]
        assert re.search(rf"^\| `{flow}` \| .* {value:.4f} \|$", flows, re.MULTILINE), (flow, value)
    cost = read("california_housing/quantization.json")
    for title, one, two in [
        ("R²", f"{cost['float']['r2']:.4f}", f"{cost['quantized']['r2']:.4f}"),
        ("MSE", f"{cost['float']['mse']:.4f}", f"{cost['quantized']['mse']:.4f}"),
        ("file", *(f"{cost['file_bytes'][name]} bytes" for name in ("model_train.pkl", "model_quantized.onnx"))),
        ("parameters stored", *(f"{cost['parameter_bytes'][name]} bytes" for name in ("float", "quantized"))),
    ]:
        assert f"| {title} | {one} | {two} |" in bits


def test_the_tree_shows_what_is_there() -> None:
    """Every path in the architecture page's tree exists, and every package stands in it; the modules have a page."""
    needs_shipped()
    tree = re.findall(r"## The folders\n\n```\n(.*?)```", (DOCS / "architecture.md").read_text(), re.DOTALL)[0]
    listed = set(re.findall(r"[\w.-]+\.(?:py|yaml|toml|lock|json)|Makefile", tree))
    present = {Path(name).name for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()}
    assert listed <= present
    package = ROOT / "src/artifact_flow"
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py")} - {"."}
    assert {folder for folder in folders if any(name.startswith(f"{folder}/") for name in folders)} == {"core"}
    assert set(re.findall(r"^  ([\w/]+)/  ", tree, re.MULTILINE)) == folders - {"core"}
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.name != "__init__.py"}
    assert modules == set(re.findall(r"^\| `([\w/.]+)` \|", (DOCS / "reference/modules.md").read_text(), re.MULTILINE))


def links_of(page: Path) -> set[Path]:
    """Return the Markdown files of the repository that a page links to."""
    links = re.findall(r"\]\((?!https?:)([^)#]+\.md)", page.read_text())
    return {(page.parent / link).resolve() for link in links}


def test_every_page_is_reached_in_two_clicks() -> None:
    """From the README, or from the site's first page, at most one page lies between."""
    for start in (ROOT / "README.md", DOCS / "index.md"):
        first = links_of(start)
        reached = {start} | first | {link for page in first for link in links_of(page)}
        assert set(DOCS.rglob("*.md")) - reached == set()


def test_the_readme_is_short() -> None:
    """Five minutes of reading: at most 9,000 bytes."""
    assert len(README.encode()) <= 9000
