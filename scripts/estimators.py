"""The table of docs/estimators.md: each estimator of estimators.yaml through two real `dvc repro` of one project.

The project is a copy of this working tree in a temporary folder, with one flow for each estimator; neither dvc.yaml is
changed. The second reproduction has other hash seeds and threads, and its files are compared byte for byte.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/estimators.md"
HEAD = "| estimator | equal bytes | ONNX | 8-bit |"
SOURCES = {"classification": "breast_cancer", "regression": "diabetes"}
OUTPUTS = ("model_train.pkl", "contract.json", "predictions.csv", "metrics.json", "model.onnx", "model_quantized.onnx")
AFTER_DATA = ("train", "infer", "export", "quantize")
NEEDED = ("src/", "requirements/lean.txt", "pyproject.toml", ".dvc", "dvc.yaml", "params.yaml", "flows/dvc.yaml")
GATE = ("tests/unit/conftest.py", "tests/unit/params.yaml", "tests/unit/tables.py")


def slug(title: str) -> str:
    """Return the name of an estimator's flow."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower())


def write_flows(path: Path, estimators: dict[str, dict[str, Any]]) -> None:
    """Write flows/params.yaml with a flow for each estimator."""
    flows, gates = {}, {}
    for task, blocks in estimators.items():
        for title, train in blocks.items():
            flows[slug(title)] = {
                "data": {
                    "source": SOURCES[task],
                    "preprocess": "auto",
                    "test_size": 0.2,
                    "seed": 42,
                    "stratify": task == "classification",
                },
                "train": {"threads": 1, **train},
                "infer": {"decimals": 8},
                "export": {"opset": 17, "max_difference": 1.0e-4},
            }
            gates[slug(title)] = {"max_quality_loss": 0.01, "min_agreement": 0.98}
    with path.open("w") as file:
        YAML(typ="safe").dump({"flows": flows, "quantize": gates}, file)


def make_project(root: Path, estimators: dict[str, dict[str, Any]]) -> None:
    """Make the project, whose stage `test` runs one small file of unit tests."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if name.startswith(NEEDED) or name in (*GATE, "tests/unit/test_files.py", "tests/unit/own.py"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    write_flows(root / "flows/params.yaml", estimators)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)


def reproduce(root: Path, *arguments: str, **environ: str) -> None:
    """Run `dvc repro` with these arguments; a failure ends the script."""
    shown = {"DVC_SITE_CACHE_DIR": str(root / ".dvc/tmp/site-cache"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(["dvc", "repro", *arguments], cwd=root, check=True, env=os.environ | shown | environ)


def read_outputs(root: Path, title: str) -> dict[str, bytes]:
    """Return the bytes of a flow's outputs."""
    return {name: (root / "flows" / slug(title) / name).read_bytes() for name in OUTPUTS}


def row_of(root: Path, title: str, first: dict[str, bytes]) -> str:
    """Return an estimator's row of the table."""
    differing = [name for name, content in read_outputs(root, title).items() if content != first[name]]
    cells = ["yes" if not differing else f"no: {', '.join(differing)}"]
    for record in ("parity.json", "quantization.json"):
        found = json.loads((root / "flows" / slug(title) / record).read_text())
        reason = str(found.get("reason", "")).split("skl2onnx: ")[-1].replace("|", "\\|")
        cells.append("yes" if found.get("applies", True) else "no" if "linear model" in reason else f"no: {reason}")
    return f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    """Reproduce twice, and write the table into the page."""
    estimators = YAML(typ="safe").load((ROOT / "scripts/estimators.yaml").read_text())
    titles = [title for blocks in estimators.values() for title in blocks]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "project"
        make_project(root, estimators)
        reproduce(root, "flows/dvc.yaml", PYTHONHASHSEED="1", OMP_NUM_THREADS="1")
        first = {title: read_outputs(root, title) for title in titles}
        again = [f"flows/dvc.yaml:{stage}@{slug(title)}" for stage in AFTER_DATA for title in titles]
        reproduce(root, "--force", "--single-item", *again, PYTHONHASHSEED="2", OMP_NUM_THREADS="2")
        rows = [row_of(root, title, first[title]) for title in titles]
    before, _, after = PAGE.read_text().partition(HEAD)
    rest = after.partition("\n\n")[2]
    PAGE.write_text("\n".join([f"{before}{HEAD}", "|---|---|---|---|", *rows, "", rest]))
    print(f"{PAGE.relative_to(ROOT)}: {len(rows)} estimators", file=sys.stderr)


if __name__ == "__main__":
    main()
