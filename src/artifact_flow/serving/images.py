"""Images: convert an image to the pixels that a model was trained on; refuse a body that is not an image.

A model takes images when its columns are `pixel_<row>_<column>` and form a complete grid. The handwritten digits are
light ink on a dark background; `characters` normalises a drawing as the data set was. Other drawn characters are scaled
to fill the grid; photographs are cropped to a square and scaled.
"""

import io
import math
import re
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from artifact_flow.core.base.contract import Contract
from artifact_flow.serving import characters
from artifact_flow.serving.problems import Problem

warnings.simplefilter("error", Image.DecompressionBombWarning)  # beyond Pillow's limit, which is above `max_pixels`
FORMATS = ("PNG", "JPEG", "WEBP")
SHRUNK = 1_200_000  # pixels: a larger image is reduced before it is converted
REDUCIBLE_AS = {"1": "L", "PA": "RGBA", "I;16": "I", "I;16B": "I"}  # modes that Pillow cannot reduce
INK = 0.25  # of the strongest ink: what is weaker is background


@dataclass(frozen=True)
class Grid:
    """The pixels of a model: rows, columns, the value of white, and whether they show ink on a background."""

    height: int
    width: int
    white: float
    ink: bool


def find_grid(contract: Contract) -> Grid | None:
    """Return the grid of a model that takes images, None for any other model."""
    places = [re.fullmatch(r"pixel_(\d+)_(\d+)", feature.name) for feature in contract.features]
    found = [(int(place[1]), int(place[2])) for place in places if place]
    height, width = (max(numbers) + 1 for numbers in zip(*found, strict=True)) if found else (0, 0)
    if len(found) != len(places) or found != [(row, column) for row in range(height) for column in range(width)]:
        return None
    white = max((feature.max or 0.0) for feature in contract.features)
    # in drawn characters a corner has a constant value; in photographs none has
    corners = (0, width - 1, -width, -1)
    ink = any(contract.features[corner].std == 0.0 for corner in corners)
    return Grid(height, width, white or 1.0, ink)


def read_pixels(content: bytes, grid: Grid, max_pixels: int) -> np.ndarray:
    """Return a PNG, JPEG or WebP image as the model's pixels, float32 of shape [1, height × width].

    Raises Problem when it is not an image, is truncated or has more than `max_pixels`.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)  # reads the header only
        if image.width * image.height > max_pixels:
            size = f"{image.width} × {image.height}"
            raise Problem(413, f"the image has {size} pixels: send at most {max_pixels} pixels.")
        grey, alpha = _split(_shrink(image))
    except Problem:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        found = re.search(r"\d+", str(error))  # Pillow raises before the size can be read
        size = found[0] if found else "too many"
        raise Problem(413, f"the image has {size} pixels: send at most {max_pixels} pixels.") from error
    except UnidentifiedImageError as error:
        raise Problem(415, "the body is not an image: send PNG, JPEG or WebP.") from error
    except Exception as error:  # decoders raise many types for a damaged image
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise Problem(422, f"the image is truncated or damaged ({reason}): send a complete one.") from error
    shape = (grid.height, grid.width)
    pixels = _find_ink(grey, alpha, shape) if grid.ink else _square(grey, alpha, shape)
    return (pixels * grid.white).astype(np.float32).reshape(1, -1)


def _shrink(image: Image.Image) -> Image.Image:
    """Return the image upright and, if it has more than SHRUNK pixels, reduced by a whole number to fewer.

    It is decoded here, in its own mode, and reduced before anything else is made of it.
    """
    factor = 1
    while math.ceil(image.width / factor) * math.ceil(image.height / factor) > SHRUNK:
        factor += 1
    if factor > 1:
        size = (max(1, image.width // factor), max(1, image.height // factor))
        image.draft(image.mode, size)  # a JPEG is decoded at half, a quarter or an eighth of its size
        if image.mode in REDUCIBLE_AS:
            image = image.convert(REDUCIBLE_AS[image.mode])
        elif image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        image = image.reduce(max(1, round(image.width / size[0])))
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _split(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return luminance in 0 to 1 and, if the image has an alpha channel, opacity in 0 to 1."""
    if image.mode in ("I", "I;16", "I;16B", "F"):
        values = np.asarray(image, dtype=np.float64)
        return values / max(65535.0 if values.max() > 255 else 255.0, float(values.max())), None
    if "A" in image.getbands() or "transparency" in image.info:
        both = np.asarray(image.convert("RGBA").convert("LA"), dtype=np.float64) / 255
        return both[..., 0], both[..., 1]
    return np.asarray(image.convert("L"), dtype=np.float64) / 255, None


def _square(grey: np.ndarray, alpha: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Return the central square of a photograph, scaled; transparent pixels are white."""
    if alpha is not None:
        grey = grey * alpha + (1 - alpha)
    side = min(grey.shape)
    top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
    return _scale(grey[top : top + side, left : left + side], shape)


def _find_ink(grey: np.ndarray, alpha: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Return the ink of a drawn character, 1 at its strongest, scaled to fill the grid; the background is 0."""
    if alpha is not None and alpha.min() < 0.5:  # the opaque pixels are the ink
        ink = alpha
    else:
        edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        background = float(np.median(edge))
        ink = background - grey if background > 0.5 else grey - background
        ink = np.clip(ink, 0, None)
    strongest = float(ink.max())
    if strongest < 0.05:
        raise Problem(422, "the image is empty: draw a digit that contrasts with its background.")
    ink = ink / strongest
    if ink.shape == shape:  # the size of the training images
        return ink
    rows, columns = np.flatnonzero((ink > INK).any(axis=1)), np.flatnonzero((ink > INK).any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if shape == characters.SHAPE and not characters.is_counted(ink):
        return characters.normalise_digit(ink, _scale)
    height, width = shape
    scale = min(height / ink.shape[0], width / ink.shape[1])
    # a bitmap of 4 × 4 blocks, counted
    inner = max(1, round(4 * scale * ink.shape[0])), max(1, round(4 * scale * ink.shape[1]))
    bitmap = np.zeros((4 * height, 4 * width))
    top, left = (4 * height - inner[0]) // 2, (4 * width - inner[1]) // 2
    bitmap[top : top + inner[0], left : left + inner[1]] = _scale(ink, inner)
    bitmap = np.clip(bitmap, 0, 1)
    counted: np.ndarray = bitmap.reshape(height, 4, width, 4).mean(axis=(1, 3))
    return counted


def _scale(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return values scaled to `shape`: by area average when it shrinks, bilinear when it grows."""
    shrinks = math.prod(values.shape) > math.prod(shape)
    image = Image.fromarray(values.astype(np.float32), mode="F")
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(image.resize((shape[1], shape[0]), method), dtype=np.float64)
