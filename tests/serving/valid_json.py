"""A check for schemathesis: a JSON body that the document allows is answered.

For CSV, JSON lines and pictures the document allows any text: what they must hold, JSON schema cannot say. Nor can it
say that a tensor has as many values as its shape, or that a table has as many in each row as it has columns.
"""

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

INNER = ("/infer", "/invocations")  # whose bodies have parts that must fit each other


@schemathesis.check
def valid_json_is_accepted(context: Any, response: Any, case: Any) -> bool | None:
    """Fail when a valid request with a JSON body, or without one, is refused."""
    if case.media_type not in (None, "application/json") or case.path.endswith(INNER):
        return None
    return positive_data_acceptance(context, response, case)
