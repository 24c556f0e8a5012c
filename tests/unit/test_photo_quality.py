"""Photos that nobody could judge are sent back with the reason; all others pass."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from agri_llm.photos.quality import quality, sharpness
from agri_llm.records import PhotoQuality

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = Path(os.environ.get("AGRI_DATA", ROOT.parent / "shared" / "data")) / "photos"
needs_photos = pytest.mark.skipif(
    not (PHOTOS / "metadata.csv").is_file(),
    reason="The photo collection is not here; AGRI_DATA names the folder with `photos` in it.",
)
SHEETS = [(255, 255, 255), (150, 146, 152), (8, 8, 8), (176, 160, 144)]


def leaf(sheet: tuple[int, int, int] = (150, 146, 152), size: int = 512) -> Image.Image:
    """A healthy leaf as smooth as can be: no vein, no grain, on an empty sheet."""
    picture = Image.new("RGB", (4 * size, 4 * size), sheet)
    ImageDraw.Draw(picture).ellipse((size, size, 3 * size, int(2.6 * size)), fill=(62, 128, 52))
    return picture.resize((size, size), Image.Resampling.BOX)


def noise(colour: tuple[int, int, int], spread: float = 4.0) -> Image.Image:
    pixels = np.random.default_rng(0).normal(0, spread, (300, 400, 3)) + np.array(colour)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def exposed(picture: Image.Image, stops: float) -> Image.Image:
    return picture.point(lambda value: min(255, round(value * 2 ** (stops / 2.2))))


@pytest.mark.parametrize("sheet", SHEETS)
def test_a_smooth_leaf_on_an_empty_sheet_is_good(sheet: tuple[int, int, int]) -> None:
    assert quality(leaf(sheet)) == "good"


@pytest.mark.parametrize("sheet", SHEETS)
def test_the_same_leaf_out_of_focus_is_blurred(sheet: tuple[int, int, int]) -> None:
    assert quality(leaf(sheet).filter(ImageFilter.GaussianBlur(8))) == "blurred"


@pytest.mark.parametrize("direction", ["across", "up", "slanting"])
def test_a_moved_camera_is_noticed_in_every_direction(direction: str) -> None:
    pixels = np.asarray(leaf(), dtype=float)
    step = {"across": (0, 1), "up": (1, 0), "slanting": (1, 1)}[direction]
    frames = [np.roll(pixels, (shift * step[0], shift * step[1]), axis=(0, 1)) for shift in range(36)]
    assert quality(Image.fromarray(np.mean(frames, axis=0).astype(np.uint8))) == "blurred"


def test_sharpness_falls_with_every_blur() -> None:
    found = [sharpness(leaf().filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 2, 4, 8, 16)]
    assert found == sorted(found, reverse=True)


def test_the_size_of_the_file_does_not_change_what_is_sharp() -> None:
    large, small = leaf(size=1024), leaf(size=256)
    assert sharpness(large) == pytest.approx(sharpness(small), rel=0.25)
    assert quality(large.resize((4000, 4000))) == quality(small) == "good"


def test_a_thumbnail_is_too_small_and_an_enlarged_one_blurred() -> None:
    assert quality(leaf().resize((48, 48))) == "too_small"
    assert quality(leaf().resize((48, 48)).resize((800, 800), Image.Resampling.BICUBIC)) == "blurred"
    assert quality(leaf().resize((600, 40))) == "too_small"
    assert quality(Image.new("RGB", (1, 1))) == "too_small"


def test_a_photo_in_the_dark_is_too_dark() -> None:
    assert quality(exposed(leaf(), -4)) == "too_dark"
    assert quality(Image.new("RGB", (400, 300))) == "too_dark"


def test_an_overexposed_photo_is_too_bright_but_a_leaf_on_white_paper_is_not() -> None:
    assert quality(exposed(leaf(), 4)) == "too_bright"
    assert quality(Image.new("RGB", (400, 300), "white")) == "too_bright"
    far = Image.new("RGB", (2000, 2000), "white")
    far.paste(leaf((255, 255, 255)), (700, 700))
    assert quality(far) == "good"


@pytest.mark.parametrize("colour", [(170, 170, 170), (214, 204, 190), (90, 150, 225), (110, 60, 150)])
def test_walls_sky_and_paper_are_no_plant(colour: tuple[int, int, int]) -> None:
    assert quality(noise(colour)) == "no_plant"


def test_a_screen_with_text_is_no_plant() -> None:
    screen = Image.new("RGB", (400, 300), (244, 244, 246))
    pen = ImageDraw.Draw(screen)
    for line in range(14):
        pen.text((10, 10 + 20 * line), "Lorem ipsum dolor sit amet, consectetur", fill=(40, 44, 60))
    assert quality(screen) == "no_plant"


@pytest.mark.parametrize("colour", [(222, 204, 62), (128, 84, 40), (120, 70, 50), (190, 160, 110)])
def test_yellow_and_dead_leaves_are_plants(colour: tuple[int, int, int]) -> None:
    picture = leaf()
    ImageDraw.Draw(picture).ellipse((100, 100, 420, 360), fill=colour)
    assert quality(picture) == "good"


def test_a_small_insect_on_a_grey_wall_passes() -> None:
    wall = noise((170, 170, 172))
    ImageDraw.Draw(wall).ellipse((180, 120, 230, 150), fill=(120, 90, 40))
    assert quality(wall) == "good"


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
def test_photos_of_other_kinds_are_read(mode: str) -> None:
    assert quality(leaf().convert(mode)) == "good"


def test_a_photo_without_colours_is_no_plant() -> None:
    assert quality(leaf().convert("L")) == "no_plant"


def test_every_answer_is_one_of_the_record() -> None:
    assert set(get_args(PhotoQuality)) == {"good", "too_small", "too_dark", "too_bright", "blurred", "no_plant"}


def photos(count: int, split: str = "validation") -> list[Image.Image]:
    """Photos with a crop on them, spread over the labels."""
    with (PHOTOS / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split and row["label"] != "background"]
    return [Image.open(PHOTOS / row["file_name"]).convert("RGB") for row in rows[:: max(1, len(rows) // count)]]


def stored(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return Image.open(buffer)


@needs_photos
def test_at_most_two_in_a_hundred_real_photos_are_refused() -> None:
    found = [quality(picture) for picture in photos(200)]
    assert found.count("good") >= 0.98 * len(found)


@needs_photos
def test_real_photos_that_were_spoilt_are_refused() -> None:
    for picture in photos(20):
        assert quality(stored(picture.filter(ImageFilter.GaussianBlur(4)))) == "blurred"
        assert quality(exposed(picture, -5)) == "too_dark"
        shrunk = picture.resize((picture.width * 48 // 256, picture.height * 48 // 256))
        assert quality(shrunk) == "too_small"
        assert quality(stored(shrunk.resize(picture.size))) == "blurred"
