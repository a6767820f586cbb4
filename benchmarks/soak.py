"""Soak: minutes of valid and invalid requests while workers are killed, and a check of the service's promises.

Run by hand: `python -m benchmarks.soak --minutes 10`. The promises: every 200 is the answer that onnxruntime, or for
pictures the service before any kill, gives; every other answer is the expected refusal or a rare 503; connections fail
only when a worker was killed; every answered request is in the log, except lines that a killed worker had not written
yet; memory does not grow.
"""

import argparse
import asyncio
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.cases import Case, pictures, refused, rows_and_batches
from benchmarks.services import IRIS
from benchmarks.workspace import ROOT

WORKERS, CLIENTS = 2, 16
PAUSE = 0.005  # seconds between an answer and the client's next request, so that the log and this process keep up
KILL_SECONDS = 30.0  # seconds between two kills; the first kill is after half of it
BUFFERED = 0.2  # seconds before a kill whose log lines may be lost: the log thread writes every 0.1 s
READ = 0.02  # seconds after a kill in which a client may still read an answer from before it
BROKEN = 2.0  # seconds after a kill in which connections may fail
BUSY, BUSY_SHARE = 503, 0.01  # the status "try again later", and its maximum share of the answers
STARTING = 10.0  # seconds within which a killed worker must be replaced
GROWTH = 20.0  # MB by which the oldest worker may grow after the first quarter of its time


@dataclass(frozen=True)
class Answered:
    """The answer to a case, and its time."""

    case: Case
    status: int
    when: float

    @property
    def lines(self) -> int:
        """The number of its lines in the log: one for each row, or one for a refusal."""
        return len(self.case.answers) if self.status == 200 else 1


@dataclass
class Seen:
    """The observations while the service ran."""

    answered: dict[str, Answered] = field(default_factory=dict)  # by request id
    wrong: dict[str, list[str]] = field(default_factory=dict)  # by kind
    failed: list[tuple[str, float]] = field(default_factory=list)  # connections: how, and when
    lines: Counter[str] = field(default_factory=Counter)  # lines in the log, by request id
    damaged: list[bytes] = field(default_factory=list)  # lines of the log that are not JSON
    kills: list[float] = field(default_factory=list)
    pids: dict[int, list[float]] = field(default_factory=dict)  # each worker's memory in MB, once a second
    unreplaced: int = 0


def main() -> None:
    """Soak the service of this checkout, print the result, and exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="duration; default: 10")
    minutes, seen = parser.parse_args().minutes, Seen()
    with _service(seen) as (process, port):
        asyncio.run(soak(process.pid, port, minutes * 60, seen))
    broken = show(seen, process.returncode)
    for promise in broken:
        print(f"broken: {promise}")
    print("All promises kept." if not broken else f"{len(broken)} promises broken.")
    sys.exit(bool(broken))


async def soak(supervisor: int, port: int, seconds: float, seen: Seen) -> None:
    """Send requests from many clients, kill workers, and record their memory."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        cases = [*rows_and_batches(), *[case async for case in pictures(session)], *refused()]
        deadline = time.time() + seconds
        clients = [_ask(session, cases, number, deadline, seen) for number in range(CLIENTS)]
        await asyncio.gather(*clients, _kill(supervisor, deadline, seen), _watch(supervisor, deadline, seen))


async def _ask(session: aiohttp.ClientSession, cases: list[Case], client: int, deadline: float, seen: Seen) -> None:
    choose, number = random.Random(client), 0  # noqa: S311 - no secret
    while time.time() < deadline:
        case, name, number = choose.choice(cases), f"soak-{client}-{number}", number + 1
        headers = {"Content-Type": case.content_type, "X-Request-ID": name}
        try:
            async with session.post(case.path, data=case.body, headers=headers) as response:
                status, content = response.status, await response.read()
        except aiohttp.ClientError as error:
            seen.failed.append((type(error).__name__, time.time()))
            continue
        seen.answered[name] = Answered(case, status, time.time())
        if status != BUSY and not case.is_right(status, content):
            seen.wrong.setdefault(case.kind, []).append(f"{case.body[:80]!r} → {status} {content[:200]!r}")
        await asyncio.sleep(PAUSE)


async def _kill(supervisor: int, deadline: float, seen: Seen) -> None:
    """Kill the youngest worker repeatedly, so that the oldest shows the growth of memory."""
    await asyncio.sleep(KILL_SECONDS / 2)
    while time.time() < deadline:
        last = max(_workers(supervisor))
        os.kill(last, signal.SIGKILL)
        seen.kills.append(time.time())
        await asyncio.sleep(STARTING)
        seen.unreplaced += len(_workers(supervisor)) != WORKERS
        await asyncio.sleep(KILL_SECONDS - STARTING)


async def _watch(supervisor: int, deadline: float, seen: Seen) -> None:
    while time.time() < deadline:
        for pid in _workers(supervisor):
            found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
            if found:
                seen.pids.setdefault(pid, []).append(int(found[1]) * 1024 / 1e6)
        await asyncio.sleep(1)


def _workers(supervisor: int) -> list[int]:
    """Return the process ids of the workers, without multiprocessing's resource tracker."""
    found = []
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
        except OSError:  # the process has just ended
            continue
    return found


def show(seen: Seen, code: int) -> list[str]:
    """Print a table of the observations; return the broken promises."""
    kinds = Counter(answer.case.kind for answer in seen.answered.values())
    busy = sum(answer.status == BUSY for answer in seen.answered.values())
    refusing = busy > BUSY_SHARE * len(seen.answered)
    stray = Counter(how for how, when in seen.failed if not any(0 <= when - kill <= BROKEN for kill in seen.kills))
    missing = [name for name, answer in seen.answered.items() if seen.lines[name] < answer.lines]
    lost = [name for name in missing if not _in_buffer(seen.answered[name].when, seen.kills)]
    double = [name for name, answer in seen.answered.items() if seen.lines[name] > answer.lines]
    oldest = max(seen.pids.values(), key=len)
    early, late = max(oldest[: len(oldest) // 4 + 1]), max(oldest)
    table = Table("what", "count", "broken promises", title=f"{WORKERS} workers, {len(seen.kills)} killed")
    for kind, count in kinds.items():
        table.add_row(f"{kind}: answered, wrong", str(count), str(len(seen.wrong.get(kind, []))))
    for how, count in Counter(how for how, _ in seen.failed).items():
        table.add_row(f"{how}: all, not after a kill", str(count), str(stray[how]))
    table.add_row(f"of these, {BUSY}: too many requests", str(busy), str(int(refusing)))
    table.add_row("requests not in the log: all, not near a kill", str(len(missing)), str(len(lost)))
    table.add_row("requests in the log too often", "", str(len(double)))
    table.add_row("damaged lines: all, more than kills", str(len(seen.damaged)), str(_more(seen)))
    table.add_row("workers: all, neither first nor after a kill", str(len(seen.pids)), str(_unasked(seen)))
    table.add_row("kills without a new worker in time", "", str(seen.unreplaced))
    memory = f"{early:.0f} → {late:.0f} MB"
    table.add_row("memory of the oldest worker: first quarter → highest", memory, str(int(late > early + GROWTH)))
    table.add_row("exit code after SIGTERM", str(code), str(int(code != 0)))
    Console().print(table)
    samples = {f"wrong answers, {kind}": found for kind, found in seen.wrong.items()}
    samples[f"answers {BUSY}"] = [str(busy)] * refusing
    samples |= {f"connections failed by {how} without a kill": [str(count)] for how, count in stray.items()}
    samples |= {
        "requests not in the log": [_place(name, seen) for name in lost],
        "requests in the log too often": double,
    }
    samples["damaged lines of the log"] = [line[:200].decode(errors="replace") for line in seen.damaged] * bool(
        _more(seen)
    )
    samples["workers that ended by themselves"] = [str(_unasked(seen))] * bool(_unasked(seen))
    samples["kills without a new worker in time"] = [str(seen.unreplaced)] * bool(seen.unreplaced)
    samples["memory of the oldest worker grew"] = [memory] * (late > early + GROWTH)
    samples["exit code after SIGTERM"] = [str(code)] * (code != 0)
    return [f"{words} ({len(found)}): {', '.join(found[:5])}" for words, found in samples.items() if found]


def _in_buffer(when: float, kills: list[float]) -> bool:
    return any(-READ <= kill - when <= BUFFERED for kill in kills)


def _place(name: str, seen: Seen) -> str:
    """Return a request's id with its case and the time from the nearest kill to its answer."""
    answer = seen.answered[name]
    after = min((answer.when - kill for kill in seen.kills), key=abs, default=math.inf)
    return f"{name} ({answer.case.kind}, {seen.lines[name]} of {answer.lines} lines, {after:+.3f} s from a kill)"


def _more(seen: Seen) -> int:
    return max(0, len(seen.damaged) - len(seen.kills))  # a kill may cut off one line


def _unasked(seen: Seen) -> int:
    return max(0, len(seen.pids) - WORKERS - len(seen.kills))


@contextmanager
def _service(seen: Seen) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start the service, read its log continuously, and stop it with SIGTERM."""
    script = str(Path(sys.executable).with_name("artifact-flow"))
    models = [str(IRIS / "model.onnx"), "model.onnx"]
    command = [script, "serve", *models, "--workers", str(WORKERS), "--port", "0"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
        reader = threading.Thread(target=_read_log, args=(process, seen))
        reader.start()
        try:
            yield process, _await_port(process, errors)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            reader.join()


def _await_port(process: "subprocess.Popen[bytes]", errors: Any) -> int:
    """Return the port once the service is ready; exit with an error if it ends."""
    while process.poll() is None:
        errors.seek(0)
        found = re.search(r" on http://[^ ]*:(\d+)$", errors.read(), re.MULTILINE)
        if found and len(_workers(process.pid)) == WORKERS:
            time.sleep(3)  # until every worker accepts connections
            return int(found[1])
        time.sleep(0.05)
    errors.seek(0)
    sys.exit(f"error: the service ended: {errors.read()}")


def _read_log(process: "subprocess.Popen[bytes]", seen: Seen) -> None:
    for line in process.stdout or ():
        try:
            answer = orjson.loads(line)
        except orjson.JSONDecodeError:
            seen.damaged.append(line)
        else:
            seen.lines[answer.get("request_id", "")] += 1


if __name__ == "__main__":
    main()
