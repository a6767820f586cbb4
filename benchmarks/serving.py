"""Serving: `artifact-flow serve` compared with bare uvicorn, a tutorial's service and four model servers; its memory.

Each service runs on one core and wrk on another. It is started again for each turn, so its start is timed too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import orjson

from benchmarks.figure import Figure, Meter, Series, limit_memory, limit_series
from benchmarks.load import SECONDS, WARM_SECONDS, Answered, Service, serve
from benchmarks.services import FEW, FOUR, MANY, serve_batches, serve_own, serve_rows
from benchmarks.workspace import Workspace

THINGS = 7 + 3 + 1  # measured once a turn: services for rows, for batches, and the one with four models
ASKED = 5  # requests to each model before the memory is read
ALLOWED_FAILURES = 1.0  # % of the requests: answered later than 10 s, or not with 2xx
ALLOWED_SECONDS, ALLOWED_MILLISECONDS, ALLOWED_MEGABYTES = 1.2, 10.0, 130.0


@dataclass(frozen=True)
class Taken:
    """The measurements of one service: its start times in s, and number of connections → results of wrk."""

    service: Service
    starts: list[float] = field(default_factory=list)
    answered: dict[int, list[Answered]] = field(default_factory=dict)

    def started(self) -> Series:
        """Return the times from the start of its process to its first 200 answer."""
        return Series(f"{self.service.name}: start to first answer", self.starts)

    def rate(self, connections: int, words: str) -> Series:
        """Return its answers per second."""
        return Series(f"{self.service.name}: {words}", [each.rate for each in self.answered[connections]], "/s")

    def middle(self, connections: int) -> Series:
        """Return its median latencies."""
        name = f"{self.service.name}: median latency, {connections} connections"
        return Series(name, [each.median for each in self.answered[connections]], "ms")

    def p99(self, connections: int) -> Series:
        """Return its 99th percentiles of latency."""
        name = f"{self.service.name}: p99, {connections} connections"
        return Series(name, [each.p99 for each in self.answered[connections]], "ms")

    def failures(self) -> Iterator[Figure]:
        """Yield a missed bar for each number of connections at which too many requests failed."""
        for connections, answered in self.answered.items():
            name = f"{self.service.name}: failed requests of {self.service.path}, {connections} connections"
            failed = max(each.failed for each in answered)
            if failed > ALLOWED_FAILURES:
                yield limit_series(Series(name, [failed], "%"), ALLOWED_FAILURES)


def compare_services(project: Workspace, scratch: Path, meter: Meter) -> Iterator[Figure]:
    """Yield the figures for one row, the start, a batch, and memory; `scratch` is an existing directory."""
    row, batch = "an iris row", "100 rows of digits"
    ours, bare, tutorial, *peers = rows = take_turns(serve_rows(project, scratch), project, scratch, meter)
    fastest = max(peers, key=lambda peer: median(peer.rate(MANY, row).values))
    soonest = min(peers, key=lambda peer: median(peer.starts))
    others = [(peer, 5.5 if peer is fastest else None) for peer in peers]
    for beside, bar in ((bare, 0.3), (tutorial, 7.0), *others):
        yield Figure(ours.rate(MANY, row), beside.rate(MANY, row), "≥", bar)
    yield limit_series(ours.p99(FEW), ALLOWED_MILLISECONDS)
    yield Figure(ours.p99(MANY), ours.middle(MANY), "≤", 5.0)
    yield limit_series(ours.started(), ALLOWED_SECONDS)
    yield Figure(ours.started(), soonest.started(), "≤", 0.5)
    ours, tutorial, mlflow = batches = take_turns(serve_batches(project, scratch), project, scratch, meter)
    for beside, bar in ((tutorial, 4.0), (mlflow, 8.0)):
        yield Figure(ours.rate(FEW, batch), beside.rate(FEW, batch), "≥", bar)
    for taken in (*rows, *batches):
        yield from taken.failures()
    peaks = []
    for _ in range(meter.runs):
        peaks.append(measure_memory(project, scratch))
        meter.advance()
    yield limit_memory("memory of artifact-flow serve with four models", peaks, ALLOWED_MEGABYTES)


def take_turns(services: Sequence[Service], project: Workspace, scratch: Path, meter: Meter) -> list[Taken]:
    """Start and load the services alternately and return their measurements; every second turn is in reverse order."""
    taken = [Taken(service, answered={count: [] for count in service.connections}) for service in services]
    for each in taken:  # not measured: fills the page cache and the caches of the services
        with serve(each.service, project, scratch):
            pass
    for run in range(meter.runs):
        for each in taken if run % 2 == 0 else reversed(taken):
            with serve(each.service, project, scratch) as running:
                each.starts.append(running.seconds)
                body = scratch / "body"
                body.write_bytes(each.service.body)
                running.load(FEW, body, WARM_SECONDS)
                for connections, answered in each.answered.items():
                    answered.append(running.load(connections, body, SECONDS))
            meter.advance()
    return taken


def measure_memory(project: Workspace, scratch: Path) -> float:
    """Return the resident memory of the service with four models after each has answered rows and a batch, in MB."""
    with serve(serve_own(FOUR, "/models", b""), project, scratch) as running:
        for name in orjson.loads(running.ask("GET", "/models")):
            example = orjson.loads(running.ask("GET", f"/models/{name}/model"))["example"]
            for _ in range(ASKED):
                running.ask("POST", f"/models/{name}/predict", orjson.dumps(example))
            running.ask("POST", f"/models/{name}/predict/batch", orjson.dumps([example] * ASKED))
        return running.megabytes()
