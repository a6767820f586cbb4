"""Warm: `dvc` and the stages of the test projects run in forks of a process that has imported their libraries already.

Nearly all the time of a stage, and of most `dvc` commands, is the import of the same libraries. A host imports them
once. Small programs named `dvc` and `python`, first in PATH, ask it for a fork, which gets the caller's arguments,
folder, environment and files, and runs the project's own code to its end as an interpreter does. What is neither `dvc`
nor a stage gets the real program, and so does any environment that the libraries read while they are imported, such as
`verify`'s other BLAS kernel. Linux only; elsewhere all is real. ARTIFACT_FLOW_COLD_TESTS=1 makes it so here too.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

COLD = "ARTIFACT_FLOW_COLD_TESTS"
FOLDER = "ARTIFACT_FLOW_TEST_HOSTS"  # where the sockets are; conftest.py sets it
STAGE = "artifact_flow.core.stage"
# Beginnings of the variables that Python or a library reads only when it starts
DECISIVE = ("OPENBLAS", "OMP_", "MKL_", "BLIS_", "NPY_", "LC_", "LANG", "TZ", "LD_", "GLIBC_", "MALLOC_", "PYTHON")
OF_PATH = "PYTHONPATH"  # a fork reads it again
LIBRARIES = {
    "python": [f"artifact_flow.stages.{name}" for name in ("data", "train", "infer", "export", "quantize")],
    "dvc": [
        "dvc.cachemgr",
        "dvc.cli.parser",
        "dvc.data_cloud",
        "dvc.repo.experiments.show",
        "dvc.repo.graph",
        "dvc.repo.index",
        "dvc.repo.metrics",
        "dvc.repo.plots",
        "dvc.repo.reproduce",
        "dvc.repo.status",
        "dvc.rwlock",
        "dvc.scm",
        "dvc.stage.cache",
        "dvc.utils.strictyaml",
        "dvc_data.hashfile.db.local",
        "dvc_data.index",
        "networkx",
    ],
}
CLIENT = """\
#!{real_python} -IS
import os, sys
arguments = sys.argv[1:]
start = {{name: value for name, value in os.environ.items() if name.startswith({decisive!r}) and name != {of_path!r}}}
if start != {start!r} or not (arguments[:2] == ["-m", {stage!r}] if {name!r} == "python" else arguments):
    os.execv({real!r}, [{real!r}, *arguments])
import json, signal, socket
host = socket.socket(socket.AF_UNIX)
folder = os.open({folder!r}, os.O_RDONLY)
host.connect("/proc/self/fd/%d/{name}.socket" % folder)
socket.send_fds(host, [b"-"], [0, 1, 2])
host.sendall(json.dumps([arguments, os.getcwd(), dict(os.environ), os.getpgrp()]).encode() + b"\\n")
code = int(host.makefile().read() or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@cache
def start_hosts() -> str:
    """Start both hosts, until this process ends; return the folder of their programs, or "" where all is to be real."""
    if sys.platform != "linux" or FOLDER not in os.environ or os.environ.get(COLD):
        return ""
    folder = Path(os.environ[FOLDER])
    programs = folder / "bin"
    programs.mkdir(parents=True)
    start = {name: value for name, value in os.environ.items() if name.startswith(DECISIVE) and name != OF_PATH}
    for name in LIBRARIES:
        real = Path(sys.executable).with_name(name)
        client = CLIENT.format(
            real_python=sys.executable,
            real=str(real),
            name=name,
            folder=str(folder),
            start=start,
            decisive=DECISIVE,
            of_path=OF_PATH,
            stage=STAGE,
        )
        (programs / name).write_text(client)
        (programs / name).chmod(0o755)
        host = subprocess.Popen(
            [sys.executable, __file__, name, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        atexit.register(host.kill)
        assert host.stdout is not None
        host.stdout.readline()  # it listens
    return str(programs)


def serve(name: str, folder: str) -> None:
    """Import the libraries, then fork for each connection; return in a fork, set up as its caller asked."""
    src = str(Path(__file__).resolve().parents[1] / "src")
    sys.path[:] = [path for path in sys.path[1:] if path != os.environ.get(OF_PATH)]
    if name == "python":
        sys.path.insert(0, src)
        importlib.import_module("artifact_flow.core.base.determinism")
        importlib.import_module("artifact_flow.core.base.without_pandas").leave_out_pandas()
    for library in LIBRARIES[name]:
        importlib.import_module(library)
    if name == "python":
        sys.path.remove(src)
        for module in [module for module in sys.modules if module.partition(".")[0] == "artifact_flow"]:
            del sys.modules[module]
    listener = socket.socket(socket.AF_UNIX)
    place = os.open(folder, os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{place}/{name}.socket")
    listener.listen(64)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes ended forks
    gc.collect()
    gc.freeze()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    while listener in select.select([listener, sys.stdin], [], [])[0]:  # at the end of stdin the caller has ended
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _, files, _, _ = socket.recv_fds(connection, 1, 3)
            with connection.makefile() as asked:
                arguments, cwd, environ, group = json.loads(asked.readline())
            worker = os.fork()
            if worker == 0:
                connection.close()
                become(files, arguments, cwd, environ, group)
                return
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
            with suppress(OSError):
                connection.sendall(str(code).encode())
            os._exit(0)
        connection.close()
    os._exit(0)


def become(files: list[int], arguments: list[str], cwd: str, environ: dict[str, str], group: int) -> None:
    """Take over the caller's files, folder, environment, arguments and process group."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - until the process ends
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["dvc", *arguments]
    sys.path[:0] = [path for path in environ.get(OF_PATH, "").split(os.pathsep) if path]
    with suppress(OSError):
        os.setpgid(0, group)


if __name__ == "__main__":
    NAME = sys.argv[1]
    serve(*sys.argv[1:])
    if NAME == "dvc":
        from dvc.cli import main

        sys.exit(main())
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = sys.argv[2:]
    runpy.run_module(STAGE, run_name="__main__", alter_sys=True)
