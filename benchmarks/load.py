"""Load: a service on one core, loaded by wrk from another core, and stopped with all its child processes."""

import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import CORES
from benchmarks.workspace import LOADING_CORE, CommandError, Workspace, one_core

WARM_SECONDS, SECONDS = 1, 5  # seconds of load: the warm-up, which is discarded, and the measurement
FIRST_ANSWER = 120.0  # seconds allowed until the first answer of a service
STOPPING = 10.0  # seconds allowed to stop before it is killed
POST = Path(__file__).with_name("serving_peers") / "post.lua"
PR_SET_CHILD_SUBREAPER = 36  # see prctl(2)


@dataclass(frozen=True)
class Service:
    """A service and the request to it. In `command` and `environ`, {0} is its port; {1} and {2} are free ports."""

    name: str
    command: tuple[str, ...]
    path: str
    body: bytes  # the body of a POST; if empty, the request is a GET
    environ: Mapping[str, str] = field(default_factory=dict)
    connections: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answered:
    """The result of wrk: good answers per second, latencies in ms, and the share of requests that failed, in %."""

    rate: float
    median: float
    p99: float
    failed: float = 0.0


@dataclass(frozen=True)
class Running:
    """A running service: its port, and the seconds from the start of its process to its first 200 answer."""

    service: Service
    pid: int
    port: int
    seconds: float

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the body of a 200 answer; raise CommandError for any other status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=FIRST_ANSWER)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise CommandError(f"{self.service.name} answered {method} {path} with {answer.status}: {content[:300]!r}")
        return content

    def load(self, connections: int, body: Path, seconds: int) -> Answered:
        """Load it over a number of keep-alive connections."""
        url = f"http://127.0.0.1:{self.port}{self.service.path}"
        shape = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "10s"]
        command = ["wrk", *shape, "--latency", "--script", str(POST), url, "--", str(body)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CommandError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
        seen = json.loads(done.stdout.splitlines()[-1])
        answered = seen["requests"] - seen["failures"]
        failed = 100 * seen["failures"] / max(seen["requests"], 1)
        return Answered(answered / seen["seconds"], seen["median_ms"], seen["p99_ms"], failed)

    def megabytes(self) -> float:
        """Return the resident memory of its process, in MB."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) * 1024 / 1e6 if found else 0.0


@contextmanager
def serve(service: Service, workspace: Workspace, scratch: Path) -> Iterator[Running]:
    """Start a service on its own core, run the block on another core, and stop the service.

    Its output goes to a file, as in a pod. Raises CommandError with its last lines when it does not answer with 200.
    """
    ports = _free_ports(3)
    command = [part.format(*ports) for part in service.command]
    environ = {name: value.format(*ports) for name, value in service.environ.items()}
    with one_core(LOADING_CORE), (scratch / "said").open("w+b") as said:
        start = time.perf_counter()
        process = workspace.start(command, environ, said)
        try:
            running = Running(service, process.pid, ports[0], _await_answer(service, process, ports[0]) - start)
            yield running
        except (CommandError, OSError, http.client.HTTPException) as error:
            said.seek(0)
            last = said.read()[-2000:].decode(errors="replace")
            raise CommandError(f"{service.name} failed: {error}; its last lines:\n{last}") from error
        finally:
            _stop(process)


def lacks_load() -> str:
    """Return what is missing for the load test and how to get it, or "" if nothing is missing."""
    if CORES < 2:
        return "the service and the load generator need one core each, but there is only one core"
    return "" if shutil.which("wrk") else "wrk is not installed; `apt-get install wrk` installs it"


def _await_answer(service: Service, process: "subprocess.Popen[bytes]", port: int) -> float:
    """Return the time at which the service first answers its own request with 200."""
    said, method = "", "POST" if service.body else "GET"
    deadline = time.perf_counter() + FIRST_ANSWER
    while time.perf_counter() < deadline and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=FIRST_ANSWER)
            connection.request(method, service.path, service.body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if answer.status == 200:
                return time.perf_counter()
            said = f"; the last answer was {answer.status}: {content[:300]!r}"
        time.sleep(0.005)
    raise CommandError(f"no 200 answer within {FIRST_ANSWER:.0f} s{said}" if process.poll() is None else "it ended")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a process and all its children, and wait for each, so that `machine.Watch` does not count their CPU time."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphaned descendants become children of this process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-process.pid, 0)
