"""A check for schemathesis: a JSON body that the document allows is answered.

For CSV, JSON lines and pictures the document allows any text: what they must hold, JSON schema cannot say.
"""

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance


@schemathesis.check
def valid_json_is_accepted(context: Any, response: Any, case: Any) -> bool | None:
    """Fail when a valid request with a JSON body, or without one, is refused."""
    return positive_data_acceptance(context, response, case) if case.media_type in (None, "application/json") else None
