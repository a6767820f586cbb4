"""Servers for runs: MLflow servers, PostgreSQL and an S3 API."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
BUCKET = "artifact-flow"


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, backend: str, artifacts: list[str], environ: Mapping[str, str] = {}) -> Iterator[str]:
    """Run `mlflow server` like the Makefile and compose.yaml, and yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "mlflow.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--backend-store-uri", backend, *artifacts],
            cwd=folder,
            env=os.environ | QUIET | dict(environ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, folder / "mlflow.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until an address answers."""
    for _ in range(600):
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{address} does not answer: {log.read_text()}")


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run PostgreSQL from the Debian package with an empty database, and yield its address."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries or os.geteuid() != 0:
        pytest.skip("needs PostgreSQL and root, to start it as another user: apt-get install postgresql")
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("needs the user postgres: apt-get install postgresql")
    data, port = folder / "postgres", free_port()
    data.mkdir()
    shutil.chown(data, user.pw_uid, user.pw_gid)
    run = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    for parent in folder.parents:  # pytest's folders are closed to others
        with suppress(OSError):
            parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(folder.stat().st_mode | 0o011)
    initdb = [*run, str(binaries[-1] / "initdb"), "-D", str(data), "--auth=trust", "--no-sync", "--username=mlflow"]
    subprocess.run(initdb, check=True, capture_output=True, cwd="/")
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", "", "-F"]
    with (folder / "postgres.log").open("w") as log:
        server = subprocess.Popen(
            [*run, str(binaries[-1] / "postgres"), "-D", str(data), *options], cwd="/", stdout=log, stderr=log
        )
        try:
            ask = [str(binaries[-1] / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
            for _ in range(300):
                if subprocess.run(ask, check=False, capture_output=True).returncode == 0:
                    break
                assert server.poll() is None, (folder / "postgres.log").read_text()
                time.sleep(0.1)
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


@contextmanager
def s3_api() -> Iterator[dict[str, str]]:
    """Run an S3 API with an empty bucket, and yield the environment variables for its clients."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        boto3.client(
            "s3",
            endpoint_url=address,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - of a server for tests
            region_name="us-east-1",
        ).create_bucket(Bucket=BUCKET)
        yield {**keys, "MLFLOW_S3_ENDPOINT_URL": address, "AWS_ENDPOINT_URL": address}
    finally:
        server.stop()
