"""Drawings: how many drawn digits the main flow's model recognises, after each of four ways to prepare a picture.

`python -m benchmarks.drawings` measures the ways on templates of strokes that none of them was chosen by, and on the
installed fonts; `--write` puts the table into docs/serve.md; `--tuning` measures on the templates to choose by instead.
"""

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from artifact_flow.core.base.contract import CONTRACT, read_contract
from artifact_flow.core.model.artifacts import PORTABLE, open_portable
from artifact_flow.serving import characters
from artifact_flow.serving.images import Grid, find_grid, read_pixels
from benchmarks.strokes import HELD_APART, TUNING, draw_digits, encode_png, set_digits

PAGE = Path("docs/serve.md")
MARKS = r"(<!-- drawings -->\n).*(\n<!-- end of drawings -->)"
EACH, SEED = 40, 2  # pictures of a template; the seed of the templates held apart
TUNING_SEED = 1
SLANT = 0.05  # of the data set's pictures, on average
INK = (256.0, 412.0)  # pixels of 1024, between which the data set's pictures have their ink

Ink = np.ndarray
Way = Callable[[Ink, characters.Scale], Ink]


def fill_box(ink: Ink, scale: characters.Scale) -> Ink:
    """Return the box of the ink, scaled to fill 32 × 32 pixels and counted in blocks: the first release's way."""
    return characters.count_blocks(_fit(ink, scale))


def deskew(ink: Ink, scale: characters.Scale) -> Ink:
    """Return the same after the ink's second moments have been set upright."""
    return characters.count_blocks(_fit(_set_upright(ink), scale))


def deskew_and_set_width(ink: Ink, scale: characters.Scale) -> Ink:
    """Return the same with the strokes eroded or dilated, in fractions of a pixel, until there is as much ink."""
    return characters.count_blocks(_set_ink(_fit(_set_upright(ink), scale)))


WAYS: dict[str, Way] = {
    "box": fill_box,
    "box, moment deskew": deskew,
    "box, moment deskew, stroke width": deskew_and_set_width,
    "NIST's normalisation, as the data set's": characters.normalise_digit,
}


def measure(way: Way, pictures: list[tuple[str, bytes]], grid: Grid, session: object) -> tuple[float, dict[str, float]]:
    """Return the share of pictures (digit, PNG) that are recognised, in all and by digit."""
    with patch.object(characters, "normalise_digit", way):
        X = np.concatenate([read_pixels(content, grid, 16_000_000) for _, content in pictures])
    labels = session.run(["label"], {session.get_inputs()[0].name: X})[0].tolist()  # type: ignore[attr-defined]
    hits: dict[str, list[bool]] = {}
    for (digit, _), label in zip(pictures, labels, strict=True):
        hits.setdefault(digit, []).append(int(digit) == label)
    return float(np.mean(np.concatenate([*hits.values()]))), {
        digit: float(np.mean(found)) for digit, found in hits.items()
    }


def tabulate(sets: dict[str, list[tuple[str, bytes]]]) -> str:
    """Return the hit rates of every way as a table in Markdown."""
    contract = read_contract(CONTRACT)
    grid, session = find_grid(contract), open_portable(PORTABLE, CONTRACT)[0]
    if grid is None:
        raise SystemExit("error: the model of the main flow takes no pictures: measure with the digits.")
    first, *_ = sets
    heads = [f"{name} ({len(pictures)})" for name, pictures in sets.items()]
    lines = [f"| prepared by | {' | '.join(heads)} | worst digits of the {first} |", f"|---|{'---|' * (len(sets) + 1)}"]
    for name, way in WAYS.items():
        found = {each: measure(way, pictures, grid, session) for each, pictures in sets.items() if pictures}
        worst = sorted(found[first][1].items(), key=lambda item: item[1])[:3]
        shown = ", ".join(f"{digit}: {share:.0%}" for digit, share in worst)
        cells = " | ".join(f"{found[each][0]:.1%}" if each in found else "none installed" for each in sets)
        lines.append(f"| {name} | {cells} | {shown} |")
    return "\n".join(lines).replace("%", " %")


def _fit(ink: Ink, scale: characters.Scale) -> Ink:
    side = characters.SIDE
    factor = side / max(ink.shape)
    inner = max(1, round(factor * ink.shape[0])), max(1, round(factor * ink.shape[1]))
    bitmap = np.zeros((side, side))
    top, left = (side - inner[0]) // 2, (side - inner[1]) // 2
    bitmap[top : top + inner[0], left : left + inner[1]] = scale(ink, inner)
    return bitmap.clip(0, 1)


def _set_upright(ink: Ink) -> Ink:
    down, right = np.mgrid[: ink.shape[0], : ink.shape[1]]
    right, down = (place - np.average(place, weights=ink) for place in (right, down))
    slant = np.sum(ink * right * down) / max(np.sum(ink * down**2), 1e-9) - SLANT
    wide = int(abs(slant) * ink.shape[0]) + 1
    image = Image.fromarray(np.pad(ink, ((0, 0), (wide, wide))).astype(np.float32))
    shear = (1, slant, -slant * ink.shape[0] / 2, 0, 1, 0)
    upright = np.asarray(image.transform(image.size, Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR))
    rows, columns = np.nonzero(upright > 0.25)
    return upright[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _set_ink(bitmap: Ink) -> Ink:
    low, high = INK
    for _ in range(6):
        much = bitmap.sum()
        if low <= much <= high:
            break
        change, wanted = (np.minimum, high) if much > high else (np.maximum, low)
        changed = characters.take_neighbours(bitmap, change)
        if (changed.sum() - wanted) * (much - wanted) <= 0:
            return np.asarray(bitmap + (changed - bitmap) * (wanted - much) / (changed.sum() - much))
        bitmap = changed
    return bitmap


def _encode(pictures: Iterable[tuple[str, Image.Image]]) -> list[tuple[str, bytes]]:
    return [(digit, encode_png(image)) for digit, image in pictures]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE}")
    parser.add_argument("--tuning", action="store_true", help="measure on the templates to choose by")
    given = parser.parse_args()
    strokes = draw_digits(TUNING, EACH, TUNING_SEED) if given.tuning else draw_digits(HELD_APART, EACH, SEED)
    table = tabulate({"strokes": _encode(strokes), "fonts": _encode(set_digits())})
    print(table)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(re.sub(MARKS, rf"\g<1>{table}\g<2>", text, flags=re.DOTALL), encoding="utf-8")
