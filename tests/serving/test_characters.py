"""Characters: a drawing is prepared as the data set of digits was."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from artifact_flow.core.base.contract import CONTRACT, read_contract
from artifact_flow.core.model.artifacts import open_portable
from artifact_flow.serving.images import find_grid, read_pixels
from benchmarks.strokes import HELD_APART, draw_digits, encode_png

PIXELS = 1_000_000


def read(model: Path, content: bytes) -> np.ndarray:
    """Return a picture as the digits model's pixels, in 0 to 16."""
    grid = find_grid(read_contract(model.with_name("contract.json")))
    assert grid
    return read_pixels(content, grid, PIXELS)


def line(pen: int, *points: tuple[int, int], size: int = 280) -> bytes:
    """Return a PNG of one line, black on white."""
    image = Image.new("L", (size, size), 255)
    ImageDraw.Draw(image).line(points, 0, pen)
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def test_drawn_digits_are_recognised(models: dict[str, Path]) -> None:
    """The templates were not used to choose the preparation; the box alone gives 80 %."""
    pictures = [(digit, encode_png(image)) for digit, image in draw_digits(HELD_APART, 4, 3)]
    session = open_portable(models["digits"], models["digits"].with_name(CONTRACT.name))[0]

    X = np.concatenate([read(models["digits"], content) for _, content in pictures])
    labels = session.run(["label"], {session.get_inputs()[0].name: X})[0]

    hits = [int(digit) == label for (digit, _), label in zip(pictures, labels, strict=True)]
    assert len(hits) == 120
    assert np.mean(hits) >= 0.86


@pytest.mark.parametrize("pen", [4, 12, 24, 48])
def test_the_pen_does_not_change_the_amount_of_ink(models: dict[str, Path], pen: int) -> None:
    """A drawing in any pen has as much ink as the data set's pictures, 256 to 412 of 1024 pixels."""
    zigzag = line(pen, (60, 40), (220, 40), (70, 240), (230, 240))

    ink = read(models["digits"], zigzag).sum()  # 16 pixels of the bitmap in each of 64

    assert 200 < ink < 450


def test_a_slanted_stroke_is_set_upright(models: dict[str, Path]) -> None:
    """Its first ink from the left is in the same columns at the top and at the bottom."""
    pixels = read(models["digits"], line(24, (190, 40), (110, 240))).reshape(8, 8)

    centre = (pixels * np.arange(8)).sum(axis=1) / pixels.sum(axis=1)
    assert np.ptp(centre) < 0.5


@pytest.mark.parametrize("size", [2, 9, 900])
@pytest.mark.parametrize("points", [((0, 0), (0, 0)), ((0, 1), (2000, 1)), ((0, 0), (2000, 2000))])
def test_any_mark_has_ink(models: dict[str, Path], size: int, points: tuple[tuple[int, int], ...]) -> None:
    """A dot, a dash and a diagonal of one pixel, in pictures of any size."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    ImageDraw.Draw(image).line(points, (0, 0, 0, 255), 1)
    if not np.asarray(image)[..., 3].any():
        image.putpixel((0, 0), (0, 0, 0, 255))

    pixels = read(models["digits"], encode_png(image))

    assert pixels.shape == (1, 64)
    assert pixels.max() > 0
