"""Lay leaves that were photographed on a sheet on other grounds, so that the sheet does not tell the label.

Photos of one label mostly come from one place with one kind of sheet. What is learned of the sheet is lost in the field, and
under the sheet of somebody else.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from agri_llm.photos.leaf_area import leaf_on_sheet

SIDE = 128  # pixels of a side of a mask
SHARES = (0.05, 0.95)  # of the photo: a smaller or larger leaf is not cut out, the mask may be wrong


def leaves(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where the leaf is, (photos, SIDE, SIDE), of photos (photos, 3, side, side); all of it where no sheet is seen."""
    found = np.ones((len(pixels), SIDE, SIDE), dtype=bool)
    for at, photo in enumerate(pixels):
        leaf = leaf_on_sheet(Image.fromarray(photo.transpose(1, 2, 0)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        if leaf is not None and SHARES[0] <= leaf.mean() <= SHARES[1]:
            found[at] = leaf
    return found


def swapped(photos: Tensor, leaves: Tensor, scenes: Tensor, chance: float) -> Tensor:
    """Give some photos, (photos, 3, side, side) in 0–1, another ground: a sheet, blurred colours, or one of the scenes.

    `leaves` are (photos, SIDE, SIDE), 1 where the leaf is; `scenes` are photos without leaves of the same size, or none.
    """
    rows = torch.argwhere((torch.rand(len(photos)) < chance) & (leaves.mean((1, 2)) < 1))[:, 0]
    if not len(rows):
        return photos
    count, side = len(rows), photos.shape[-1]
    blurred = functional.interpolate(photos[torch.randint(0, len(photos), (count,))], (6, 6), mode="bilinear", antialias=True)
    grounds = torch.stack([_sheets(count, side), functional.interpolate(blurred, (side, side), mode="bicubic")])
    if len(scenes):
        grounds = torch.cat([grounds, scenes[torch.randint(0, len(scenes), (count,))][None]])
    chosen = grounds[torch.randint(0, len(grounds), (count,)), torch.arange(count)]
    leaf = functional.interpolate(leaves[rows, None], (side, side), mode="bilinear")
    laid = photos.clone()
    laid[rows] = (leaf * photos[rows] + (1 - leaf) * chosen).clamp(0, 1)
    return laid


def _sheets(count: int, side: int) -> Tensor:
    """Return plain sheets of any light and tint, brighter to one side, with some grain."""
    colour = torch.rand(count, 1, 1, 1) * 0.8 + 0.15 + (torch.rand(count, 3, 1, 1) - 0.5) * 0.2
    slope = functional.interpolate(torch.rand(count, 1, 2, 2), (side, side), mode="bilinear", align_corners=True)
    grain = torch.randn(count, 1, side, side) * 0.04 * torch.rand(count, 1, 1, 1)
    return (colour * (0.75 + 0.5 * slope) + grain).clamp(0, 1)
