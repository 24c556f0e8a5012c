"""A crop photo → what it seems to show, how sure that is, and whether it is anything the model was trained for.

A diagnosis is a hypothesis. Its confidence is the share of right answers among those given with it (temperature scaling: Guo et
al., arXiv 1706.04599); its scope says whether the photo looks like those the model learned from at all. Several photos of one
plant count together.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agri_llm.errors import SettingsInvalid
from agri_llm.photos import scope
from agri_llm.photos.heat import heat, picture
from agri_llm.photos.leaf_area import affected_area
from agri_llm.photos.networks import last_layer as last_layer
from agri_llm.photos.networks import loaded as loaded
from agri_llm.photos.networks import network as network
from agri_llm.photos.networks import views_and_logits as views_and_logits
from agri_llm.photos.quality import quality
from agri_llm.records import BACKGROUND as BACKGROUND
from agri_llm.records import HEALTHY, Diagnosis, Scope

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Values = NDArray[np.float32]
SHIPPED = str(Path(__file__).parent / "photo_model")  # trained by training/configs/photos.yaml; its README.md says from what
ABOUT = "photo.json"  # beside a model of ours: how its figures are read
# Crops that the labels call otherwise than the glossary.
CROPS = {"common_bean": "bean", "bell_pepper": "chilli", "rice_pest": "rice"}
ALTERNATIVES = 3
HALF = 0.5  # a photo that rather shows another crop than the one named makes nothing certain, and everything less likely
TOGETHER = 4  # photos (and mirror images) that go through the network at once; more are slower on a processor


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the figures of a photo model are read; fitted on validation photos by `training.calibration`."""

    size: int = 224  # pixels of a side of what the network sees
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    temperature: float = 1.0
    certain_at: float = 0.9  # confidence from which on a diagnosis counts as certain


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the network makes of photos: `views` (photos, dimensions) at several depths, the last one before the last layer,
    and logits (photos, labels).
    """

    views: tuple[Values, ...]
    logits: Values

    @property
    def features(self) -> Values:
        """What goes into the last layer, (photos, dimensions)."""
        return self.views[-1]

    def of(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Seen:
        """Return what was seen of some of the photos."""
        return Seen(views=tuple(view[rows] for view in self.views), logits=self.logits[rows])

    @classmethod
    def joined(cls, parts: Sequence[Seen]) -> Seen:
        """Return what was seen of all photos of several parts, one after another."""
        views = tuple(np.concatenate(each) for each in zip(*(part.views for part in parts), strict=True))
        return cls(views=views, logits=np.concatenate([part.logits for part in parts]))


class PhotoModel:
    """An image classifier with calibrated confidence; loaded on first use, safe to share between threads."""

    def __init__(self, folder: str | Path, names: Mapping[str, str] | None = None) -> None:
        """Take a model of ours, or any transformers image classifier, by folder or name; `names` says what its labels mean."""
        self.name = str(folder)
        self._names = dict(names or {})
        self._lock = threading.RLock()
        self._loaded: PreTrainedModel | None = None

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What it can tell apart, "crop__condition" each, in the order of its logits."""
        named = self.network.config.id2label
        unknown = sorted(set(self._names) - set(named.values()))
        if unknown:
            raise SettingsInvalid(
                f"AGRI_PHOTO_LABELS names {unknown[0]!r}",
                f"the photo model {self.name!r} has no such label",
                f"use those it has, like {named[0]!r}",
            )
        return tuple(self._names.get(named[at], named[at]) for at in range(len(named)))

    def labels_of(self, crop: str | None) -> tuple[str, ...]:
        """Return what can befall a crop; every label where none is named, or one that it never learned."""
        return tuple(label for label in self.labels if crop_of(label) == crop) or self.labels

    def diagnose(self, photos: Sequence[Image.Image], *, crop: str | None = None, with_heat: bool = False) -> Diagnosis:
        """Say what photos of one plant seem to show; raises ValueError without a photo, ModelMissing.

        With a `crop` (an id of the glossary) only what can befall it is considered; one that the model never learned is out of
        scope. Photos that are too dark, blurred and so on do not count, unless all are: then the diagnosis names what is wrong.
        """
        if not photos:
            raise ValueError("a diagnosis needs at least one photo")
        states = [quality(photo) for photo in photos]
        good = [photo for photo, state in zip(photos, states, strict=True) if state == "good"]
        used = good or list(photos)
        found = self.judge(self.look(used), crop)
        places = self.heat(used[0], found.label) if with_heat else None
        area = 0.0 if found.label.endswith(HEALTHY) else affected_area(used[0], heat=places).percent
        return replace(
            found,
            quality="good" if good else states[0],
            certain=found.certain and bool(good),
            affected_area_percent=round(area, 1) if found.scope == "in" else None,
            heatmap=None if places is None else picture(used[0], places),
        )

    def heat(self, photo: Image.Image, label: str) -> Values | None:
        """Return which places of a photo speak for a label, (rows, columns), 0–1; None where the network keeps no places."""
        import torch

        with self._lock:
            return heat(self.network, torch.from_numpy(self.pixels([photo])), self.labels.index(label))

    def judge(self, seen: Seen, crop: str | None = None) -> Diagnosis:
        """Say what photos of one plant that the network has seen show together."""
        of_crop = np.array([crop is None or crop_of(label) in (crop, BACKGROUND) for label in self.labels])
        foreign = crop is not None and not any(crop_of(label) == crop for label in self.labels)
        first = np.array([self.labels.index(label) for label in self.labels])  # one label of ours may be several of theirs
        considered = (np.ones_like(of_crop) if foreign else of_crop) & (first == np.arange(len(first)))
        shares = np.bincount(first, self.shares(seen.logits).mean(axis=0), len(first)) * considered
        agreed = float(shares.sum())  # how much of what the photo shows fits the crop that was named
        shares = shares / max(agreed, HALF)
        order = [at for at in np.argsort(-shares, kind="stable") if considered[at]]
        best = int(order[0])
        score = self.in_scope(seen)
        where: Scope = "in" if self.known is None or score >= self.known.threshold else "unknown_plant"
        if foreign:
            where = "unknown_plant"
        if self.labels[best] == BACKGROUND:
            where = "not_a_plant"
        return Diagnosis(
            label=self.labels[best],
            confidence=float(shares[best]),
            certain=where == "in" and agreed >= HALF and float(shares[best]) >= self.reading.certain_at,
            alternatives=tuple((self.labels[at], float(shares[at])) for at in order[1 : 1 + ALTERNATIVES]),
            scope=where,
            scope_score=score,
        )

    def shares(self, logits: Values) -> Values:
        """Return calibrated probabilities (photos, labels)."""
        scaled = logits / self.reading.temperature
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares: Values = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def in_scope(self, seen: Seen) -> float:
        """Return how surely photos of one plant belong to what the model learned, 0–1; 1 where nobody fitted that."""
        return 1.0 if self.known is None else float(self.known.scores(seen.views, seen.logits).mean())

    def look(self, photos: Sequence[Image.Image]) -> Seen:
        """Run photos through the network, in batches."""
        import torch

        model, found = self.network, list[Seen]()  # loaded out here: weights made in inference mode could give no heat map
        for start in range(0, len(photos), TOGETHER):
            pixels = torch.from_numpy(self.pixels(photos[start : start + TOGETHER]))
            with self._lock, torch.inference_mode():
                views, logits = views_and_logits(model, pixels)
            found.append(Seen(views=tuple(view.numpy() for view in views), logits=logits.numpy()))
        return Seen.joined(found)

    def pixels(self, photos: Sequence[Image.Image]) -> Values:
        """Return photos as the network takes them, (photos, 3, size, size), each stretched to a square."""
        size = (self.reading.size, self.reading.size)
        squares = [np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BILINEAR)) for photo in photos]
        whole = np.stack(squares).astype(np.float32) / 255
        scaled = (whole - np.array(self.reading.mean, np.float32)) / np.array(self.reading.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    @cached_property
    def reading(self) -> Reading:
        """How its figures are read."""
        about = Path(self.name) / ABOUT
        if about.is_file():
            return Reading(**json.loads(about.read_text(encoding="utf-8"))["reading"])
        return reading_of(self.name)

    @cached_property
    def known(self) -> scope.Known | None:
        """What is known of the photos it learned from; None where nobody fitted that."""
        return scope.Known.open(Path(self.name))

    @property
    def network(self) -> PreTrainedModel:
        """The network, loaded on first use. Raises ModelMissing."""
        with self._lock:  # transformers cannot load in two threads at once
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> PreTrainedModel:
        return network(self.name)


def crop_of(label: str) -> str:
    """Return the crop of a label, "crop__condition", by the id that the glossary has for it."""
    name = label.split("__")[0]
    return CROPS.get(name, name.replace("_", "-"))


def reading_of(name: str) -> Reading:
    """Return how a model of others wants its photos, by its preprocessor_config.json. Raises ModelMissing."""
    from transformers import AutoImageProcessor

    processor = loaded(AutoImageProcessor.from_pretrained, name)
    wanted = getattr(processor, "crop_size", None) or processor.size
    size = int(wanted.get("height") or wanted.get("shortest_edge") or Reading.size)
    return Reading(size=size, mean=tuple(processor.image_mean), std=tuple(processor.image_std))
