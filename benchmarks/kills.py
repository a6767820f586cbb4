"""Kills: batch jobs whose client and workers are killed at random moments, and a check of their promises.

Run by hand, in a checkout in which `dvc repro -P` has run: `python -m benchmarks.kills`. Two workers predict five
million rows into a folder, or, with --store, from and into a local S3 API. After each kill of the client, the same
command is run again to resume. In the end, the parts must be byte for byte those of an undisturbed run, and their rows
must be those of one stream: in order, complete, without duplicates. Jobs repeat until the requested number of kills.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.throughput import MODEL, make_houses
from benchmarks.workspace import ROOT, CommandError, Workspace

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
PAUSE = 5.0  # maximum seconds between a start, or a kill, and the next kill


def main() -> None:
    """Kill as often as requested, print the result, and exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="number of kills; default: 10")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the random moments; default: 0")
    parser.add_argument("--store", action="store_true", help="keep rows and parts in an S3 API")
    arguments = parser.parse_args()
    rows, rng, killed = make_houses(Workspace(ROOT)), np.random.default_rng(arguments.seed), Counter[str]()
    with tempfile.TemporaryDirectory(dir=ROOT / ".artifact-flow") as scratch, _place(arguments.store, scratch) as place:
        source = f"{place}/rows/houses.parquet"
        fs, path = fsspec.url_to_fs(source)
        fs.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120 - of a store
        fs.put_file(str(rows), path)
        Job(source, f"{place}/undisturbed/").run(rng, killed, 0)
        expected = read_files(f"{place}/undisturbed/")
        broken = compare_with_stream(expected, source, rows, Path(scratch))
        jobs = 0
        while killed.total() < arguments.kills:
            jobs += 1
            job = Job(source, f"{place}/disturbed{jobs}/")
            job.run(rng, killed, arguments.kills)
            if read_files(job.out) != expected:
                broken.append(f"the files of job {jobs} differ from those of an undisturbed job")
    print(f"{jobs} jobs, killed: {', '.join(f'{count} × {what}' for what, count in killed.items())}")
    print("\n".join(f"broken: {promise}" for promise in broken) or "All promises kept.")
    sys.exit(bool(broken))


@dataclass(frozen=True)
class Job:
    """A batch job: the rows and the folder for their predictions."""

    source: str
    out: str

    def run(self, rng: np.random.Generator, killed: Counter[str], kills: int) -> None:
        """Run the job to its end, killing its client or workers until `killed` has counted `kills`."""
        command = [sys.executable, "-m", "artifact_flow.cli", "predict", self.source, "--model", str(ROOT / MODEL)]
        while True:
            process = subprocess.Popen([*command, "--out", self.out, "--workers", "2"], stderr=subprocess.PIPE)
            while killed.total() < kills:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0, PAUSE))
                    break
                what = rng.choice(["client", "worker"])
                killed[what] += _kill(process, what, rng)
            _, said = process.communicate()
            if process.returncode == 0:
                return
            if (
                process.returncode > 0 and b"the same command" not in said
            ):  # the error says to run the same command again, as after a kill
                raise CommandError(f"`{' '.join(command)}` ended with {process.returncode}: {said.decode()}")


def _kill(process: "subprocess.Popen[bytes]", what: str, rng: np.random.Generator) -> int:
    """Kill a process or one of its workers, and return the number of processes killed."""
    if what == "client":
        process.kill()
        return 1
    with suppress(psutil.NoSuchProcess, IndexError):  # at the start and at the end there is no worker
        workers = [one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
        workers[rng.integers(len(workers)) if workers else 0].kill()
        return 1
    return 0


def read_files(folder: str) -> Mapping[str, bytes]:
    """Return name → bytes of the files in a folder."""
    fs, path = fsspec.url_to_fs(folder, use_listings_cache=False)
    return {name.rsplit("/", 1)[1]: fs.cat_file(name) for name in fs.find(path)}


def compare_with_stream(files: Mapping[str, bytes], source: str, rows: Path, scratch: Path) -> list[str]:
    """Return the differences between the parts and the predictions of one process for the same rows in one file."""
    Workspace(ROOT).run(
        "artifact-flow", "predict", str(rows), "--model", str(MODEL), "--out", str(scratch / "one.parquet")
    )
    tables = [pq.read_table(pa.BufferReader(files[name])) for name in sorted(files) if name.endswith(".parquet")]
    same = pa.concat_tables(tables).equals(pq.read_table(scratch / "one.parquet"))
    return [] if same else [f"the parts of {source} differ from the rows of one stream"]


@contextmanager
def _place(store: bool, scratch: str) -> Iterator[str]:
    """Yield a folder, or the URL of a bucket in an S3 API that runs until the block ends."""
    if not store:
        yield scratch
        return
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: PLC0415 - heavy

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # otherwise it prints a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(KEYS, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    fsspec.filesystem("s3").mkdir("soak")
    yield "s3://soak"
    server.stop()


if __name__ == "__main__":
    main()
