"""The picture of two runs beside each other, in the real page of a real MLflow server: docs/pictures/mlflow.png.

`make pictures` draws it anew, where Chromium is installed: in a clone, so that no run of yours shows.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/pictures/mlflow.png"
SIZE = {"width": 1280, "height": 860}


def make_runs(clone: Path) -> list[str]:
    """Track HEAD and a second result with another C, in a clone; return the two runs' ids."""
    run = ["git", "clone", "--quiet", str(ROOT), str(clone)]
    subprocess.run(run, check=True)
    subprocess.run(["dvc", "config", "--local", "cache.dir", str(ROOT / ".dvc/cache")], cwd=clone, check=True)
    subprocess.run(["dvc", "checkout", "--quiet", "dvc.yaml"], cwd=clone, check=True)
    ids = []
    for value in ("1.0", "0.01"):
        params = clone / "params.yaml"
        params.write_text(params.read_text().replace("C: 1.0 ", f"C: {value} "))
        subprocess.run(["dvc", "repro", "--quiet"], cwd=clone, check=True, capture_output=True)
        track = [sys.executable, "-m", "artifact_flow.cli", "track"]
        said = subprocess.run(track, cwd=clone, check=True, capture_output=True, text=True).stdout
        ids.append(said.split()[2])
    return ids


@contextmanager
def serve(clone: Path) -> Iterator[str]:
    """Yield the address of the page over the clone's database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    database = ["--backend-store-uri", f"sqlite:///{clone}/.artifact-flow/mlflow/mlflow.db", "--no-serve-artifacts"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(
        [*command, *database],
        cwd=clone,
        env=os.environ | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(300):
                with suppress(OSError), urllib.request.urlopen(f"{address}/health"):  # noqa: S310 - our own
                    break
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(server.pid, 15)


if __name__ == "__main__":
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("error: the picture of MLflow's page needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        runs = make_runs(Path(folder) / "artifact-flow")
        with serve(Path(folder) / "artifact-flow") as address, sync_playwright() as playwright:
            page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(viewport=SIZE)  # type: ignore[arg-type]
            page.goto(f'{address}/#/compare-runs?runs={json.dumps(runs)}&experiments=["1"]')
            page.get_by_text("test.accuracy").first.wait_for(timeout=60_000)
            page.get_by_role("button", name="Close").first.click()  # an assistant that would ask a server elsewhere
            for part in ("Visualizations", "Run details"):
                page.get_by_text(part, exact=True).click()
            page.get_by_role("switch").first.click()  # only the parameters that differ
            page.wait_for_timeout(2000)  # until the page has settled
            page.screenshot(path=PICTURE)
