"""Cases: requests to the service of iris and digits, each with the answer or the refusal that it must get."""

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import onnxruntime as ort
import orjson
from PIL import Image

from benchmarks.services import IRIS, read_rows
from benchmarks.workspace import ROOT

CLOSE = 1e-5  # tolerance of probabilities: float32, in batches of another size
JSON, PNG = "application/json", "image/png"


@dataclass(frozen=True)
class Case:
    """A request and its expected answer: a status and, for 200, the label and probabilities of each row."""

    kind: str
    path: str
    body: bytes
    status: int = 200
    answers: tuple[tuple[int, tuple[float, ...]], ...] = ()
    content_type: str = JSON

    def is_right(self, status: int, content: bytes) -> bool:
        """Return whether an answer is the expected one."""
        if status != self.status:
            return False
        answer = orjson.loads(content)
        if status != 200:
            return bool(answer["detail"])
        rows = answer.get("predictions", [answer])
        return len(rows) == len(self.answers) and all(
            row["class_index"] == label
            and np.allclose(list(row["probabilities"].values()), shares, atol=CLOSE)
            and math.isclose(row["confidence"], max(shares), abs_tol=CLOSE)
            for row, (label, shares) in zip(rows, self.answers, strict=True)
        )


def rows_and_batches() -> Iterator[Case]:
    """Yield rows of iris and batches of digits with the predictions of onnxruntime."""
    X, named = _read(ROOT / IRIS, 150)
    answers = _predict(ROOT / IRIS / "model.onnx", X)
    for row, answer in zip(named, answers, strict=True):
        yield Case("row", "/predict", json.dumps(row).encode(), answers=(answer,))
    X, named = _read(ROOT, 300)
    answers = _predict(ROOT / "model.onnx", X)
    for start in range(0, 300, 6):
        part = slice(start, start + 6)
        body = json.dumps(named[part]).encode()
        yield Case("batch", "/models/digits/predict/batch", body, answers=tuple(answers[part]))


async def pictures(session: aiohttp.ClientSession) -> Any:
    """Yield pictures of digits with the answers that the service gives before any worker is killed."""
    X, _ = _read(ROOT, 40)
    for row in X:
        small = Image.fromarray((row.reshape(8, 8) * (255 / 16)).astype(np.uint8))
        body = io.BytesIO()
        small.resize((64, 64), Image.Resampling.BICUBIC).save(body, "PNG")
        case = Case("picture", "/models/digits/predict/image", body.getvalue(), content_type=PNG)
        headers = {"Content-Type": PNG, "X-Request-ID": "beforehand"}
        async with session.post(case.path, data=case.body, headers=headers) as response:
            predicted = await response.json()
        answer = (predicted["class_index"], tuple(predicted["probabilities"].values()))
        yield Case(case.kind, case.path, case.body, answers=(answer,), content_type=PNG)


def refused() -> Iterator[Case]:
    """Yield bodies that the service must refuse."""
    row = read_rows(ROOT / IRIS, 1)[0]
    first = next(iter(row))
    bodies = [b"", b"{", b"\xff\xfe", b"null", b"[" * 5000, json.dumps(row | {first: "long"}).encode()]
    bodies += [json.dumps(row | {first: number}).encode() for number in (math.nan, math.inf)]
    bodies += [json.dumps(row).replace(str(row[first]), "1e309").encode(), json.dumps([row]).encode()]
    bodies.append(json.dumps({name: row[name] for name in list(row)[1:]}).encode())
    for body in bodies * 4:
        yield Case("garbage", "/predict", body, 422)
    for body in (b"[]", b"{}", b"[{}]", json.dumps([row]).encode()) * 4:
        yield Case("garbage", "/models/digits/predict/batch", body, 422)
    picture = io.BytesIO()
    Image.new("L", (64, 64)).save(picture, "PNG")
    whole = picture.getvalue()
    for body, status in ((b"no picture", 415), (b"GIF89a", 415), (b"", 415), (whole[: len(whole) // 2], 422)) * 4:
        yield Case("garbage", "/models/digits/predict/image", body, status, content_type=PNG)


def _read(flow: Path, count: int) -> tuple[np.ndarray, list[dict[str, float]]]:
    rows = read_rows(flow, count)
    return np.array([list(row.values()) for row in rows], np.float32), rows


def _predict(model: Path, X: np.ndarray) -> list[tuple[int, tuple[float, ...]]]:
    session = ort.InferenceSession(model)
    labels, shares = session.run(["label", "probabilities"], {session.get_inputs()[0].name: X})
    return [(int(label), tuple(map(float, row))) for label, row in zip(labels, shares, strict=True)]
