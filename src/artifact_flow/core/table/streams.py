"""Streams: bytes that come in blocks, or of which some were read already, as one stream."""

import io
from collections.abc import Iterator
from itertools import chain
from typing import IO

BLOCK_BYTES = 1 << 22


def join_blocks(blocks: Iterator[bytes]) -> IO[bytes]:
    """Return a stream of the blocks that an iterator gives."""
    return io.BufferedReader(_Blocks(blocks), BLOCK_BYTES)


def rejoin(head: bytes, rest: IO[bytes]) -> IO[bytes]:
    """Return a stream that yields `head`, bytes already read from `rest`, and then the rest."""
    return join_blocks(chain((head,), iter(lambda: rest.read(BLOCK_BYTES), b"")))


class _Blocks(io.RawIOBase):
    """A stream of the blocks that an iterator gives."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks, self.left = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self.left:
            block = next(self.blocks, None)
            if block is None:
                return 0
            self.left = memoryview(block)
        part = self.left[: len(buffer)]
        buffer[: len(part)] = part
        self.left = self.left[len(part) :]
        return len(part)
