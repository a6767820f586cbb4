"""Environment: the venv that the peers run in, so that the project's own needs no pandas. Made once, kept."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.workspace import ROOT, CommandError

PANDAS = "3.1.1"
LOCKED = ("numpy", "onnxruntime", "pyarrow")  # in the versions of the project's own lock: what differs is the code
VENV = ROOT / ".artifact-flow" / "bench-venv"
SCRIPT = Path(__file__).with_name("peers.py")


def prepare_peers() -> list[str]:
    """Return the command that runs a peer, in a venv that was made now or by an earlier run.

    Raises CommandError when neither uv nor pip can install it from the index that the surroundings configure.
    """
    lock = (ROOT / "requirements" / "lean.txt").read_text(encoding="utf-8")
    pins = [f"{name}=={version}" for name in LOCKED for version in re.findall(rf"^{name}==(\S+)", lock, re.MULTILINE)]
    wanted = "\n".join([sys.version, f"pandas=={PANDAS}", *pins])
    python, stamp = VENV / "bin" / "python", VENV / "stamp"
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        _install([f"pandas=={PANDAS}", *pins], python)
        stamp.write_text(wanted, encoding="utf-8")
    return [str(python), "-I", str(SCRIPT)]  # -I: the modules beside the script are not for it


def _install(requirements: list[str], python: Path) -> None:
    """Make the venv anew; where only pip knows the way to the registry, as in the Makefile, pip installs."""
    bin_ = Path(sys.executable).parent
    uv, pip = [str(bin_ / "uv")], [sys.executable, "-m", "pip", "--python", str(python)]
    _call([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)])
    try:
        _call([*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *requirements])
    except CommandError:
        _call([*pip, "install", "--quiet", *requirements])


def _call(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
