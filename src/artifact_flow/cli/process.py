"""Process: how commands behave as processes: notes on standard error, interrupts, optional packages."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from artifact_flow.core.base.errors import ArtifactFlowError


def note(text: str) -> None:
    """Print a line on standard error, so that standard output contains results only."""
    print(text, file=sys.stderr)


@contextmanager
def requires_extra(remedy: str, error: type[ArtifactFlowError]) -> Iterator[None]:
    """Raise `error` with a remedy when the imports in the block lack a package."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise error(f"{missing.name} is not installed: {remedy}.") from missing


@contextmanager
def exits_on_interrupt(text: str = "") -> Iterator[None]:
    """Exit with code 130 on SIGINT or SIGTERM in the block, after noting `text`.

    A container's first process ignores SIGTERM unless it has a handler.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if text:
            note(text)
        sys.exit(128 + signal.SIGINT)


@contextmanager
def exits_at_once() -> Iterator[None]:
    """Turn an exit in the block into the immediate end of the process, after its last line and its buffers are written.

    When a value early in a large input is wrong, Arrow's threads are still reading ahead through Python. If the
    interpreter were finalized meanwhile, it would abort the process when they return.
    https://docs.python.org/3/c-api/init.html#c.PyGILState_Ensure
    """
    try:
        yield
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            note(end.code)
        with suppress(OSError):  # the reader has closed the pipe
            sys.stdout.flush()
        os._exit(code)
