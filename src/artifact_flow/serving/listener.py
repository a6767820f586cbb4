"""Listener: the socket on which the service, or all its workers, accept connections."""

import ctypes
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from artifact_flow.core.base.errors import ServeError

BACKLOG = 2048
DRAIN_SECONDS = 1.0  # between SIGTERM and the close of the socket
OPEN_FILES = 65_536  # wanted, a connection each
SO_ATTACH_FILTER = 26  # see socket(7)
# a classic BPF program over a TCP segment: drop it (0) if its SYN flag is set, else keep it whole
NO_SYN = b"".join(
    struct.pack("=HBBI", *step)
    for step in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
)


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Open the socket; raise ServeError when the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)  # clients that connect while the models are opened wait
        except (OSError, OverflowError) as error:
            raise ServeError(
                f"cannot listen on {host}:{port} ({error}): choose another by --host and --port."
            ) from error
        listener.set_inheritable(True)
        yield listener


def stop_connections(listener: socket.socket) -> None:
    """Let no further connection begin, in any process that shares the socket; those that wait can still be accepted.

    A socket that is closed at once resets the connections that wait in its queue; their requests fail.
    A client that comes later repeats its SYN, and is refused when the socket is closed.
    """
    program = ctypes.create_string_buffer(NO_SYN)
    with suppress(OSError):  # a kernel without filters: a few connections are reset, as without this
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 4, ctypes.addressof(program)))


def raise_file_limit() -> None:
    """Allow as many open files as the system permits, up to OPEN_FILES."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
