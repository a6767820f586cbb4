"""Trace: the place of a request in its caller's trace, as W3C Trace Context has it: https://www.w3.org/TR/trace-context/.

A request without a valid `traceparent` belongs to no trace: the service begins none.
"""

import os
import re
from typing import NamedTuple

from starlette.types import Scope

# version, trace id, id of the caller's span, flags; a later version may go on after another "-"
TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
KNOWN_FLAGS = 0x03  # sampled, and that the trace id is random: others are not passed on
SPAN_BYTES = 8


class Trace(NamedTuple):
    """The ids of a trace, of the caller's span and of the service's own, in hexadecimal digits, and the flags."""

    trace_id: str
    parent_id: str
    span_id: str
    flags: int

    @property
    def header(self) -> bytes:
        """The value of `traceparent` that names the service's own span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}".encode()


def read_trace(scope: Scope) -> Trace | None:
    """Return the trace that the header `traceparent` names with a new span, None if it is malformed or not the only."""
    given = [value for name, value in scope["headers"] if name == b"traceparent"]
    found = TRACEPARENT.fullmatch(given[0].strip()) if len(given) == 1 else None
    if not found or (found[1] == b"00" and found[5]):
        return None
    span = os.urandom(SPAN_BYTES).hex()
    return Trace(found[2].decode(), found[3].decode(), span, int(found[4], 16) & KNOWN_FLAGS)
