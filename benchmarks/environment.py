"""Environment: the virtual environments that the peers run in, created once and kept."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.workspace import ROOT, CommandError

PANDAS, POLARS, DASK = "3.1.1", "2.1.0", "2026.8.0"
LOCKED = ("numpy", "onnxruntime", "pyarrow")  # in the versions of the project's own lock, so that only the code differs
VENVS = ROOT / ".artifact-flow"
SCRIPT = Path(__file__).with_name("peers.py")
SERVING = Path(__file__).with_name("serving_peers")


def prepare_peers() -> list[str]:
    """Return the command that runs a peer of `predict`, in a venv that this or an earlier run created.

    Raises CommandError when neither uv nor pip can install it from the configured package index.
    """
    lock = (ROOT / "requirements" / "lean.txt").read_text(encoding="utf-8")
    pins = [f"{name}=={version}" for name in LOCKED for version in re.findall(rf"^{name}==(\S+)", lock, re.MULTILINE)]
    wanted = [f"pandas=={PANDAS}", f"polars=={POLARS}", f"dask[dataframe]=={DASK}", *pins]
    python = _prepare(VENVS / "bench-venv", wanted, "\n".join(wanted)) / "python"
    return [str(python), "-I", str(SCRIPT)]  # -I: keeps the modules in the script's folder off its import path


def prepare_serving_peer(name: str) -> Path:
    """Return the bin folder of a venv with the packages that serving_peers/NAME.txt locks.

    The locks are made like the project's: `uv pip compile` with the Makefile's LOCK options, from NAME.in to NAME.txt.
    Raises CommandError when the packages cannot be installed.
    """
    lock = SERVING / f"{name}.txt"
    return _prepare(VENVS / f"bench-{name}", ["--require-hashes", "-r", str(lock)], lock.read_text(encoding="utf-8"))


def _prepare(venv: Path, requirements: list[str], wanted: str) -> Path:
    """Return the bin folder of a venv; install the requirements unless an earlier run has installed them."""
    stamp, wanted = venv / "stamp", f"{sys.version}\n{wanted}"
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        _install(venv, requirements)
        stamp.write_text(wanted, encoding="utf-8")
    return venv / "bin"


def _install(venv: Path, requirements: list[str]) -> None:
    """Create the venv from scratch and install with uv, or with pip where only pip is configured for the index."""
    bin_, python = Path(sys.executable).parent, str(venv / "bin" / "python")
    uv, pip = [str(bin_ / "uv")], [sys.executable, "-m", "pip", "--python", python]
    _call([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)])
    try:
        _call([*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *requirements])
    except CommandError:
        _call([*pip, "install", "--quiet", *requirements])


def _call(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
