"""Worker: what a process does first that works for another one. It imports nothing heavy, so that it comes in time."""

import os
import threading
import time

from artifact_flow.core.base.without_pandas import leave_out_pandas


def begin(parent: int) -> None:
    """Leave pandas out, and end this process once the one that started it is gone, also where that was killed."""
    leave_out_pandas()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def dask_setup(_worker: object) -> None:
    """Leave pandas out of a Dask worker that preloads this module; its nanny ends it."""
    leave_out_pandas()
