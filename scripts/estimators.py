"""The table of docs/estimators.md: each estimator of estimators.yaml goes through `dvc repro`, then the stages again.

The project is a copy of this working tree in a temporary folder, with one flow for each estimator; neither dvc.yaml is
changed. The stages run again in another process, with another hash seed and number of threads, and all files are
compared byte for byte.
"""

import importlib
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


def reproduce(root: Path) -> None:
    """Run `dvc repro` of every flow; a failure ends the script."""
    shown = {"DVC_SITE_CACHE_DIR": str(root / ".dvc/tmp/site-cache"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environ = os.environ | shown | {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(["dvc", "repro", "flows/dvc.yaml"], cwd=root, check=True, env=environ)


def run_again(root: Path) -> None:
    """Run the stages of every flow after `data` in this process, with their files in the folder `again`."""
    from artifact_flow.core.base import determinism  # noqa: F401, PLC0415 - first: it pins the process
    from artifact_flow.core.base.params import load_params  # noqa: PLC0415

    for folder in sorted(path.parent for path in (root / "flows").glob("*/data.parquet")):
        again = root / "again" / folder.name
        again.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "data.parquet", again)
        params = load_params(root / "flows/params.yaml", folder.name)
        for stage in ("train", "infer", "export", "quantize"):
            importlib.import_module(f"artifact_flow.stages.{stage}").main(params, again)


def row_of(root: Path, title: str) -> str:
    """Return an estimator's row of the table."""
    one, other = root / "flows" / slug(title), root / "again" / slug(title)
    differing = [name for name in OUTPUTS if (one / name).read_bytes() != (other / name).read_bytes()]
    cells = ["yes" if not differing else f"no: {', '.join(differing)}"]
    for record in ("parity.json", "quantization.json"):
        found = json.loads((one / record).read_text())
        reason = str(found.get("reason", "")).split("skl2onnx: ")[-1].replace("|", "\\|")
        cells.append("yes" if found.get("applies", True) else "no" if "linear model" in reason else f"no: {reason}")
    return f"| {title} | {' | '.join(cells)} |"


def write_table(root: Path, titles: list[str]) -> None:
    """Run the stages of a reproduced project again, and write the table into the page."""
    environ = os.environ | {"PYTHONPATH": "src", "PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, __file__, str(root)], cwd=root, check=True, env=environ)
    before, _, after = PAGE.read_text().partition(HEAD)
    rest = after.partition("\n\n")[2]
    rows = [row_of(root, title) for title in titles]
    PAGE.write_text("\n".join([f"{before}{HEAD}", "|---|---|---|---|", *rows, "", rest]))
    print(f"{PAGE.relative_to(ROOT)}: {len(rows)} estimators", file=sys.stderr)


def main() -> None:
    """Reproduce the project and write the table; with a project's folder as argument, run its stages again."""
    if sys.argv[1:]:
        run_again(Path(sys.argv[1]))
        return
    estimators = YAML(typ="safe").load((ROOT / "scripts/estimators.yaml").read_text())
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "project"
        make_project(root, estimators)
        reproduce(root)
        write_table(root, [title for blocks in estimators.values() for title in blocks])


if __name__ == "__main__":
    main()
