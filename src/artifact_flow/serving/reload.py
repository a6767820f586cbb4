"""Reload: on SIGHUP, replace the models of a running service by those that the lock or the registry names now.

The new models are opened beside the old ones in another thread, after the same checks as at the start, and then take
over between two requests. If a check fails, the old models go on answering; the log and `/ready` give the reason. With
several workers, the supervisor asks the registry once, so that all workers open the same version.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Sequence
from functools import partial

import fastapi.dependencies.models

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.serving import meters
from artifact_flow.serving.api import Api, build_api
from artifact_flow.serving.edition import Edition
from artifact_flow.serving.orders import FindSettings, end_without_terminal, keep_opened, ordered

RETIRE_SECONDS = 1.0  # after a reload: most requests to the old models have been answered

logger = logging.getLogger("artifact_flow.serving")


class Reloader:
    """Reloads the models of one process: `find` returns the settings to open, `use` takes what was built of them."""

    def __init__(self, api: Api, find: FindSettings, use: Callable[[Api], None], missed: Sequence[int]) -> None:
        """Start with an API that is in use; `missed` contains the signals that came while its models were opened."""
        self.api, self._find, self._use, self._missed = api, find, use, missed
        self._turn, self._waiting = asyncio.Lock(), False
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Reload on SIGHUP from now on; reload at once if that was asked while this process started."""
        loop = asyncio.get_running_loop()
        hang_up = partial(loop.call_soon_threadsafe, self._start)
        signal.signal(signal.SIGHUP, lambda *_: end_without_terminal() or hang_up())
        if self._missed or ordered() not in (None, self.api.edition.settings.dump()):
            self._start()

    def _start(self) -> None:
        if not self._waiting:  # one that waits sees everything that later signals could mean
            task = asyncio.get_running_loop().create_task(self.reload())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def reload(self) -> None:
        """Open what `find` names now, and use it; if a check fails, say so in the log and at `/ready`."""
        self._waiting = True
        async with self._turn:
            self._waiting = False
            before = self.api.edition
            try:
                self.api = await asyncio.to_thread(self._build, before)
            except ArtifactFlowError as error:
                self._refuse(str(error))
                return
            except Exception:
                logger.exception("internal error while reloading")
                self._refuse("internal error: the service's log has the details.")
                return
            self._use(self.api)
            meters.RELOADS.labels("done").inc()
            before.resources.notice = ""
            logger.info("reloaded: %s", self.api.edition.announce(before))
            await asyncio.sleep(RETIRE_SECONDS)
            await asyncio.to_thread(before.retire, self.api.edition)
            del before
            _free_memory()

    def _build(self, before: Edition) -> Api:
        api = build_api(Edition(self._find(), before.resources, before))
        keep_opened(api.edition.settings)
        return api

    def _refuse(self, reason: str) -> None:
        meters.RELOADS.labels("refused").inc()
        edition = self.api.edition
        edition.resources.notice = f"reload refused, the earlier models go on answering: {reason}"
        logger.error("reload refused, the earlier models go on answering: %s", reason)


def _free_memory() -> None:
    """Free the edition that no request uses any more."""
    for function in vars(fastapi.dependencies.models).values():  # they remember every endpoint, and so its model
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    gc.unfreeze()  # what was frozen at the start would never be freed
    gc.collect()
    gc.freeze()
