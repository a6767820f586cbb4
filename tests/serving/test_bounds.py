"""Bounds: what a hostile client, a page elsewhere or a full disk can do to the service: nothing that lasts."""

import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image
from serving.server import IRIS_ROW, Answer, Server

LIMITS = "ARTIFACT_FLOW_SERVE"
MEGABYTES = 600  # of a server with its models, whatever it is sent
ROW = json.dumps(IRIS_ROW).encode()
TENSOR = b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":['


@pytest.fixture(scope="module")
def attacked(models: dict[str, Path]) -> Iterator[Server]:
    """A server with three models for all attacks of this module: none may harm the next test."""
    with Server(models["digits"], models["iris"], models["own"]) as server:
        yield server


def send(server: Server, *parts: bytes) -> Answer:
    """Return the answer to raw bytes; the server may stop reading them."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        received = bytearray()

        def read() -> None:
            while block := client.recv(65536):
                received.extend(block)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for part in parts:
                client.sendall(part)
        except OSError:
            pass  # it was refused before its end
        reader.join(20)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Answer(int(lines[0].split()[1]), fields, body)


def peak_megabytes(server: Server) -> float:
    """Return the largest resident memory that a server had so far."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1]) / 1000


GET = b"GET /model HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("status", "sentence", "parts"),
    [
        (431, "the header fields are longer than 65536 bytes", [GET, *[b"X-Fill: " + b"x" * 1000 + b"\r\n"] * 200]),
        (431, "the header fields are longer than 65536 bytes", [GET, b"X-Fill: ", *[b"x" * 100_000] * 50]),
        (414, "the address is longer than 8192 bytes", [b"GET /", b"x" * 9000, b" HTTP/1.1\r\nHost: a\r\n\r\n"]),
        (414, "the address is longer than 8192 bytes", [b"GET /", *[b"x" * 100_000] * 50]),
        (400, "the bytes are not a valid HTTP/1.1 request", [b"\x16\x03\x01\x02\x00\x01"]),
        (400, "the bytes are not a valid HTTP/1.1 request", [GET + b"no colon\r\n\r\n"]),
        (400, "the request has no Host header", [b"GET /model HTTP/1.1\r\nConnection: close\r\n\r\n"]),
        (400, "the request has two Host headers", [GET + b"Host: other\r\n\r\n"]),
        (
            431,
            "the header fields are longer than 65536 bytes",
            [b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n"]
            + [b"X-Trailer: " + b"x" * 1000 + b"\r\n"] * 200,
        ),
    ],
)  # fmt: skip
def test_a_head_that_is_too_long_or_wrong_is_refused(
    attacked: Server, status: int, sentence: str, parts: list[bytes]
) -> None:
    """The answer has the status, one sentence as JSON, and the connection is closed."""
    answer = send(attacked, *parts)
    assert answer.status == status, answer
    assert answer.detail.startswith(sentence)
    assert answer.headers["content-type"] == "application/json"


def test_a_long_head_within_the_limit_is_answered(attacked: Server) -> None:
    """60 kB of header fields are allowed."""
    assert send(attacked, GET, *[b"X-Fill: " + b"x" * 992 + b"\r\n"] * 60, b"\r\n").status == 200


def test_a_body_in_tiny_chunks_is_answered(attacked: Server) -> None:
    """What surrounds the chunks of a body does not count as its head."""
    head = GET.replace(b"GET /model", b"POST /models/iris/predict") + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = [b"10\r\n" + b" " * 16 + b"\r\n"] * 8000
    assert send(attacked, head, *chunks, b"%x\r\n%s\r\n0\r\n\r\n" % (len(ROW), ROW)).status == 200


def test_a_redirect_never_repeats_the_host_that_a_client_sent(attacked: Server) -> None:
    """A path with one slash too many is an endpoint that does not exist."""
    for method, path in (("POST", "/predict/"), ("GET", "/drift/"), ("GET", "/static"), ("GET", "//evil.example/")):
        answer = attacked.ask(method, path)
        assert (answer.status, answer.headers.get("location")) == (404, None), path


def test_a_page_elsewhere_can_neither_post_rows_nor_use_another_name(attacked: Server) -> None:
    """Foreign origins and unknown hosts get 403 in one sentence; the page's own and programs are answered."""
    path, own = "/models/iris/predict", f"http://127.0.0.1:{attacked.port}"
    foreign = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
        {"Origin": own, "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ]
    before = attacked.get("/models/iris/drift").document["rows"]
    for headers in foreign:
        answer = attacked.post(path, IRIS_ROW, **headers)
        assert answer.status == 403, headers
        assert answer.detail.startswith("the request comes from a page of another origin (")
    for host in ("evil.example", f"evil.example:{attacked.port}", "127.0.0.1.evil.example", "[::2]:80"):
        for method in ("GET", "POST"):
            answer = attacked.ask(method, "/model" if method == "GET" else path, ROW, Host=host)
            assert (answer.status, "is not this service's: address it as" in answer.detail) == (403, True), host
    time.sleep(0.1)
    assert attacked.get("/models/iris/drift").document["rows"] == before
    for headers in ({"Origin": own}, {"Sec_Fetch_Site": "same-origin", "Origin": "null"}, {"Host": "LOCALHOST:1"}, {}):
        assert attacked.post(path, IRIS_ROW, **headers).status == 200, headers
    for host in ("127.0.0.1", "[::1]:8000", "localhost"):
        assert attacked.ask("GET", "/model", Host=host).status == 200
    assert attacked.ask("GET", "/health", Host="10.0.0.7:8000").status == 200  # a probe
    assert attacked.get("/model").headers["cross-origin-resource-policy"] == "same-origin"


def test_hosts_in_the_settings_are_allowed(models: dict[str, Path]) -> None:
    """Behind a proxy on this machine the service is addressed by the proxy's name."""
    with Server(models["iris"], **{LIMITS: '{"hosts": ["models.example.com"]}'}) as server:
        assert server.ask("GET", "/model", Host="models.example.com").status == 200
        headers = {"Host": "127.0.0.1:80", "Origin": "https://models.example.com"}
        assert server.post("/predict", IRIS_ROW, **headers).status == 200
        assert server.ask("GET", "/model", Host="evil.example").status == 403


def png(width: int, height: int, depth: int = 16, whole: bool = True) -> bytes:
    """Return a grey PNG with an alpha channel that is small as a file and large when it is decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(1), b"\0" + b"\x80" * (width * 4 * depth // 8)
    data = b"".join(packer.compress(row) for _ in range(height if whole else 1)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def webp(side: int) -> bytes:
    """Return a grey WebP of 64 pixels whose header says that it has `side` × `side`."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(file, "WEBP", lossless=True)
    content = file.getvalue()
    head = content.index(b"VP8L") + 9  # 14 bits of width - 1, then 14 of height - 1
    bits = int.from_bytes(content[head : head + 4], "little") & ~0xFFFFFFF | (side - 1) << 14 | (side - 1)
    return content[:head] + bits.to_bytes(4, "little") + content[head + 4 :]


@pytest.mark.slow
def test_hostile_bodies_and_pictures_take_bounded_memory(attacked: Server) -> None:
    """Each gets a 4xx, several at a time; the server stays below its bound and answers afterwards."""
    size = 9_900_000
    batch, csv, lines, image = "/predict/batch", "text/csv", "application/x-ndjson", "/predict/image"
    infer, invoke = "/v2/models/digits/infer", "/models/digits/invocations"
    attacks = [
        (batch, "application/json", b"[" + b",".join([b'{"a":1}'] * (size // 8)) + b"]", 413),
        (batch, "application/json", b"[" + b",".join([b"[]"] * (size // 3)) + b"]", 413),
        (batch, "application/json", b"[" + b",".join([b'""'] * (size // 3)) + b"]", 413),
        (batch, "application/json", b"[" * size, 413),
        ("/predict", "application/json", b"{" + b",".join(b'"%d":{}' % number for number in range(80_000)) + b"}", 422),
        (batch, csv, b"1\n" * (size // 2), 413),
        (batch, csv, b"," * size, 413),
        (batch, lines, b"11\n" * (size // 3), 413),
        (infer, "application/json", TENSOR + b",".join([b"[]"] * (size // 3)) + b"]}]}", 413),
        (infer, "application/json", TENSOR + b",".join([b"1"] * (size // 2)) + b"]}]}", 413),
        (infer, "application/json", TENSOR + b",".join([b'"ab"'] * 1_600_000) + b"]}]}", 400),
        (infer, "application/json", b"{" + b",".join(b'"%d":1' % number for number in range(800_000)) + b"}", 413),
        (infer, "application/json", b'{"inputs":' + b"[" * size, 413),
        (invoke, "application/json", b'{"inputs":[' + b",".join([b"[]"] * (size // 3)) + b"]}", 413),
        (invoke, "application/json", b'{"instances":[' + b",".join([b'{"a":1}'] * (size // 8)) + b"]}", 413),
        (image, "image/png", png(3535, 3535), 422),
        (image, "image/png", png(12_496_225, 1, 8), 422),
        (image, "image/webp", webp(3535), 422),
        (image, "image/png", png(4000, 4000, whole=False), 413),
        (image, "image/png", png(60_000, 60_000, whole=False), 413),
        (image, "image/webp", webp(16_383), 413),
    ]  # fmt: skip
    for path, kind, body, status in attacks:
        found: list[int] = []
        ask = [threading.Thread(target=lambda: found.append(attacked.post(path, body, kind).status)) for _ in range(2)]  # noqa: B023
        for one in ask:
            one.start()
        for one in ask:
            one.join()
        assert found == [status] * 2, (path, kind, body[:20])
    assert peak_megabytes(attacked) < MEGABYTES
    assert attacked.post("/models/iris/predict", IRIS_ROW).status == 200


def test_large_text_in_a_row_is_not_mistaken_for_many_rows(attacked: Server) -> None:
    """Brackets, commas and line breaks inside texts do not count."""
    rows = [{"note": '[{,"\\' * 60_000 + "\n"}]
    assert attacked.post("/models/own/predict/batch", rows).status == 422
    quoted = '"' + "\n" * 100_000 + '","' + "," * 130_000 + '"\n'
    assert attacked.post("/models/own/predict/batch", quoted.encode(), "text/csv").status == 422


def test_more_connections_than_file_descriptors_is_a_log_line(models: dict[str, Path]) -> None:
    """Connections beyond the limit get 503; those before it, and later ones, are answered."""
    with Server(models["iris"], files=120) as server:
        with ExitStack() as opened:
            address = ("127.0.0.1", server.port)
            held = [opened.enter_context(socket.create_connection(address, timeout=5)) for _ in range(150)]
            time.sleep(0.3)
            refused = send(server)
            assert (refused.status, refused.detail, refused.headers["retry-after"]) == (
                503,
                "too many connections: retry later.",
                "1",
            )
            held[0].sendall(b"GET /model HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert held[0].recv(15) == b"HTTP/1.1 200 OK"
        time.sleep(0.3)
        assert server.post("/predict", IRIS_ROW).status == 200
        server.stop()
        lines = [line for line in server.log() if "file descriptor" in line["message"]]
        assert [line["level"] for line in lines] == ["ERROR"]
        assert lines[0]["message"].endswith("connections leave no file descriptor free: raise the limit (ulimit -n).")


def test_a_full_disk_loses_log_lines_aloud_and_no_answers(models: dict[str, Path], tmp_path: Path) -> None:
    """Requests are answered; standard error and a metric tell of the lost lines; a log file has them all the same."""
    file = tmp_path / "log.jsonl"
    also = ("--log-file", str(file))
    with Path("/dev/full").open("wb") as full, Server(models["iris"], arguments=also, out=full) as server:
        for number in range(3):
            assert server.post("/predict", IRIS_ROW, X_Request_ID=f"r{number}").status == 200
        time.sleep(0.5)
        assert "artifact_flow_log_lines_dropped_total 3.0" in server.get("/metrics").body.decode()
        server.process.send_signal(signal.SIGTERM)
        said = server.process.stderr.read()
        assert server.process.wait(20) == 0
    assert said.count("the log loses lines ([Errno 28] No space left on device)") == 1
    assert "Traceback" not in said
    assert [json.loads(line)["request_id"] for line in file.read_text().splitlines()] == ["r0", "r1", "r2"]


@pytest.mark.slow
def test_a_worker_that_cannot_come_back_is_told(models: dict[str, Path], tmp_path: Path) -> None:
    """The other worker serves on; /ready, a metric and the log tell of it; it comes back when it can start again."""
    folder = Path(shutil.copytree(models["iris"].parent, tmp_path / "iris"))
    with Server(folder / "model.onnx", arguments=("--workers", "2")) as server:
        contract = (folder / "contract.json").read_text()
        (folder / "contract.json").write_text("{}")
        killed = server.workers()[0]
        os.kill(killed, signal.SIGKILL)
        while killed in server.workers():  # its connections end with it
            time.sleep(0.05)
        answer = until(lambda: server.get("/ready"), lambda answer: answer.status == 503)
        assert answer.detail == "1 of 2 workers cannot start: see the service's log."
        assert server.post("/predict", IRIS_ROW).status == 200
        assert "artifact_flow_workers_absent 1.0" in server.get("/metrics").body.decode()
        (folder / "contract.json").write_text(contract)
        until(lambda: server.get("/ready"), lambda answer: answer.status == 200)
        assert server.stop() == 0
        said = [line["message"] for line in server.log() if "workers are absent" in line["message"]]
    assert re.fullmatch(r"worker \d+ could not start and is tried again in 5 s: 1 of 2 workers are absent\.", said[0])
    assert re.fullmatch(r"worker \d+ has started: 0 of 2 workers are absent\.", said[1])


def until(ask: Callable[[], Answer], holds: Callable[[Answer], bool]) -> Answer:
    """Ask until the answer is the wanted one, and return it."""
    end = time.monotonic() + 40
    while True:
        answer = ask()
        if holds(answer) or time.monotonic() > end:
            assert holds(answer)
            return answer
        time.sleep(0.2)
