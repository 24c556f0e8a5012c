"""The discoloured share of a leaf: right on drawn leaves of known damage, sane on photos."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from agri_llm.photos.leaf_area import affected_area

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = Path(os.environ.get("AGRI_DATA", ROOT.parent / "shared" / "data")) / "photos"
needs_photos = pytest.mark.skipif(
    not (PHOTOS / "metadata.csv").is_file(),
    reason="The photo collection is not here; AGRI_DATA names the folder with `photos` in it.",
)
GREEN, BROWN, YELLOW, GREY = (62, 128, 52), (128, 84, 40), (222, 204, 62), (150, 146, 152)
GROUNDS = {"white": (252, 252, 252), "grey": GREY, "cream": (176, 160, 144), "black": (4, 4, 4), "soil": (136, 96, 72)}
LEAF = (40, 60, 216, 200)
SPOTS = [(90, 110, 9), (130, 150, 12), (160, 100, 10), (110, 80, 7)]


def drawn(ground: str, spots: list[tuple[int, int, int]], colour: tuple[int, int, int] = BROWN) -> tuple[Image.Image, float]:
    """A leaf with round spots, four times too large and scaled down, with the grain of a photo; and its true percent."""
    large = Image.new("RGB", (1024, 1024), GROUNDS[ground])
    pen = ImageDraw.Draw(large)
    if ground == "soil":
        clods = np.random.default_rng(1).normal(0, 26, (64, 64, 1)) + np.array(GROUNDS["soil"])
        large.paste(Image.fromarray(np.clip(clods, 0, 255).astype(np.uint8)).resize(large.size, Image.Resampling.BICUBIC))
    pen.ellipse([4 * value for value in LEAF], fill=GREEN)
    for x, y, radius in spots:
        pen.ellipse([4 * (x - radius), 4 * (y - radius), 4 * (x + radius), 4 * (y + radius)], fill=colour)
    small = np.asarray(large.resize((256, 256), Image.Resampling.BOX), dtype=float)
    grain = np.random.default_rng(2).normal(0, 5, small.shape)
    whole = np.pi * (LEAF[2] - LEAF[0]) * (LEAF[3] - LEAF[1]) / 4
    truth = 100 * sum(np.pi * radius**2 for *_, radius in spots) / whole
    return Image.fromarray(np.clip(small + grain, 0, 255).astype(np.uint8)), truth


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("colour", [BROWN, YELLOW], ids=["brown", "yellow"])
@pytest.mark.parametrize("ground", GROUNDS)
def test_the_percent_of_a_drawn_leaf_is_within_three_points(ground: str, colour: tuple[int, int, int]) -> None:
    picture, truth = drawn(ground, SPOTS, colour)
    found = affected_area(picture)
    assert abs(found.percent - truth) < 3
    outline = Image.new("1", picture.size)
    ImageDraw.Draw(outline).ellipse(LEAF, fill=1)
    assert overlap(found.leaf, np.asarray(outline)) > 0.95
    assert not (found.affected & ~found.leaf).any()
    assert all(found.affected[y, x] for x, y, _ in SPOTS)


@pytest.mark.parametrize("ground", GROUNDS)
def test_a_healthy_drawn_leaf_has_nothing(ground: str) -> None:
    assert affected_area(drawn(ground, [])[0]).percent < 1


def test_damage_at_the_edge_of_a_leaf_on_a_sheet_counts() -> None:
    picture, _ = drawn("grey", [(60, 130, 18)])
    found = affected_area(picture)
    assert found.affected[130, 50]
    assert 3 < found.percent < 8


def test_a_shadow_on_the_sheet_is_no_leaf() -> None:
    picture, truth = drawn("grey", SPOTS)
    dark = Image.new("L", picture.size)
    ImageDraw.Draw(dark).ellipse((60, 150, 240, 230), fill=160)
    shade = np.asarray(dark.filter(ImageFilter.GaussianBlur(3)))[..., None] / 255
    pixels = np.asarray(picture, dtype=float)
    outline = Image.new("1", picture.size)
    ImageDraw.Draw(outline).ellipse(LEAF, fill=1)
    leaf = np.asarray(outline)
    shaded = Image.fromarray(np.where(leaf[..., None], pixels, pixels * (1 - shade)).astype(np.uint8))
    found = affected_area(shaded)
    assert abs(found.percent - truth) < 3
    assert overlap(found.leaf, leaf) > 0.93


@pytest.mark.parametrize("ground", ["white", "grey", "cream", "black"])
def test_a_photo_without_a_leaf_has_no_leaf_and_no_percent(ground: str) -> None:
    grain = np.random.default_rng(3).normal(0, 4, (200, 300, 3)) + np.array(GROUNDS[ground])
    found = affected_area(Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)))
    assert found.percent == 0
    assert not found.leaf.any()
    assert not found.affected.any()


def test_a_wholly_yellow_leaf_is_wholly_affected() -> None:
    picture, _ = drawn("soil", [(128, 130, 50)], YELLOW)
    assert affected_area(picture.crop((90, 92, 166, 168))).percent > 95


@pytest.mark.parametrize("size", [(1200, 900), (90, 64), (33, 200), (1, 1)])
def test_masks_have_the_size_of_the_photo_as_given(size: tuple[int, int]) -> None:
    found = affected_area(drawn("white", SPOTS)[0].resize(size))
    assert found.leaf.shape == found.affected.shape == size[::-1]
    assert found.leaf.dtype == found.affected.dtype == np.bool_
    assert 0 <= found.percent <= 100


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_photos_of_other_kinds_are_read(mode: str) -> None:
    found = affected_area(drawn("white", SPOTS)[0].convert(mode))
    assert found.leaf.any() == (mode != "L")  # a picture without colours shows no leaf


def test_heat_chooses_the_leaf_that_is_meant() -> None:
    healthy, ill = drawn("grey", [])[0], drawn("grey", SPOTS)
    both = Image.new("RGB", (512, 256))
    both.paste(healthy, (0, 0))
    both.paste(ill[0], (256, 0))
    heat = np.zeros((7, 14))
    heat[3, 10] = 1.0
    whole, right = affected_area(both), affected_area(both, heat)
    assert whole.percent == pytest.approx(ill[1] / 2, abs=2)
    assert right.percent == pytest.approx(ill[1], abs=3)
    assert not right.leaf[:, :256].any()
    assert affected_area(both, heat[:, ::-1]).percent < 1


def test_a_photo_takes_less_than_forty_milliseconds() -> None:
    picture, _ = drawn("soil", SPOTS)
    taken = []
    for _ in range(7):
        start = time.process_time()
        affected_area(picture)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.040


@needs_photos
def test_the_leaves_drawn_by_hand_are_found() -> None:
    rows = json.loads((ROOT / "benchmarks" / "leaf_masks.json").read_text(encoding="utf-8"))["photos"]
    overlaps, errors = [], []
    for row in [row for row in rows if row["domain"] == "lab"]:
        image = Image.open(PHOTOS / row["file_name"])
        outline = Image.new("1", image.size)
        for polygon in row["leaf"]:
            ImageDraw.Draw(outline).polygon(polygon, fill=1)
        found = affected_area(image)
        overlaps.append(overlap(found.leaf, np.asarray(outline)))
        errors.append(abs(found.percent - row["percent_by_eye"]))
    assert np.mean(overlaps) > 0.88
    assert np.mean(errors) < 8


@needs_photos
def test_most_healthy_leaves_have_less_damage_than_most_blighted_ones() -> None:
    with (PHOTOS / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]

    def percents(label: str) -> list[float]:
        names = [row["file_name"] for row in rows if row["label"] == label][:12]
        return [affected_area(Image.open(PHOTOS / name)).percent for name in names]

    assert np.median(percents("potato__healthy")) < 2
    assert np.median(percents("potato__late_blight")) > 8
