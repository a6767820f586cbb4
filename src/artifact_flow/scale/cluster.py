"""Cluster: a Dask client, of a local cluster or of a scheduler elsewhere."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artifact_flow import determinism  # noqa: F401 - workers inherit the pinned environment
from artifact_flow.errors import ScaleError

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10  # seconds for a scheduler to answer


@contextmanager
def open_cluster(scheduler: str | None, workers: int | None) -> "Iterator[Client]":
    """Yield a client of the scheduler at an address, or of `workers` processes on this machine.

    Raises ScaleError when nobody answers, or when client, scheduler and workers have different versions.
    """
    try:
        import dask  # noqa: PLC0415 - heavy
        from distributed import Client, LocalCluster  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ScaleError(f"{error.name} is not installed: `make scale` installs what a cluster needs.") from error
    for name in ("distributed", "distributed.client"):  # what ends the work is told in one sentence
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is None:
        settings = {
            "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,  # doubles the cost of numpy work
            "distributed.worker.profile.enabled": False,  # looks at each worker's stack every 10 ms
        }
        with (
            dask.config.set(settings),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ScaleError(
            f"no Dask scheduler answers at {scheduler} within {PATIENCE} s: start one, or name another."
        ) from error
    with client:
        try:
            client.get_versions(check=True)
        except ValueError as error:
            raise ScaleError(
                f"the scheduler or a worker at {scheduler} has other versions than this machine: install the same "
                f"lock everywhere."
            ) from error
        yield client
