"""How much of the leaf in a photo is discoloured, by its colours alone.

Every colour is judged by two logarithms, of green over red and of green over blue, because the strength of the light drops out
of both: a leaf in the shade keeps them nearly. Healthy tissue has more green than red; yellow, brown and mouldy tissue has not.
Constants without another source were chosen on the half "tune" of benchmarks/leaf_masks.json, and by looking at photos of the
train split of the photo collection; benchmarks/leaf_area.py measures the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Values = NDArray[np.float32]
Flags = NDArray[np.bool_]

SIZE = 256  # pixels of the longer side that we look at; the collection's photos have as many
_NOISE = 0.04  # added to every channel (0–1), so that the noise of nearly black pixels says nothing
_BLUR = 1.0  # sigma in pixels, about the grain of the photos
_EDGE = 0.04  # of the height and the width, where a sheet under the leaf must show

# A plain sheet: a fourth of the edge has one dull colour, and most dull pixels of the edge have it. On 600 photos of the train
# split this finds 90 % of the leaves on sheets (most others fill the photo) and 2 % of the field photos without any sheet.
_DULL_RED = (-0.23, 0.05)
_DULL_BLUE = (-0.26, 0.26)
_CELL = 0.04
_ONE_COLOUR = 0.08
_SHEET_SHARE = 0.25
_SHEET_PURE = 0.7

# Leaf against a sheet, as differences from the sheet's colour; shadows are a little yellower than their sheet, so dark pixels
# need more, and nearly black ones show nothing.
_GREENER = 0.09
_YELLOWER = 0.14
_YELLOWER_IN_DARK = 0.22
_DARK = 0.5  # of the sheet's brightness
_BLACK = 0.2

# Leaf in a field: green that is not sky or water, or yellow that is stronger than soil and straw.
_FIELD_GREEN = 0.035
_FIELD_BLUE = -0.2
_FIELD_YELLOW = (0.6, -0.12)  # at least this far over blue, and over red
_FIELD_DARK = 0.06

_SMALLEST_LEAF = 0.02  # of the photo
_LARGEST_HOLE = 0.03  # of the photo; larger ones show the ground

# Discoloured: much less green over red than most of this leaf, or plainly yellow.
_OF_THE_LEAF = 0.4
_LIMITS = (-0.02, 0.11)
_MOST_OF_THE_LEAF = 60  # percentile
_YELLOW = (0.8, 0.06)  # at least this far over blue, at most this far over red
_BARELY = 0.01
_RIM = 3  # pixels where the colours of leaf and ground mix
_SMALLEST_SPOT = 4  # pixels


@dataclass(frozen=True)
class Affected:
    """Which share of the leaf is discoloured, and where; both masks are (height, width) of the photo as given."""

    percent: float
    leaf: Flags
    affected: Flags


class _Colours(NamedTuple):
    red: Values
    green: Values
    over_red: Values  # log(green / red)
    over_blue: Values  # log(green / blue)
    light: Values  # the strongest channel, 0–1


class _Sheet(NamedTuple):
    over_red: float
    over_blue: float
    light: float


def affected_area(image: Image.Image, heat: NDArray[np.floating] | None = None) -> Affected:
    """Estimate which share of the visible leaf tissue is discoloured: dead, yellow or mouldy.

    `heat` is where a classifier looked, (rows, columns) of any size: parts of the tissue that nowhere reach half of its
    maximum are left out. Without it, a field photo of many leaves counts all tissue in it, blurred leaves and stalks too. Only
    colour is seen. A yellow variety, autumn colours, dry stalks, deep shadow on a leaf and soil enclosed by leaves count as
    damage; pale green mosaics, curled leaves, mildew that looks like gloss and dead tissue at the edge of a leaf over soil do
    not. Read it as "little, some, much". `percent` is 0 and `leaf` empty where no leaf is found.
    """
    scale = min(1.0, SIZE / max(image.size))
    small = image.convert("RGB").resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    colours = _colours(small)
    sheet = _sheet(colours)
    leaf = _leaf_in_field(colours) if sheet is None else _leaf_on_sheet(colours, sheet)
    if heat is not None:
        leaf = _heated(leaf, heat)
    affected = _discoloured(colours, leaf, 0.0 if sheet is None else sheet.over_red)
    percent = 100.0 * float(affected.sum()) / max(1, int(leaf.sum()))
    return Affected(percent, _resized(leaf, image.size), _resized(affected, image.size))


def leaf_on_sheet(image: Image.Image) -> Flags | None:
    """Return where the leaf is, (height, width) of a photo of at most SIZE pixels; None where it lies on no plain sheet."""
    colours = _colours(image.convert("RGB"))
    sheet = _sheet(colours)
    return None if sheet is None else _leaf_on_sheet(colours, sheet)


def _colours(image: Image.Image) -> _Colours:
    pixels = np.asarray(image, dtype=np.float32) / 255
    smooth = ndimage.gaussian_filter(pixels, (_BLUR, _BLUR, 0))
    red, green, blue = (smooth[..., channel] + np.float32(_NOISE) for channel in range(3))
    return _Colours(red, green, np.log(green / red), np.log(green / blue), smooth.max(axis=-1))


def _sheet(colours: _Colours) -> _Sheet | None:
    """Return the colour of the plain sheet that a leaf lies on, from the edge of the photo; None where there is none."""
    height, width = colours.light.shape
    edge = np.ones((height, width), dtype=bool)
    rows, columns = max(1, int(height * _EDGE)), max(1, int(width * _EDGE))
    edge[rows:-rows, columns:-columns] = False
    needed = _SHEET_SHARE * edge.sum()
    points = np.stack([colours.over_red[edge], colours.over_blue[edge]], axis=1)
    dull = (points > [_DULL_RED[0], _DULL_BLUE[0]]).all(axis=1) & (points < [_DULL_RED[1], _DULL_BLUE[1]]).all(axis=1)
    light, points = colours.light[edge][dull], points[dull]
    if len(points) < needed:
        return None
    centre = _commonest(points)
    for _ in range(3):  # mean shift with a median; it stands still after two or three steps
        near = np.hypot(*(points - centre).T) < _ONE_COLOUR
        if near.sum() < max(needed, _SHEET_PURE * len(points)):
            return None
        centre = np.median(points[near], axis=0)
    return _Sheet(float(centre[0]), float(centre[1]), float(np.median(light[near])))


def _commonest(points: Values) -> NDArray[np.float64]:
    """Return the middle of the fullest cell, neighbours counted in."""
    bins = [np.arange(low, high + _CELL / 2, _CELL) for low, high in (_DULL_RED, _DULL_BLUE)]
    counts, _ = np.histogramdd(points.astype(np.float64), bins=bins)
    cell = np.unravel_index(ndimage.uniform_filter(counts, 3, mode="constant").argmax(), counts.shape)
    return np.array([edges[at] + _CELL / 2 for edges, at in zip(bins, cell, strict=True)])


def _leaf_on_sheet(colours: _Colours, sheet: _Sheet) -> Flags:
    greener = colours.over_red - sheet.over_red
    yellower = colours.over_blue - sheet.over_blue
    needed = np.where(colours.light < _DARK * sheet.light, _YELLOWER_IN_DARK, _YELLOWER)
    leaf = (greener > _GREENER) | ((yellower > needed) & (colours.light > _BLACK * sheet.light))
    leaf = _closed(_large(ndimage.binary_opening(leaf, _disk(1)), _SMALLEST_LEAF * leaf.size), 2)
    return _filled(leaf, np.hypot(greener, yellower) > _ONE_COLOUR)


def _leaf_in_field(colours: _Colours) -> Flags:
    over_blue, over_red = _FIELD_YELLOW
    leaf = (colours.over_red > _FIELD_GREEN) & (colours.over_blue > _FIELD_BLUE)
    leaf |= (colours.over_blue > over_blue) & (colours.over_red > over_red)
    leaf &= colours.light > _FIELD_DARK
    leaf = _closed(_large(leaf, _SMALLEST_LEAF * leaf.size), _RIM)
    opened: Flags = ndimage.binary_opening(_filled(leaf, np.zeros_like(leaf)), _disk(1))
    return opened


def _discoloured(colours: _Colours, leaf: Flags, tint: float) -> Flags:
    """Return the discoloured pixels of the leaf; `tint` is green over red of something grey in this light."""
    if not leaf.any():
        return leaf
    over_red = colours.over_red - tint
    least = np.clip(_OF_THE_LEAF * np.percentile(over_red[leaf], _MOST_OF_THE_LEAF), *_LIMITS)
    brown = colours.green < colours.red * np.exp(least + tint) - _BARELY
    yellow = (colours.over_blue > _YELLOW[0]) & (over_red < _YELLOW[1])
    found = leaf & (brown | yellow)
    inside = _eroded(leaf, _RIM)
    found &= ndimage.binary_dilation(found & inside, _disk(_RIM))  # the rim counts where damage reaches it from inside
    return _large(found, _SMALLEST_SPOT)


def _heated(leaf: Flags, heat: NDArray[np.floating]) -> Flags:
    """Keep the connected parts of the leaf that reach half of the strongest heat."""
    picture = Image.fromarray(np.asarray(heat, dtype=np.float32)).resize(leaf.shape[::-1], Image.Resampling.BILINEAR)
    warmth = np.asarray(picture)
    parts, _ = ndimage.label(leaf)
    kept = np.unique(parts[leaf & (warmth >= warmth.max() / 2)])
    return np.isin(parts, kept[kept > 0])


def _filled(leaf: Flags, tissue: Flags) -> Flags:
    """Fill the holes that are small or mostly tissue."""
    holes, _ = ndimage.label(ndimage.binary_fill_holes(leaf) & ~leaf)
    sizes = np.bincount(holes.ravel())
    of_tissue = np.bincount(holes.ravel(), weights=tissue.ravel())
    wanted = (sizes <= _LARGEST_HOLE * leaf.size) | (of_tissue >= sizes / 2)
    wanted[0] = False
    filled: Flags = leaf | wanted[holes]
    return filled


def _large(flags: Flags, least: float) -> Flags:
    """Keep the connected parts of at least so many pixels."""
    parts, _ = ndimage.label(flags)
    sizes = np.bincount(parts.ravel())
    wanted = sizes >= least
    wanted[0] = False
    kept: Flags = wanted[parts]
    return kept


def _closed(flags: Flags, radius: int) -> Flags:
    """Close gaps; the photo is continued beyond its edge."""
    padded = np.pad(flags, 2 * radius, mode="edge")
    closed: Flags = ndimage.binary_closing(padded, _disk(radius))[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    return closed


def _eroded(flags: Flags, radius: int) -> Flags:
    """Take off the rim, but not at the edge of the photo."""
    padded = np.pad(flags, radius, mode="edge")
    inside: Flags = ndimage.binary_erosion(padded, _disk(radius))[radius:-radius, radius:-radius]
    return inside


def _disk(radius: int) -> Flags:
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk: Flags = rows**2 + columns**2 <= radius**2 + 0.5
    return disk


def _resized(flags: Flags, size: tuple[int, int]) -> Flags:
    return np.asarray(Image.fromarray(flags).resize(size, Image.Resampling.NEAREST))
