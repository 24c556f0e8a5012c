"""Whether a photo can be judged at all, before any model looks at it, so that we can ask for a better one.

Everything is measured at one size. The limits were chosen on the train split of the photo collection (undamaged, and damaged by
us); benchmarks/photo_quality.py measures the other two splits. All limits lean towards letting a photo through: what is no leaf
at all, but has the colours of one, is left to the classifier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from agri_llm.records import PhotoQuality

Values = NDArray[np.float32]

SIZE = 256  # pixels of the longer side at which we measure; the collection's photos have as many

# Below these, in pixels, lesions cannot be told from each other; the narrowest photo of the collection has 94.
_SHORTER, _LONGER = 64, 128

# 19 of 20 pixels below this brightness (0–1): 2 of 4,736 photos of the train split are, and most that we made three stops
# too dark.
_DIM = 0.36
# Half of the photo is clipped, and what is left is pale or next to nothing. A dark leaf on white paper passes by that.
_CLIPPED = 0.98
_CLIPPED_SHARE = 0.5
_LEFT = 0.005
_PALE = 0.59

# Colours of plants, as logarithms of green over red and over blue: green, or yellow to brown.
_NOISE = 0.04  # added to every channel (0–1), so that the noise of nearly black pixels says nothing
_GREEN = (0.035, -0.1)  # more green than red, and not much less than blue
_BROWN = (-0.7, 0.25)  # up to the red of scorched leaves, but clearly less blue
_PLANT_SHARE = 0.005  # of the photo; the least of the train split is 0.008, a bug on a cream wall

_GRAIN = 0.7  # sigma in pixels of the smoothing that takes off the grain of a photo, which looks sharp and is not
_STEEPEST = 99.8  # percentile of the differences; a leaf's outline on an empty sheet is as much of a photo
_WIDE = 12  # pixels, wider than the blurs that matter
_FAINT = 4 / 255  # added to the wide differences: below is no contrast
_ALL_ROUND = 0.84  # how much sharper than one direction their mean must be
_SHARP = 0.13  # 0.4 % of the train split are below; with the veins of healthy maize, soft along the leaf, 13 %


class _Direction(NamedTuple):
    rows: int
    columns: int
    length: float


_DIRECTIONS = (_Direction(0, 1, 1.0), _Direction(1, 0, 1.0), _Direction(1, 1, 2**0.5), _Direction(1, -1, 2**0.5))


def quality(image: Image.Image) -> PhotoQuality:
    """Return "good", or the first reason to ask for another photo."""
    if min(image.size) < _SHORTER or max(image.size) < _LONGER:
        return "too_small"
    pixels = _pixels(image)
    if np.percentile(pixels.max(axis=-1), 95) < _DIM:
        return "too_dark"
    if _overexposed(pixels):
        return "too_bright"
    if _plant_share(pixels) < _PLANT_SHARE:
        return "no_plant"
    return "good" if _sharpness(pixels) >= _SHARP else "blurred"


def sharpness(image: Image.Image) -> float:
    """Return how much of a photo's strongest steps happens within one pixel, about 0.05–0.6.

    A step of any height counts the same, so a smooth leaf on an empty sheet is as sharp as its outline. Blur of a moving
    camera shows in the direction of the movement, so the least sharp direction counts as well as the mean of all.
    """
    return _sharpness(_pixels(image))


def _sharpness(pixels: Values) -> float:
    light = ndimage.gaussian_filter(_luma(pixels), _GRAIN)
    found = [_steepness(light, direction) for direction in _DIRECTIONS]
    return min(*found, _ALL_ROUND * sum(found) / len(found))


def _steepness(light: Values, direction: _Direction) -> float:
    """Compare the strongest differences of neighbours with the strongest over a wide distance."""
    near = np.percentile(_differences(light, direction, 1), _STEEPEST) / direction.length
    wide = np.percentile(_differences(light, direction, round(_WIDE / direction.length)), _STEEPEST)
    return float(near / (wide + _FAINT))


def _differences(light: Values, direction: _Direction, steps: int) -> Values:
    rows, columns = direction.rows * steps, direction.columns * steps
    height, width = light.shape
    ahead, here = light[rows:, max(0, columns) : width + min(0, columns)], light[: height - rows]
    apart: Values = np.abs(ahead - here[:, max(0, -columns) : width - max(0, columns)])
    return apart


def _overexposed(pixels: Values) -> bool:
    clipped = pixels.max(axis=-1) >= _CLIPPED
    if clipped.mean() <= _CLIPPED_SHARE:
        return False
    rest = _luma(pixels)[~clipped]
    return rest.size < _LEFT * clipped.size or bool(np.median(rest) > _PALE)


def _plant_share(pixels: Values) -> float:
    smooth = ndimage.gaussian_filter(pixels, (1, 1, 0)) + np.float32(_NOISE)
    over_red, over_blue = (np.log(smooth[..., 1] / smooth[..., channel]) for channel in (0, 2))
    green = (over_red > _GREEN[0]) & (over_blue > _GREEN[1])
    brown = (over_red > _BROWN[0]) & (over_blue > _BROWN[1])
    return float((green | brown).mean())


def _pixels(image: Image.Image) -> Values:
    """Return the photo with `SIZE` pixels on its longer side, (rows, columns, 3) in 0–1."""
    scale = SIZE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def _luma(pixels: Values) -> Values:
    light: Values = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
    return light
