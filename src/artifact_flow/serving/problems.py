"""Problems: what a client is told when it cannot have an answer: a status, one sentence, never a traceback."""

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from starlette.responses import Response

STATUSES = {
    400: "The request is not HTTP as it should be",
    401: "The API key is missing or wrong",
    404: "There is nothing at this address",
    405: "The address does not take this method",
    408: "The body did not arrive in time",
    413: "The body, its rows or its picture are too large",
    415: "The body is of a kind that this address does not take",
    422: "What was sent is not what the model takes",
    500: "A fault of the service, which its log tells",
    503: "Too much to do, or on the way out: try again",
}


class Told(BaseModel):
    """What every answer but a good one holds."""

    detail: str = Field(description="one sentence: what is wrong, where, and what to send")


class Problem(Exception):  # noqa: N818 - an answer, not a fault of the program
    """What is wrong with a request: the HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        """Take the status, the sentence and headers that go with it."""
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}

    def response(self) -> "Response":
        """Return it as a client gets it."""
        from starlette.responses import Response  # noqa: PLC0415 - the drift report has no need of it

        body = json.dumps({"detail": printable(self.sentence)}, ensure_ascii=False)
        return Response(body, self.status, self.headers, "application/json")


def printable(text: str) -> str:
    """Return a text without the halves of characters that no encoding holds."""
    return text.encode(errors="replace").decode()
