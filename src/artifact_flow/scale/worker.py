"""Worker: the first code that a worker process runs. It imports nothing heavy, so that it runs early."""

import os
import threading
import time

from artifact_flow.core.base.without_pandas import leave_out_pandas


def begin(parent: int) -> None:
    """Keep pandas from being imported, and end this process when its parent ends, even if that was killed."""
    leave_out_pandas()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def dask_setup(_worker: object) -> None:
    """Keep pandas from being imported in a Dask worker that preloads this module; its nanny ends the worker."""
    leave_out_pandas()
