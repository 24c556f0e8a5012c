"""Weigh the signs of scope by what models that were trained without some crops make of those crops; `agri train scope RUNS`.

A model can tell plants it never learned only by signs that were tried on such plants. Runs with `leave_out` give them: what
each sign says of a crop that the run never saw, in standard deviations of the photos that it knows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agri_llm import vision
from agri_llm.errors import BadInput
from agri_llm.photos.scope import Known, Values, scaled, signs
from agri_llm.vision import PhotoModel, Seen
from training import calibration, outsiders, photos
from training.photo_config import PhotoConfig
from training.photos import Eyes, Photos

Signs = dict[str, Values]
DRAWN = 60  # pictures without a plant


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What a run with crops left out makes of photos: `inside` and crops it never saw, `validation` and `test` of each."""

    left_out: str
    inside: dict[str, Signs]
    plants: dict[str, Signs]
    others: dict[str, Signs]  # background and drawings


def fold(run: Path, whole: Photos) -> Fold:
    """Look with a run's model at photos that it knows, and at those that it does not. Raises BadInput where it knows all."""
    model, known = opened(run)
    names = left_out_by(run)
    crops = np.array([photo.crop in names for photo in whole.listed])
    if not crops.any():
        raise BadInput(f"{run} left no crop out", "it shows nothing of plants it does not know", "train it with leave_out")
    own = ~crops & np.array([photo.source not in names and photo.label != vision.BACKGROUND for photo in whole.listed])
    ground = np.array([photo.label == vision.BACKGROUND for photo in whole.listed])
    eyes = Eyes(model.network, looking(model))

    def of(seen: Seen) -> Signs:
        return scaled(signs(seen.views, seen.logits, known.views), known.centre, known.spread)

    parts: dict[str, dict[str, Signs]] = {"inside": {}, "plants": {}, "others": {}}
    for seed, split in enumerate(("validation", "test")):
        rows = np.array([photo.split == split for photo in whole.listed])
        for name, chosen in (("inside", own), ("plants", crops)):
            parts[name][split] = of(eyes.look(whole.pixels[rows & chosen], exactly=False))
        drawn = outsiders.drawn(DRAWN, seed + 1)
        parts["others"][split] = of(eyes.look(np.concatenate([whole.pixels[rows & ground], drawn]), exactly=False))
    return Fold(left_out=",".join(names), **parts)


def left_out_by(run: Path) -> list[str]:
    """Return the crops and sources that a run left out."""
    trained = json.loads((run / "model" / vision.ABOUT).read_text(encoding="utf-8"))["trained"]
    return [name.strip() for name in str(trained["leave_out"]).split(",")]


def looking(model: PhotoModel) -> PhotoConfig:
    """Return a configuration with which stored photos are looked at as the model wants them."""
    return PhotoConfig(data=Path(), model=model.name, out=Path(), size=model.reading.size)


def opened(run: Path) -> tuple[PhotoModel, Known]:
    """Open the model of a run and what it knows. Raises BadInput where the run is not finished."""
    known = Known.open(run / "model")
    if known is None:
        raise BadInput(f"{run} holds no finished model", "its training has not ended", "train it to the end first")
    return PhotoModel(run / "model"), known


def weighed(known: Known, own: Signs, folds: Sequence[Fold]) -> Known:
    """Return what a model knows with signs weighed by folds; the threshold is set by its `own` photos in scope."""
    inside = [each.inside["validation"] for each in folds]
    outside = [part["validation"] for each in folds for part in (each.plants, each.others)]
    return calibration.weighed(known.views, known.centre, known.spread, inside, outside, own)


def refit(into: Path, runs: Sequence[Path], data: Path) -> Known:
    """Weigh the signs of a model by runs that were trained without some crops, and save that with the model."""
    whole = photos.load(data)
    model, known = PhotoModel(into), Known.open(into)
    if known is None:
        raise BadInput(f"{into} holds no photo model of ours", "nothing says what it knows", "give the folder `model` of a run")
    eyes = Eyes(model.network, looking(model))
    rows = [row for row in whole.rows("validation") if whole.listed[row].label != vision.BACKGROUND]
    seen = eyes.look(whole.pixels[rows])
    own = scaled(signs(seen.views, seen.logits, known.views), known.centre, known.spread)
    found = weighed(known, own, [fold(run, whole) for run in runs])
    found.save(into)
    return found
