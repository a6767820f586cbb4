"""Characters: normalise the ink of one drawn digit as the data set of handwritten digits was normalised.

The training pictures are NIST's (Garris et al., NIST Form-Based Handprint Recognition System, 1994), so a drawing goes
the same way: its box is scaled to 20 × 32 of 32 × 32 pixels, strokes that are too thick or too thin are eroded or
dilated, rows are shifted until the left edge is upright, and the ink is counted in blocks of 4 × 4 pixels.
"""

from collections.abc import Callable

import numpy as np

SHAPE = (8, 8)  # rows and columns of the data set's pictures
SIDE, WIDTH = 32, 20  # pixels of the bitmap, and of the character in it
BLOCK = SIDE // SHAPE[0]
FEW, MANY = (108, 256), (412, 560)  # pixels of ink: below and above, strokes grow or shrink by one pixel, or by two
# NIST widens every character, yet the data set has a bare 1 of 2 columns: a narrower box keeps its share of the height
NARROW = 0.5
INKED = 0.35  # share of a pixel that is ink, from which the pixel is
EDGE = 2  # rows at the top and the bottom that may be noise and do not tell the slant

GREY = 0.2, 0.8  # shares of ink between which a pixel shows neither ground nor stroke
COUNTED = 0.4  # of the ink being grey: 19 of 20 pictures of the data set have more, of small drawings 1 in 20

Scale = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def is_counted(ink: np.ndarray) -> bool:
    """Return whether a picture shows shares of ink, as an enlarged one of the data set, and not strokes of a pen."""
    return bool(np.mean(ink[ink > GREY[0]] < GREY[1]) > COUNTED)


def normalise_digit(ink: np.ndarray, scale: Scale) -> np.ndarray:
    """Return the ink of a digit [rows, columns] in 0 to 1, cropped to its box, as 8 × 8 shares of ink.

    `scale` returns an array scaled to a shape.
    """
    return count_blocks(_set_upright(_set_strokes(_fill_bitmap(ink, scale))))


def count_blocks(bitmap: np.ndarray) -> np.ndarray:
    """Return the share of ink in each block of a bitmap [32, 32], as [8, 8]."""
    counted: np.ndarray = bitmap.reshape(SHAPE[0], BLOCK, SHAPE[1], BLOCK).mean(axis=(1, 3))
    return counted


def take_neighbours(bitmap: np.ndarray, change: np.ufunc) -> np.ndarray:
    """Return each pixel as the least or largest of itself and its four neighbours, by `change`: minimum or maximum."""
    around = np.pad(bitmap, 1)
    parts = [bitmap, around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
    return np.asarray(change.reduce(parts))


def _fill_bitmap(ink: np.ndarray, scale: Scale) -> np.ndarray:
    """Return a bitmap with the ink's box in its middle, 20 × 32 pixels unless it is much higher or wider than that."""
    height, width = ink.shape
    inner = SIDE, max(2, min(WIDTH, round(WIDTH * width / height / NARROW)))
    if width > height / NARROW:  # a dash: to 20 × 32 it would fill the bitmap
        inner = max(2, round(SIDE * height / width)), SIDE
    bitmap = np.zeros((SIDE, SIDE), bool)
    top, left = (SIDE - inner[0]) // 2, (SIDE - inner[1]) // 2
    scaled = scale(ink, inner)
    inked = min(INKED, float(scaled.max()) / 2)  # a hair's breadth covers less than INKED of any pixel
    bitmap[top : top + inner[0], left : left + inner[1]] = scaled > inked
    return bitmap


def _set_strokes(bitmap: np.ndarray) -> np.ndarray:
    """Return a bitmap whose strokes are about as thick as those of the data set."""
    pixels = int(bitmap.sum())
    change = np.minimum if pixels > MANY[0] else np.maximum
    steps = sum(pixels > limit for limit in MANY) + sum(pixels < limit for limit in FEW)
    changed = bitmap
    for _ in range(steps):
        changed = take_neighbours(changed, change)
    return changed if changed.any() else bitmap


def _set_upright(bitmap: np.ndarray) -> np.ndarray:
    """Return a bitmap with its rows shifted so that the first ink from the left is as far at the top as below."""
    rows = np.flatnonzero(bitmap.any(axis=1))
    top, bottom = rows[0] + EDGE, rows[-1] - EDGE
    if bottom <= top or not bitmap[top].any() or not bitmap[bottom].any():
        return bitmap
    slant = (int(bitmap[top].argmax()) - int(bitmap[bottom].argmax())) / (bottom - top)
    shifts = np.round((np.arange(SIDE) - SIDE // 2) * slant).astype(int)
    places = np.arange(SIDE) - shifts[:, None]
    inside = (places >= 0) & (places < SIDE)
    return np.asarray(inside & np.take_along_axis(bitmap, places.clip(0, SIDE - 1), axis=1))
