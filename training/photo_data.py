"""Labelled photos for training: which there are, their pixels, and how they are varied so that few of them teach much."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from agri_llm.errors import BadInput
from agri_llm.photos.pixels import UNREADABLE

STORED = 256  # pixels of a side: photos are kept in this size while a model trains
SPLITS = ("train", "validation", "test")
SHARES = (0.7, 0.15)  # of a folder without splits: training and validation, the rest is for the test
TABLE = "metadata.csv"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, kw_only=True)
class LabelledPhoto:
    """A photo and what it shows; `domain` is "lab", "field" or "", `source` where it came from."""

    path: Path
    label: str
    split: str
    domain: str = ""
    source: str = ""

    @property
    def crop(self) -> str:
        """The part of the label before the two underscores."""
        return self.label.split("__")[0]


def read(folder: Path) -> list[LabelledPhoto]:
    """Return the photos of a folder: as its metadata.csv says, or one folder per label, split by their contents.

    Raises BadInput where there is no photo, or a row names no label, split or file.
    """
    table = folder / TABLE
    if table.is_file():
        return _listed(table)
    photos = [
        LabelledPhoto(path=path, label=path.parent.name, split=_split(path))
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    if not photos:
        raise BadInput(
            f"{folder} holds no photos",
            "there is nothing to learn from",
            "give a folder with metadata.csv (file_name, label, split), or with one folder of photos for each label",
        )
    return photos


def _listed(table: Path) -> list[LabelledPhoto]:
    photos = []
    try:
        text = table.read_text(encoding="utf-8-sig")  # Excel writes a byte order mark, which would belong to the first name
    except UnicodeDecodeError as error:
        raise BadInput(f"{table} is not UTF-8", "its labels cannot be read", "save it as CSV in UTF-8") from error
    for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2):
        path, label, split = table.parent / (row.get("file_name") or ""), row.get("label"), row.get("split")
        if not label or split not in SPLITS or not path.is_file():
            raise BadInput(
                f"Line {number} of {table.name} cannot be used (label {label!r}, split {split!r}, file {path.name!r})",
                f"each line needs a file that is there, a label, and a split of {', '.join(SPLITS)}",
                "correct that line",
            )
        photos.append(
            LabelledPhoto(path=path, label=label, split=split, domain=row.get("domain") or "", source=row.get("source") or "")
        )
    return photos


def _split(path: Path) -> str:
    """Return the split of a photo, by its contents: copies of one photo are on one side."""
    place = int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:4], "big") / 2**32
    return SPLITS[0] if place < SHARES[0] else SPLITS[1] if place < sum(SHARES) else SPLITS[2]


def pixels(photos: Sequence[LabelledPhoto]) -> NDArray[np.uint8]:
    """Read photos as (photos, 3, STORED, STORED), each stretched to a square."""
    found = np.empty((len(photos), 3, STORED, STORED), dtype=np.uint8)
    for at, photo in enumerate(photos):
        try:
            with Image.open(photo.path, formats=["JPEG", "PNG", "WEBP"]) as image:
                whole = image.convert("RGB").resize((STORED, STORED), Image.Resampling.BICUBIC)
        except (*UNREADABLE, Image.DecompressionBombError) as error:
            raise BadInput(
                f"{photo.path} cannot be read", str(error) or type(error).__name__, "take it out of the folder or repair it"
            ) from error
        found[at] = np.asarray(whole).transpose(2, 0, 1)
    return found


def varied(photos: Tensor, size: int, smallest: float, colour: float) -> Tensor:
    """Turn, mirror, cut, tint and blur photos in 0–1, (photos, 3, side, side), at random; returns (photos, 3, size, size).

    Leaves lie in any direction, light has any colour, and the distance differs: none of it may decide.
    """
    count = len(photos)
    grid = functional.affine_grid(_places(count, smallest), [count, 3, size, size], align_corners=False)
    seen = functional.grid_sample(photos, grid, padding_mode="reflection", align_corners=False)
    seen = _lit(seen, colour)
    soft = torch.rand(count) < 0.15
    if soft.any():
        small = functional.interpolate(seen[soft], scale_factor=0.5, mode="bilinear", align_corners=False)
        seen[soft] = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    return seen.clamp(0, 1)


def _places(count: int, smallest: float) -> Tensor:
    """Return matrices (photos, 2, 3) that turn, mirror, stretch and cut."""
    side = torch.sqrt(torch.rand(count) * (1.1 - smallest) + smallest)
    stretch = torch.exp((torch.rand(count) - 0.5) * 0.5)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    quarter = torch.randint(0, 4, (count,)) * (math.pi / 2)
    turn = torch.where(torch.rand(count) < 0.5, quarter, torch.rand(count) * 2 * math.pi)
    cosine, sine, wide, high = torch.cos(turn), torch.sin(turn), side * stretch, side / stretch
    room = (1 - side).clamp(min=0)
    across, down = (torch.rand(count) * 2 - 1) * room, (torch.rand(count) * 2 - 1) * room
    rows = [
        torch.stack([cosine * wide * mirror, -sine * high, across], 1),
        torch.stack([sine * wide * mirror, cosine * high, down], 1),
    ]
    return torch.stack(rows, 1)


def _lit(photos: Tensor, strength: float) -> Tensor:
    """Change light, tint, contrast, saturation and gamma of each photo."""

    def factor(channels: int = 1, share: float = 1.0) -> Tensor:
        return 1 + (torch.rand(len(photos), channels, 1, 1) * 2 - 1) * strength * share

    photos = photos * factor() * factor(3, 0.35)
    mean = photos.mean((2, 3), keepdim=True)
    photos = (photos - mean) * factor() + mean
    grey = photos.mean(1, keepdim=True)
    photos = (photos - grey) * factor() + grey
    return photos.clamp(0, 1) ** torch.exp((torch.rand(len(photos), 1, 1, 1) * 2 - 1) * strength)


def mixed(photos: Tensor, targets: Tensor, mixup: float) -> tuple[Tensor, Tensor]:
    """Lay each photo over another one, and its target over that one's (Zhang et al., mixup, arXiv 1710.09412)."""
    if mixup <= 0:
        return photos, targets
    share = torch.distributions.Beta(mixup, mixup).sample()
    other = torch.randperm(len(photos))
    return share * photos + (1 - share) * photos[other], share * targets + (1 - share) * targets[other]
