"""Cluster: a Dask client whose workers have the same library versions, code and BLAS kernel as this process."""

import logging
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import artifact_flow
from artifact_flow.core.base.determinism import LIBRARIES
from artifact_flow.core.base.errors import ScaleError
from artifact_flow.core.base.files import hash_bytes

if TYPE_CHECKING:
    from distributed import Client, Future

LOGGERS = ("distributed", "distributed.client")  # the second does not inherit its level
CONNECT_SECONDS = 10  # seconds to wait for the scheduler, and then for its first worker
POLL_SECONDS = 5.0  # between checks of a cluster that returns no results
LOST_SECONDS = 60.0  # without any worker, after which the work is stopped
PACKAGES = ("python", "cloudpickle", "dask", "distributed", "onnxruntime", *LIBRARIES)


class TaskError(Exception):
    """A Dask task failed; the reason is the exception's cause."""

    def __init__(self, future: "Future[Any]") -> None:
        """Keep the task's future."""
        super().__init__(future.key)
        self.future = future


@contextmanager
def open_cluster(scheduler: str | None = None, workers: int | None = None) -> Iterator["Client"]:
    """Yield a client of the scheduler at an address, such as tcp://10.0.0.1:8786, or of workers on this machine.

    Without a scheduler, `workers` processes of one thread each (by default one per core) run until the block ends.
    Raises ScaleError when Dask is not installed, its workers do not start, the scheduler does not answer or has no
    worker, or a worker has different library versions, different code or a different BLAS kernel.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - the extra `scale`
    except ModuleNotFoundError as error:
        raise ScaleError(
            f"{error.name} is not installed: `make scale` installs what a cluster needs; or run without one."
        ) from error
    quiet = logging.CRITICAL  # a failure is reported as one sentence
    loud = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(quiet)
    try:
        if scheduler is not None:
            with _connect(Client, scheduler) as client:
                _check_workers(client, scheduler)
                yield client
            return
        with _start(workers, quiet) as client:
            yield client
    finally:
        for name, level in loud.items():
            logging.getLogger(name).setLevel(level)


def gather(client: "Client", futures: Collection["Future[Any]"], again: str) -> Iterator[tuple["Future[Any]", Any]]:
    """Yield each future with its result, in order of completion; a result lost with its worker is awaited again.

    Raises TaskError when a task fails, and ScaleError when the cluster has had no worker for LOST_SECONDS; `again` ends
    the sentence that says what to do then.
    """
    done: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    left, seen = len(futures), time.monotonic()
    while left:
        with suppress(Empty):
            future = done.get(timeout=POLL_SECONDS)
            try:
                result = future.result(timeout=POLL_SECONDS)
            except Exception as error:  # raised by the task, or by the client if the scheduler is lost
                if not isinstance(error, TimeoutError) or future.status == "error":
                    raise TaskError(future) from error
                future.add_done_callback(done.put)  # its worker died before sending the result, so the task runs again
            else:
                left, seen = left - 1, time.monotonic()
                yield future, result
                continue
        if client.status == "running" and client.scheduler_info(n_workers=1)["workers"]:
            seen = time.monotonic()
        elif time.monotonic() - seen > LOST_SECONDS:
            raise ScaleError(f"the cluster has had no worker for {LOST_SECONDS:.0f} s: start workers, then {again}.")


@contextmanager
def _start(workers: int | None, log_level: int) -> Iterator["Client"]:
    import dask  # noqa: PLC0415
    from distributed import Client, LocalCluster  # noqa: PLC0415

    settings = {
        # workers inherit this process's pinned environment; Dask's MALLOC_TRIM_THRESHOLD_ doubles numpy's time
        "distributed.nanny.pre-spawn-environ": {},
        "distributed.worker.preload": ["artifact_flow.scale.worker"],
        "distributed.worker.profile.enabled": False,  # would sample each worker's stack every 10 ms
        "distributed.admin.large-graph-warning-threshold": "1GB",  # a table is sent with the tasks
    }
    with dask.config.set(settings), ExitStack() as stack:
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                # without an address of its own, the dashboard takes a port that may be in use
                scheduler_kwargs={
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",
                },
                memory_limit=0,  # a worker near its limit would be paused, possibly for ever
                silence_logs=log_level,
            )
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        except (RuntimeError, OSError) as error:  # for example, a worker was killed while starting
            reason = " ".join(str(error).split()).rstrip(".")
            raise ScaleError(f"the workers did not start ({reason}): run the same command again.") from error
        yield client


@contextmanager
def _connect(kind: Any, scheduler: str) -> Iterator["Client"]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about different versions, which are checked below
            client = kind(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
        raise ScaleError(
            f"no Dask scheduler answers at {scheduler} within {CONNECT_SECONDS} s: start one (`dask scheduler`), or "
            "give the address that it prints, such as tcp://10.0.0.1:8786."
        ) from error
    try:
        yield client
    finally:
        with suppress(OSError, TimeoutError):  # raised if the scheduler is gone
            client.close(timeout=2)


def _check_workers(client: "Client", scheduler: str) -> None:
    """Raise ScaleError unless every worker has the same code, kernel and versions as this process."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        raise ScaleError(
            f"the scheduler at {scheduler} has no workers: start some, each with `{_remedy(scheduler)}`."
        ) from error
    mine = describe_process()
    for address, found in client.run(
        describe_process, on_error="return"
    ).items():  # before the versions, because it pins the worker
        if isinstance(found, BaseException):
            raise ScaleError(
                f"worker {address} cannot run this code ({' '.join(str(found).split())}): install artifact-flow there, "
                f"and start it with `{_remedy(scheduler)}`."
            )
        for what, value in mine.items():
            if found.get(what) != value:
                raise ScaleError(
                    f"worker {address} has {what} {found.get(what)}, but this process has {value}: install the same "
                    f"artifact-flow there, and start it with `{_remedy(scheduler)}`."
                )
    versions: Any = client.get_versions(packages=[name for name in PACKAGES if name != "python"])
    here = _packages(versions["client"])
    others = {"the scheduler": versions["scheduler"]} | {f"worker {key}": v for key, v in versions["workers"].items()}
    for who, said in others.items():
        there = _packages(said)
        for name in PACKAGES:
            lacks = there.get(name) is None and who == "the scheduler"  # the scheduler does not compute
            if there.get(name) != here.get(name) and not lacks:
                raise ScaleError(
                    f"{who} has {name} {there.get(name)}, but this process has {here.get(name)}, so results "
                    "may differ: install there what requirements/scale.txt locks."
                )


def describe_process() -> dict[str, str]:
    """Return what affects results besides library versions: a hash of this package's code, and the BLAS kernels."""
    import sklearn  # noqa: F401, PLC0415 - loads every BLAS that a fit uses
    from threadpoolctl import threadpool_info  # noqa: PLC0415

    root = Path(artifact_flow.__file__).parent
    code = b"".join(path.read_bytes() for path in sorted(root.rglob("*.py")))
    kernels = sorted({str(pool.get("architecture")) for pool in threadpool_info() if pool["user_api"] == "blas"})
    return {"the code": hash_bytes(code)[:12], "the BLAS kernel": ", ".join(kernels)}


def _packages(said: Mapping[str, Any]) -> dict[str, str | None]:
    packages = dict(said["packages"])
    packages["python"] = ".".join(str(packages["python"]).split(".")[:2])  # the patch version does not affect results
    return packages


def _remedy(scheduler: str) -> str:
    return f"dask worker {scheduler} --nthreads 1 --nworkers 2 --preload artifact_flow.core.base.determinism"
