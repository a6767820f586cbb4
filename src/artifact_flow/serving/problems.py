"""Problems: error responses, each with an HTTP status and one sentence, never a traceback."""

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from starlette.responses import Response

PROTOCOL = "/v2"  # the path of the Open Inference Protocol
STATUS_MEANINGS = {
    400: "The request is not valid HTTP or is incomplete",
    401: "The API key is missing or wrong",
    403: "The request comes from a page of another origin, or names a host that is not this service's",
    404: "There is no such endpoint",
    405: "The endpoint does not accept this method",
    408: "The request did not arrive in time",
    413: "The body, its number of rows or its image is too large",
    414: "The address is too long",
    415: "The endpoint does not support this content type",
    422: "The content is not what the model accepts",
    431: "The header fields are too long",
    500: "Internal error; the service's log has the details",
    503: "Overloaded or shutting down; retry later",
}


class ProblemDetail(BaseModel):
    """The body of every response that is not a success."""

    detail: str = Field(description="one sentence: what is wrong, where, and what to send instead")


class InferenceError(BaseModel):
    """The body of every response of the Open Inference Protocol that is not a success."""

    error: str = Field(description="one sentence: what is wrong, where, and what to send instead")


class Problem(Exception):  # noqa: N818 - a response to a client, not an error of the program
    """An error response: the HTTP status and one sentence about what is wrong with the request."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        """Take the status, the sentence and additional headers."""
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}

    def response(self, path: str = "") -> "Response":
        """Return the response that the client receives; below /v2 it is as the Open Inference Protocol has it."""
        from starlette.responses import Response  # noqa: PLC0415 - `drift` reads logs without it

        v2 = path == PROTOCOL or path.startswith(f"{PROTOCOL}/")
        body = json.dumps({"error" if v2 else "detail": printable(self.sentence)}, ensure_ascii=False)
        return Response(body, 400 if v2 and self.status == 422 else self.status, self.headers, "application/json")


def printable(text: str) -> str:
    """Return a text with unpaired surrogates replaced, which UTF-8 cannot encode."""
    return text.encode(errors="replace").decode()
