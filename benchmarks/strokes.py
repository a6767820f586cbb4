"""Strokes: digits drawn from templates, as people draw them, with jitter; and digits of the installed fonts.

A template is a list of strokes, a stroke a list of points (x, y) in a square of 0 to 1 with y downwards, through which
a smooth curve is laid. Two sets of templates share none: `TUNING` is to choose a preprocessing by, `HELD_APART` to
report it.
"""

import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 280  # pixels of the page's drawing field
FONT_FOLDER = Path("/usr/share/fonts")

Stroke = list[tuple[float, float]]
Templates = Mapping[str, list[list[Stroke]]]


def _ellipse(  # noqa: PLR0913, PLR0917 - an ellipse has six numbers
    x: float, y: float, wide: float, high: float, start: float = -90, turn: float = -360
) -> Stroke:
    """Return an arc around (x, y) from the angle `start`, 0 to the right and 90 downwards, over `turn` degrees."""
    angles = [math.radians(start + turn * step / 16) for step in range(17)]
    return [(x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in angles]


TUNING: Templates = {
    "0": [[_ellipse(0.5, 0.5, 0.26, 0.4)], [_ellipse(0.5, 0.5, 0.33, 0.36, -60, -350)]],
    "1": [
        [[(0.5, 0.1), (0.5, 0.5), (0.5, 0.9)]],
        [[(0.32, 0.3), (0.42, 0.22), (0.54, 0.1)], [(0.54, 0.1), (0.54, 0.5), (0.54, 0.9)]],
    ],
    "2": [
        [
            [(0.25, 0.3), (0.35, 0.13), (0.55, 0.1), (0.72, 0.25), (0.65, 0.48), (0.45, 0.68), (0.24, 0.88)],
            [(0.24, 0.88), (0.5, 0.88), (0.78, 0.88)],
        ],
        [
            [
                (0.28, 0.22),
                (0.5, 0.1),
                (0.68, 0.2),
                (0.68, 0.4),
                (0.5, 0.65),
                (0.33, 0.85),
                (0.24, 0.8),
                (0.34, 0.74),
                (0.5, 0.84),
                (0.66, 0.88),
                (0.8, 0.8),
            ]
        ],
    ],
    "3": [
        [
            [(0.27, 0.2), (0.45, 0.1), (0.65, 0.17), (0.67, 0.34), (0.46, 0.46)],
            [(0.46, 0.46), (0.7, 0.55), (0.72, 0.77), (0.5, 0.9), (0.25, 0.82)],
        ],
        [
            [(0.28, 0.12), (0.5, 0.12), (0.7, 0.12)],
            [(0.7, 0.12), (0.58, 0.27), (0.46, 0.42)],
            [(0.46, 0.42), (0.66, 0.48), (0.72, 0.67), (0.6, 0.86), (0.4, 0.9), (0.24, 0.8)],
        ],
    ],
    "4": [
        [[(0.6, 0.1), (0.42, 0.36), (0.22, 0.62)], [(0.22, 0.62), (0.5, 0.62), (0.8, 0.62)], [(0.6, 0.1), (0.6, 0.9)]],
        [[(0.3, 0.1), (0.27, 0.3), (0.25, 0.5)], [(0.25, 0.5), (0.5, 0.5), (0.75, 0.48)], [(0.68, 0.12), (0.66, 0.9)]],
    ],
    "5": [
        [
            [(0.7, 0.1), (0.5, 0.1), (0.32, 0.1)],
            [(0.32, 0.1), (0.3, 0.28), (0.29, 0.46)],
            [(0.29, 0.46), (0.5, 0.4), (0.7, 0.52), (0.72, 0.72), (0.55, 0.88), (0.26, 0.84)],
        ],
        [
            [
                (0.74, 0.12),
                (0.55, 0.12),
                (0.38, 0.16),
                (0.33, 0.32),
                (0.36, 0.44),
                (0.55, 0.44),
                (0.7, 0.56),
                (0.68, 0.76),
                (0.5, 0.9),
                (0.28, 0.86),
            ]
        ],
    ],
    "6": [
        [
            [
                (0.62, 0.1),
                (0.42, 0.26),
                (0.31, 0.5),
                (0.3, 0.74),
                (0.46, 0.9),
                (0.66, 0.82),
                (0.7, 0.64),
                (0.56, 0.52),
                (0.38, 0.56),
                (0.31, 0.68),
            ]
        ],
        [
            [
                (0.44, 0.1),
                (0.34, 0.3),
                (0.28, 0.55),
                (0.32, 0.8),
                (0.5, 0.9),
                (0.68, 0.8),
                (0.7, 0.66),
                (0.58, 0.56),
                (0.42, 0.6),
                (0.32, 0.72),
            ]
        ],
    ],
    "7": [
        [[(0.25, 0.13), (0.5, 0.13), (0.74, 0.13)], [(0.74, 0.13), (0.56, 0.45), (0.42, 0.9)]],
        [
            [(0.22, 0.14), (0.5, 0.14), (0.76, 0.13)],
            [(0.76, 0.13), (0.6, 0.5), (0.46, 0.9)],
            [(0.36, 0.52), (0.56, 0.52), (0.76, 0.5)],
        ],
    ],
    "8": [
        [
            [
                (0.66, 0.2),
                (0.5, 0.1),
                (0.34, 0.2),
                (0.36, 0.37),
                (0.5, 0.47),
                (0.66, 0.6),
                (0.68, 0.78),
                (0.5, 0.9),
                (0.33, 0.78),
                (0.36, 0.6),
                (0.5, 0.47),
                (0.64, 0.36),
                (0.66, 0.2),
            ]
        ],
        [_ellipse(0.5, 0.3, 0.18, 0.19), _ellipse(0.5, 0.7, 0.22, 0.21)],
    ],
    "9": [
        [
            [
                (0.68, 0.3),
                (0.58, 0.12),
                (0.4, 0.12),
                (0.3, 0.28),
                (0.38, 0.46),
                (0.56, 0.46),
                (0.68, 0.3),
            ],
            [(0.68, 0.3), (0.67, 0.6), (0.62, 0.9)],
        ],
        [
            [(0.66, 0.22), (0.48, 0.1), (0.32, 0.2), (0.34, 0.4), (0.5, 0.46), (0.66, 0.36)],
            [(0.68, 0.2), (0.7, 0.55), (0.62, 0.82), (0.45, 0.9), (0.3, 0.82)],
        ],
    ],
}

HELD_APART: Templates = {
    "0": [
        [_ellipse(0.5, 0.5, 0.3, 0.4, -110, 345)],
        [
            [
                (0.55, 0.1),
                (0.34, 0.2),
                (0.26, 0.5),
                (0.34, 0.82),
                (0.52, 0.9),
                (0.7, 0.74),
                (0.74, 0.45),
                (0.64, 0.18),
                (0.5, 0.12),
            ]
        ],
        [_ellipse(0.5, 0.5, 0.21, 0.41, -80)],
    ],
    "1": [
        [[(0.53, 0.08), (0.5, 0.5), (0.48, 0.92)]],
        [[(0.36, 0.28), (0.52, 0.1)], [(0.52, 0.1), (0.52, 0.88)], [(0.34, 0.89), (0.7, 0.89)]],
        [[(0.4, 0.22), (0.53, 0.1)], [(0.53, 0.1), (0.51, 0.9)]],
    ],
    "2": [
        [
            [(0.3, 0.26), (0.42, 0.1), (0.64, 0.13), (0.68, 0.34), (0.52, 0.58), (0.28, 0.86)],
            [(0.28, 0.86), (0.74, 0.85)],
        ],
        [
            [
                (0.24, 0.28),
                (0.34, 0.12),
                (0.58, 0.1),
                (0.73, 0.28),
                (0.6, 0.55),
                (0.4, 0.78),
                (0.28, 0.88),
                (0.25, 0.78),
                (0.38, 0.76),
                (0.56, 0.88),
                (0.78, 0.86),
            ]
        ],
        [
            [(0.28, 0.18), (0.52, 0.11), (0.7, 0.24), (0.58, 0.5), (0.26, 0.89)],
            [(0.26, 0.89), (0.52, 0.86), (0.72, 0.9)],
        ],
    ],
    "3": [
        [
            [(0.3, 0.16), (0.52, 0.1), (0.68, 0.22), (0.6, 0.4), (0.42, 0.47)],
            [(0.42, 0.47), (0.64, 0.52), (0.7, 0.7), (0.56, 0.88), (0.28, 0.86)],
        ],
        [
            [
                (0.28, 0.22),
                (0.4, 0.11),
                (0.6, 0.12),
                (0.68, 0.27),
                (0.58, 0.43),
                (0.5, 0.47),
                (0.62, 0.52),
                (0.74, 0.66),
                (0.66, 0.84),
                (0.46, 0.9),
                (0.28, 0.8),
            ]
        ],
        [
            [(0.3, 0.13), (0.68, 0.13)],
            [(0.68, 0.13), (0.48, 0.4)],
            [(0.48, 0.4), (0.7, 0.5), (0.7, 0.74), (0.52, 0.89), (0.27, 0.83)],
        ],
    ],
    "4": [
        [[(0.56, 0.1), (0.24, 0.58)], [(0.24, 0.58), (0.78, 0.56)], [(0.62, 0.34), (0.6, 0.9)]],
        [[(0.32, 0.12), (0.26, 0.48)], [(0.26, 0.48), (0.5, 0.54), (0.74, 0.46)], [(0.7, 0.1), (0.64, 0.9)]],
        [[(0.64, 0.9), (0.64, 0.1)], [(0.64, 0.1), (0.23, 0.66)], [(0.23, 0.66), (0.8, 0.66)]],
    ],
    "5": [
        [
            [(0.72, 0.12), (0.36, 0.12)],
            [(0.36, 0.12), (0.32, 0.42)],
            [(0.32, 0.42), (0.56, 0.4), (0.72, 0.58), (0.64, 0.82), (0.44, 0.9), (0.27, 0.82)],
        ],
        [
            [(0.36, 0.14), (0.33, 0.44)],
            [(0.33, 0.44), (0.5, 0.4), (0.68, 0.5), (0.7, 0.7), (0.54, 0.88), (0.3, 0.87)],
            [(0.36, 0.14), (0.74, 0.1)],
        ],
        [
            [
                (0.7, 0.11),
                (0.44, 0.13),
                (0.36, 0.24),
                (0.34, 0.42),
                (0.48, 0.42),
                (0.66, 0.5),
                (0.72, 0.66),
                (0.6, 0.84),
                (0.4, 0.9),
                (0.25, 0.86),
            ]
        ],
    ],
    "6": [
        [
            [
                (0.58, 0.08),
                (0.38, 0.3),
                (0.29, 0.58),
                (0.34, 0.82),
                (0.52, 0.91),
                (0.69, 0.78),
                (0.66, 0.58),
                (0.5, 0.53),
                (0.34, 0.62),
            ]
        ],
        [
            [
                (0.68, 0.14),
                (0.5, 0.14),
                (0.36, 0.32),
                (0.3, 0.58),
                (0.36, 0.82),
                (0.54, 0.9),
                (0.7, 0.76),
                (0.66, 0.58),
                (0.48, 0.52),
                (0.32, 0.64),
            ]
        ],
        [[(0.5, 0.1), (0.36, 0.38), (0.32, 0.66)], _ellipse(0.5, 0.7, 0.19, 0.19, 190, 360)],
    ],
    "7": [
        [[(0.26, 0.12), (0.72, 0.12)], [(0.72, 0.12), (0.5, 0.9)]],
        [[(0.24, 0.15), (0.5, 0.12), (0.73, 0.14)], [(0.73, 0.14), (0.62, 0.4), (0.52, 0.64), (0.48, 0.9)]],
        [[(0.25, 0.14), (0.74, 0.14)], [(0.74, 0.14), (0.44, 0.9)], [(0.4, 0.5), (0.72, 0.48)]],
    ],
    "8": [
        [
            [
                (0.64, 0.16),
                (0.46, 0.11),
                (0.34, 0.24),
                (0.42, 0.4),
                (0.58, 0.52),
                (0.68, 0.7),
                (0.56, 0.88),
                (0.38, 0.86),
                (0.32, 0.7),
                (0.42, 0.53),
                (0.58, 0.4),
                (0.68, 0.26),
                (0.64, 0.16),
            ]
        ],
        [_ellipse(0.5, 0.29, 0.2, 0.18, 90), _ellipse(0.5, 0.69, 0.24, 0.21)],
        [
            [
                (0.5, 0.48),
                (0.34, 0.36),
                (0.36, 0.17),
                (0.52, 0.1),
                (0.66, 0.2),
                (0.62, 0.38),
                (0.42, 0.55),
                (0.32, 0.72),
                (0.42, 0.88),
                (0.6, 0.88),
                (0.68, 0.72),
                (0.6, 0.57),
                (0.5, 0.48),
            ]
        ],
    ],
    "9": [
        [_ellipse(0.49, 0.29, 0.19, 0.19, 0), [(0.68, 0.29), (0.66, 0.9)]],
        [
            [
                (0.69, 0.24),
                (0.54, 0.1),
                (0.36, 0.15),
                (0.31, 0.34),
                (0.44, 0.47),
                (0.62, 0.4),
                (0.69, 0.24),
            ],
            [(0.69, 0.24), (0.64, 0.56), (0.5, 0.9)],
        ],
        [
            [
                (0.66, 0.2),
                (0.46, 0.11),
                (0.33, 0.27),
                (0.42, 0.46),
                (0.6, 0.42),
                (0.67, 0.22),
                (0.7, 0.5),
                (0.64, 0.78),
                (0.48, 0.9),
                (0.32, 0.84),
            ]
        ],
    ],
}


def draw_digits(templates: Templates, each: int, seed: int) -> Iterator[tuple[str, Image.Image]]:
    """Yield (digit, picture): `each` pictures of every template, each with its own hand, place, size and pen."""
    random = np.random.default_rng(seed)
    for digit, styles in templates.items():
        for strokes in styles:
            for _ in range(each):
                yield digit, draw_strokes(strokes, random)


def draw_strokes(strokes: list[Stroke], random: np.random.Generator) -> Image.Image:
    """Return a drawing of strokes on a transparent ground, as the page sends it."""
    turn, slant = random.normal(0, math.radians(6)), random.normal(0, 0.13)
    size, narrow = SIDE * random.uniform(0.55, 0.95), random.uniform(0.75, 1.15)
    turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    hand = size * turned @ np.array([[narrow, -slant], [0, 1]])
    pen = int(SIDE * random.uniform(0.04, 0.12))
    wobble = random.normal(0, 0.018, (len(strokes), 24, 2))
    where = SIDE / 2 + random.normal(0, 0.03 * SIDE, 2)
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(image)
    for stroke, shake in zip(strokes, wobble, strict=True):
        points = np.array(stroke) + shake[: len(stroke)] * (1 if len(stroke) < 16 else 0.3)
        curve = (_smooth(points) - 0.5) @ hand.T + where
        line = [(float(x), float(y)) for x, y in curve]
        canvas.line(line, (17, 17, 17, 255), pen, "curve")
        for x, y in line:  # round ends and joints, as the page's pen
            canvas.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), (17, 17, 17, 255))
    return image


def set_digits() -> Iterator[tuple[str, Image.Image]]:
    """Yield (digit, picture), black on white, for every installed TrueType font with upright letters; may be none."""
    for path in sorted(FONT_FOLDER.rglob("*.ttf")):
        if "Math" in path.name:
            continue
        font = ImageFont.truetype(path, 160)
        for digit in "0123456789":
            image = Image.new("L", (SIDE, SIDE), 255)
            ImageDraw.Draw(image).text((SIDE / 2, SIDE / 2), digit, 0, font, anchor="mm")
            yield digit, image


def encode_png(image: Image.Image) -> bytes:
    """Return a picture as PNG."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _smooth(points: np.ndarray) -> np.ndarray:
    """Return a Catmull-Rom curve through points [n, 2]."""
    if len(points) == 2:
        return points
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, 12, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*parts, points[-1:]])
