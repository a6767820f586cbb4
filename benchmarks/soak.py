"""Soak: minutes of good and bad requests while workers are killed, and what the service promised held against it.

Run by hand: `python -m benchmarks.soak --minutes 10`. Every 200 is the answer that onnxruntime, or for pictures the
unharmed service, gave beforehand; every other answer is the refusal that its body deserves, or
a rare 503; a connection fails only when a worker was killed; each answered request is in the log, but what a killed
worker had not written yet; memory stays.
"""

import argparse
import asyncio
import io
import json
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
import numpy as np
import onnxruntime as ort
import orjson
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.services import IRIS, read_rows
from benchmarks.workspace import ROOT

WORKERS, CLIENTS = 2, 16
PAUSE = 0.005  # seconds between a client's answer and its next request: the log and this process keep up
KILL_SECONDS = 30.0  # between two kills; the first comes after half of it
BUFFERED = 0.2  # seconds before a kill whose lines may be lost: the log's thread looks every 0.1 s
READ = 0.02  # seconds after a kill in which a client reads what was answered before it
BROKEN = 2.0  # seconds after a kill in which connections may fail
BUSY, BUSY_SHARE = 503, 0.01  # "retry later", and how many of the answers may say so
STARTING = 10.0  # seconds in which a killed worker is to be replaced
GROWTH = 20.0  # MB that the longest-lived worker may grow by, from a quarter of the time on
CLOSE = 1e-5  # between probabilities: float32, in batches of another size
JSON, PNG = "application/json", "image/png"


@dataclass(frozen=True)
class Case:
    """A request and what it deserves: a status, and with 200 the label and probabilities of each row."""

    kind: str
    path: str
    body: bytes
    status: int = 200
    answers: tuple[tuple[int, tuple[float, ...]], ...] = ()
    content_type: str = JSON

    def is_right(self, status: int, content: bytes) -> bool:
        """Return whether an answer is the one that is deserved."""
        if status != self.status:
            return False
        told = orjson.loads(content)
        if status != 200:
            return bool(told["detail"])
        rows = told.get("predictions", [told])
        return len(rows) == len(self.answers) and all(
            row["class_index"] == label
            and np.allclose(list(row["probabilities"].values()), shares, atol=CLOSE)
            and math.isclose(row["confidence"], max(shares), abs_tol=CLOSE)
            for row, (label, shares) in zip(rows, self.answers, strict=True)
        )


@dataclass(frozen=True)
class Answered:
    """What a case was answered, and when."""

    case: Case
    status: int
    when: float

    @property
    def lines(self) -> int:
        """How many lines of the log tell of it: one for each row, or one for a refusal."""
        return len(self.case.answers) if self.status == 200 else 1


@dataclass
class Seen:
    """What was seen while the service ran."""

    answered: dict[str, Answered] = field(default_factory=dict)  # by request id
    wrong: dict[str, list[str]] = field(default_factory=dict)  # by kind
    failed: list[tuple[str, float]] = field(default_factory=list)  # connections: how, and when
    lines: Counter[str] = field(default_factory=Counter)  # of the log, by request id
    damaged: list[bytes] = field(default_factory=list)  # lines of the log that are no JSON
    kills: list[float] = field(default_factory=list)
    pids: dict[int, list[float]] = field(default_factory=dict)  # each worker's memory in MB, once a second
    unreplaced: int = 0


def main() -> None:
    """Soak the service of this checkout, show what was seen, and exit with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="default: 10")
    minutes, seen = parser.parse_args().minutes, Seen()
    with _service(seen) as (process, port):
        asyncio.run(soak(process.pid, port, minutes * 60, seen))
    broken = show(seen, process.returncode)
    for promise in broken:
        print(f"broken: {promise}")
    print("Every promise kept." if not broken else f"{len(broken)} promises broken.")
    sys.exit(bool(broken))


async def soak(supervisor: int, port: int, seconds: float, seen: Seen) -> None:
    """Ask from many clients while workers are killed and their memory is read."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        cases = [*rows_and_batches(), *[case async for case in pictures(session)], *refused()]
        deadline = time.time() + seconds
        clients = [_ask(session, cases, number, deadline, seen) for number in range(CLIENTS)]
        await asyncio.gather(*clients, _kill(supervisor, deadline, seen), _watch(supervisor, deadline, seen))


def rows_and_batches() -> Iterator[Case]:
    """Yield rows of iris and batches of digits with onnxruntime's own answers."""
    X, named = _read(ROOT / IRIS, 150)
    answers = _predict(ROOT / IRIS / "model.onnx", X)
    for row, answer in zip(named, answers, strict=True):
        yield Case("row", "/predict", json.dumps(row).encode(), answers=(answer,))
    X, named = _read(ROOT, 300)
    answers = _predict(ROOT / "model.onnx", X)
    for start in range(0, 300, 6):
        part = slice(start, start + 6)
        body = json.dumps(named[part]).encode()
        yield Case("batch", "/models/digits/predict/batch", body, answers=tuple(answers[part]))


async def pictures(session: aiohttp.ClientSession) -> Any:
    """Yield pictures of digits with the unharmed service's answers."""
    X, _ = _read(ROOT, 40)
    for row in X:
        small = Image.fromarray((row.reshape(8, 8) * (255 / 16)).astype(np.uint8))
        body = io.BytesIO()
        small.resize((64, 64), Image.Resampling.BICUBIC).save(body, "PNG")
        case = Case("picture", "/models/digits/predict/image", body.getvalue(), content_type=PNG)
        headers = {"Content-Type": PNG, "X-Request-ID": "beforehand"}
        async with session.post(case.path, data=case.body, headers=headers) as response:
            told = await response.json()
        answer = (told["class_index"], tuple(told["probabilities"].values()))
        yield Case(case.kind, case.path, case.body, answers=(answer,), content_type=PNG)


def refused() -> Iterator[Case]:
    """Yield bodies that deserve a refusal."""
    row = read_rows(ROOT / IRIS, 1)[0]
    first = next(iter(row))
    bodies = [b"", b"{", b"\xff\xfe", b"null", b"[" * 5000, json.dumps(row | {first: "long"}).encode()]
    bodies += [json.dumps(row | {first: number}).encode() for number in (math.nan, math.inf)]
    bodies += [json.dumps(row).replace(str(row[first]), "1e309").encode(), json.dumps([row]).encode()]
    bodies.append(json.dumps({name: row[name] for name in list(row)[1:]}).encode())
    for body in bodies * 4:
        yield Case("garbage", "/predict", body, 422)
    for body in (b"[]", b"{}", b"[{}]", json.dumps([row]).encode()) * 4:
        yield Case("garbage", "/models/digits/predict/batch", body, 422)
    picture = io.BytesIO()
    Image.new("L", (64, 64)).save(picture, "PNG")
    whole = picture.getvalue()
    for body, status in ((b"no picture", 415), (b"GIF89a", 415), (b"", 415), (whole[: len(whole) // 2], 422)) * 4:
        yield Case("garbage", "/models/digits/predict/image", body, status, content_type=PNG)


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
    """Kill the youngest worker again and again, so that the oldest shows how memory grows."""
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
    """Return the workers, which multiprocessing has spawned; its resource tracker is none."""
    found = []
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
        except OSError:  # it has just ended
            continue
    return found


def show(seen: Seen, code: int) -> list[str]:
    """Print one table of what was seen; return the promises that were broken."""
    kinds = Counter(told.case.kind for told in seen.answered.values())
    busy = sum(told.status == BUSY for told in seen.answered.values())
    refusing = busy > BUSY_SHARE * len(seen.answered)
    stray = Counter(how for how, when in seen.failed if not any(0 <= when - kill <= BROKEN for kill in seen.kills))
    missing = [name for name, told in seen.answered.items() if seen.lines[name] < told.lines]
    lost = [name for name in missing if not _in_buffer(seen.answered[name].when, seen.kills)]
    double = [name for name, told in seen.answered.items() if seen.lines[name] > told.lines]
    oldest = max(seen.pids.values(), key=len)
    early, late = max(oldest[: len(oldest) // 4 + 1]), max(oldest)
    table = Table("what", "count", "broken promises", title=f"{WORKERS} workers, {len(seen.kills)} killed")
    for kind, count in kinds.items():
        table.add_row(f"{kind}: answered, wrong", str(count), str(len(seen.wrong.get(kind, []))))
    for how, count in Counter(how for how, _ in seen.failed).items():
        table.add_row(f"{how}: all, not after a kill", str(count), str(stray[how]))
    table.add_row(f"of all these {BUSY}, too much to do", str(busy), str(int(refusing)))
    table.add_row("requests not in the log: all, not of a kill", str(len(missing)), str(len(lost)))
    table.add_row("requests in the log too often", "", str(len(double)))
    table.add_row("damaged lines: all, more than kills", str(len(seen.damaged)), str(_more(seen)))
    table.add_row("workers seen, neither first nor after a kill", str(len(seen.pids)), str(_unasked(seen)))
    table.add_row("kills without a new worker in time", "", str(seen.unreplaced))
    memory = f"{early:.0f} → {late:.0f} MB"
    table.add_row("memory of the oldest worker: a quarter → highest", memory, str(int(late > early + GROWTH)))
    table.add_row("exit code after SIGTERM", str(code), str(int(code != 0)))
    Console().print(table)
    samples = {f"wrong answers, {kind}": told for kind, told in seen.wrong.items()}
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
    return [f"{words} ({len(told)}): {', '.join(told[:5])}" for words, told in samples.items() if told]


def _in_buffer(when: float, kills: list[float]) -> bool:
    return any(-READ <= kill - when <= BUFFERED for kill in kills)


def _place(name: str, seen: Seen) -> str:
    """Return a request's id with its case and the way from the nearest kill to its answer."""
    told = seen.answered[name]
    after = min((told.when - kill for kill in seen.kills), key=abs, default=math.inf)
    return f"{name} ({told.case.kind}, {seen.lines[name]} of {told.lines} lines, {after:+.3f} s from a kill)"


def _more(seen: Seen) -> int:
    return max(0, len(seen.damaged) - len(seen.kills))  # a kill may cut one line off


def _unasked(seen: Seen) -> int:
    return max(0, len(seen.pids) - WORKERS - len(seen.kills))


def _read(flow: Path, count: int) -> tuple[np.ndarray, list[dict[str, float]]]:
    rows = read_rows(flow, count)
    return np.array([list(row.values()) for row in rows], np.float32), rows


def _predict(model: Path, X: np.ndarray) -> list[tuple[int, tuple[float, ...]]]:
    session = ort.InferenceSession(model)
    labels, shares = session.run(["label", "probabilities"], {session.get_inputs()[0].name: X})
    return [(int(label), tuple(map(float, row))) for label, row in zip(labels, shares, strict=True)]


@contextmanager
def _service(seen: Seen) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start the service, its log read as it comes; stop it by SIGTERM."""
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
    """Return the port once the service is ready; give up when it ends."""
    while process.poll() is None:
        errors.seek(0)
        found = re.search(r" on http://[^ ]*:(\d+)$", errors.read(), re.MULTILINE)
        if found and len(_workers(process.pid)) == WORKERS:
            time.sleep(3)  # until each worker, and not only one, takes connections
            return int(found[1])
        time.sleep(0.05)
    errors.seek(0)
    sys.exit(f"error: the service ended: {errors.read()}")


def _read_log(process: "subprocess.Popen[bytes]", seen: Seen) -> None:
    for line in process.stdout or ():
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            seen.damaged.append(line)
        else:
            seen.lines[told.get("request_id", "")] += 1


if __name__ == "__main__":
    main()
