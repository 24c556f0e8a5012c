"""Pictures that show no plant, drawn here: noise, paper, drawings, faces, soil; to teach and to test what is out of scope."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
Random = np.random.Generator


def drawn(count: int, seed: int) -> NDArray[np.uint8]:
    """Return pictures of all kinds in turn, (count, 3, SIDE, SIDE)."""
    random = np.random.default_rng(seed)
    kinds = list(KINDS.values())
    pictures = [kinds[at % len(kinds)](random) for at in range(count)]
    return np.stack([np.asarray(picture.convert("RGB")).transpose(2, 0, 1) for picture in pictures])


def noise(random: Random) -> Image.Image:
    """Noise of some grain, grey or coloured."""
    side = int(random.choice([4, 16, 64, SIDE]))
    values = random.integers(0, 256, (side, side, 3 if random.random() < 0.5 else 1), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(values, (side, side, 3)).copy()).resize((SIDE, SIDE))


def paper(random: Random) -> Image.Image:
    """A sheet or screen with lines of writing."""
    picture = Image.new("RGB", (SIDE, SIDE), _colour(random, 200, 256))
    pen, ink = ImageDraw.Draw(picture), _colour(random, 0, 90)
    for line in range(16, SIDE - 10, int(random.integers(12, 28))):
        place = 14
        while place < SIDE - 30 and random.random() < 0.93:
            width = int(random.integers(6, 30))
            pen.rectangle((place, line, place + width, line + int(random.integers(3, 7))), fill=ink)
            place += width + 7
    return picture


def drawing(random: Random) -> Image.Image:
    """Coloured shapes, as a child or a chart has them."""
    picture = Image.new("RGB", (SIDE, SIDE), _colour(random, 0, 256))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(3, 14))):
        corner, size = random.integers(-30, SIDE, 2), random.integers(15, 160, 2)
        box = (*map(int, corner), *map(int, corner + size))
        kind, colour = int(random.integers(3)), _colour(random, 0, 256)
        if kind == 0:
            pen.ellipse(box, fill=colour)
        elif kind == 1:
            pen.rectangle(box, fill=colour)
        else:
            pen.line(box, fill=colour, width=int(random.integers(2, 9)))
    return picture


def face(random: Random) -> Image.Image:
    """A head with hair, eyes and mouth before a wall, softened."""
    picture = Image.new("RGB", (SIDE, SIDE), _colour(random, 60, 230))
    pen = ImageDraw.Draw(picture)
    skin = tuple(int(value) for value in np.array([224, 172, 125]) * random.uniform(0.35, 1.1))
    across, down, size = (int(value) for value in random.integers([100, 110, 50], [156, 150, 90]))
    pen.rectangle((across - size, down + size, across + size, SIDE), fill=_colour(random, 0, 256))
    pen.ellipse((across - size, down - int(1.4 * size), across + size, down + size), fill=_colour(random, 10, 70))
    pen.ellipse((across - int(0.8 * size), down - size, across + int(0.8 * size), down + int(1.2 * size)), fill=skin)
    for side in (-1, 1):
        eye = across + side * size // 3
        pen.ellipse((eye - 9, down - 14, eye + 9, down - 4), fill="white")
        pen.ellipse((eye - 4, down - 13, eye + 4, down - 5), fill=_colour(random, 0, 80))
    pen.arc((across - 20, down + 20, across + 20, down + 48), 10, 170, fill=(150, 40, 50), width=5)
    return picture.filter(ImageFilter.GaussianBlur(float(random.uniform(0.8, 2.5))))


def soil(random: Random) -> Image.Image:
    """Bare ground: brown grains of several sizes, with stones."""
    ground = np.zeros((SIDE, SIDE))
    for side in (8, 32, 128):
        grains = Image.fromarray(random.random((side, side)).astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        ground += np.asarray(grains) / 3
    brown = np.array([random.uniform(90, 190), random.uniform(70, 140), random.uniform(40, 110)])
    values = np.clip(brown * (0.45 + 1.1 * ground[..., None]) + random.normal(0, 9, (SIDE, SIDE, 3)), 0, 255)
    picture = Image.fromarray(values.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(0, 25))):
        place, size = random.integers(0, SIDE, 2), int(random.integers(2, 14))
        box = (int(place[0]), int(place[1]), int(place[0]) + size, int(place[1]) + size * 2 // 3 + 1)
        pen.ellipse(box, fill=_colour(random, 90, 190))
    return picture.filter(ImageFilter.GaussianBlur(0.6))


KINDS: dict[str, Callable[[Random], Image.Image]] = {
    "noise": noise, "paper": paper, "drawing": drawing, "face": face, "soil": soil,
}  # fmt: skip


def _colour(random: Random, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(low, high, 3))
    return red, green, blue
