"""W3C Trace Context: a caller's trace in the log and in the response."""

import http.client
import json
import re
from pathlib import Path

import pytest
from serving.server import IRIS_ROW, Server

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = [
    (f"00-{TRACE}-{PARENT}-01", "01"),
    (f"00-{TRACE}-{PARENT}-00", "00"),
    (f"00-{TRACE}-{PARENT}-ff", "03"),
    (f"cc-{TRACE}-{PARENT}-01", "01"),
    (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", "01"),
]
MALFORMED = [
    "",
    TRACE,
    f"00-{TRACE}-{PARENT}",
    f"00-{TRACE}-{PARENT}-1",
    f"00-{TRACE}-{PARENT}-01-more",
    f"00-{TRACE}-{PARENT}-01-",
    f"cc-{TRACE}-{PARENT}-01.more",
    f"ff-{TRACE}-{PARENT}-01",
    f"0-{TRACE}-{PARENT}-01",
    f"00-{TRACE.upper()}-{PARENT}-01",
    f"00-{'0' * 32}-{PARENT}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}g-{PARENT}-01",
    f"00_{TRACE}_{PARENT}_01",
]


@pytest.mark.parametrize(("given", "flags"), VALID)
def test_a_valid_header_comes_back_with_a_span_of_the_service(served: Server, given: str, flags: str) -> None:
    """On every path and status; the trace is the caller's, the span is new each time."""
    found = [
        served.post("/models/iris/predict", IRIS_ROW, traceparent=given),
        served.post("/models/iris/predict", {}, traceparent=given),
        served.ask("GET", "/models", traceparent=given),
        served.ask("GET", "/nowhere", traceparent=given),
    ]
    spans = [re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-{flags}", answer.headers["traceparent"]) for answer in found]
    assert len({span[1] for span in spans if span} | {PARENT}) == len(found) + 1


@pytest.mark.parametrize("given", MALFORMED)
def test_a_malformed_header_is_ignored(served: Server, given: str) -> None:
    """The request is answered as if it had none, and no trace begins."""
    answer = served.post("/models/iris/predict", IRIS_ROW, traceparent=given)
    assert answer.status == 200
    assert "traceparent" not in answer.headers


def test_two_headers_are_none(served: Server) -> None:
    """There is no telling which is meant."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.putrequest("POST", "/models/iris/predict")
    body = json.dumps(IRIS_ROW).encode()
    for name, value in (("Content-Length", str(len(body))), ("traceparent", VALID[0][0]), ("traceparent", VALID[1][0])):
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    assert (response.status, response.getheader("traceparent")) == (200, None)
    connection.close()


def test_the_log_has_the_trace_and_both_spans(models: dict[str, Path]) -> None:
    """Of an answer and of a refusal; a line without a trace has none of the fields."""
    with Server(models["iris"]) as server:
        answered = server.post("/predict", IRIS_ROW, traceparent=VALID[0][0])
        refused = server.post("/predict", {}, traceparent=VALID[0][0])
        server.post("/predict", IRIS_ROW)
        server.stop()
        lines = server.predictions()
    for line, answer in zip(lines, (answered, refused), strict=False):
        assert (line["trace_id"], line["parent_id"]) == (TRACE, PARENT)
        assert line["span_id"] == answer.headers["traceparent"].split("-")[2]
    assert not {"trace_id", "span_id", "parent_id"} & set(lines[2])
