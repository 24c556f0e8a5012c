"""Whether a photo is like those that a photo model learned from: a sum of several signs, fitted on photos of both kinds.

Signs, in what the network sees at several depths (views): how near the photo lies to typical ones it learned from (the
nearest-neighbour distance of Sun et al., arXiv 2204.06507), and how much better the nearest label explains it than the spread
of all photos does (the relative Mahalanobis distance of Ren et al., arXiv 2106.09022); besides, the energy of the logits (Liu
et al., arXiv 2010.03759) and the highest share. Each sign is counted in standard deviations of photos that are in scope.
benchmarks/photos.py compares each alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agri_llm.errors import ModelMissing

Values = NDArray[np.float32]
TYPICAL, FACTS = "scope.safetensors", "scope.json"
NEIGHBOURS = 3
FAR, NEAR = -8.0, 4.0  # standard deviations beyond which a sign says nothing more


@dataclass(frozen=True, kw_only=True)
class View:
    """What photos in scope look like at one depth of a network.

    `typical` are unit features of typical photos (typical, dimensions). `means` (labels, dimensions) and `within` (dimensions,
    dimensions), which makes the spread around them round, describe the labels; `middle` and `whole` all photos together. They
    are None where only nearness counts.
    """

    typical: Values
    means: Values | None = None
    within: Values | None = None
    middle: Values | None = None
    whole: Values | None = None

    def nearness(self, seen: Values) -> Values:
        """Return the mean cosine with the nearest typical photos, (photos,)."""
        nearest: Values = np.sort(unit(seen) @ self.typical.T, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
        return nearest

    def fit(self, seen: Values) -> Values | None:
        """Return how much better the nearest label explains photos than all photos together do, (photos,)."""
        if self.means is None or self.within is None or self.middle is None or self.whole is None:
            return None
        rounded, centres = seen @ self.within, self.means @ self.within
        to_labels = np.stack([((rounded - centre) ** 2).sum(axis=1) for centre in centres], axis=1).min(axis=1)
        to_all: Values = (((seen - self.middle) @ self.whole) ** 2).sum(axis=1)
        fit: Values = to_all - to_labels
        return fit


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a model knows: its views, how signs are scaled (`centre`, `spread`), how they are weighed, and from where on."""

    views: tuple[View, ...]
    centre: dict[str, float]
    spread: dict[str, float]
    weights: dict[str, float]
    threshold: float

    @classmethod
    def open(cls, folder: Path) -> Known | None:
        """Read what `save` wrote; None where there is nothing. Raises ModelMissing where it is damaged or old."""
        if not (folder / FACTS).is_file():
            return None
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            views: dict[str, dict[str, Values]] = {}
            for name, values in load_file(folder / TYPICAL).items():
                number, _, part = name.partition(".")
                views.setdefault(number, {})[part] = values.astype(np.float32)
            return cls(views=tuple(View(**views[number]) for number in sorted(views)), **facts)
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise ModelMissing(
                f"What the photo model in {folder} knows cannot be read ({error})",
                "without it the model cannot tell plants that it never learned",
                "train it with this version, or set AGRI_PHOTO_MODEL to another one",
            ) from error

    def save(self, folder: Path) -> None:
        """Write it beside the model; nothing pickled. Typical photos are kept in half precision, as only their angle counts."""
        arrays = {
            f"{number}.{part}": values.astype(np.float16) if part == "typical" else values.astype(np.float32)
            for number, view in enumerate(self.views)
            for part, values in vars(view).items()
            if values is not None
        }
        save_file(arrays, folder / TYPICAL)
        facts = {name: value for name, value in vars(self).items() if name != "views"}
        (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")

    def scores(self, views: Sequence[Values], logits: Values) -> Values:
        """Return how surely each photo is in scope, (photos,), 0–1."""
        return self.judged(scaled(signs(views, logits, self.views), self.centre, self.spread))

    def judged(self, found: dict[str, Values]) -> Values:
        """Return how surely photos with these scaled signs are in scope, (photos,), 0–1."""
        total = self.weights["bias"] + sum(self.weights[name] * values for name, values in found.items())
        return (1 / (1 + np.exp(-total))).astype(np.float32)


def signs(views: Sequence[Values], logits: Values, known: Sequence[View]) -> dict[str, Values]:
    """Return the signs of being known, (photos,) each, higher for what is known; `views` are (photos, dimensions) each."""
    highest = logits.max(axis=1, keepdims=True)
    powers = np.exp(logits - highest)
    found: dict[str, Values] = {
        "energy": highest[:, 0] + np.log(powers.sum(axis=1)),
        "share": powers.max(axis=1) / powers.sum(axis=1),
    }
    for number, (seen, view) in enumerate(zip(views, known, strict=True)):
        found[f"nearness {number}"] = view.nearness(seen)
        fit = view.fit(seen)
        if fit is not None:
            found[f"fit {number}"] = fit
    return found


def scaled(found: dict[str, Values], centre: dict[str, float], spread: dict[str, float]) -> dict[str, Values]:
    """Return signs in standard deviations of photos in scope, within FAR and NEAR."""
    return {name: np.clip((values - centre[name]) / spread[name], FAR, NEAR) for name, values in found.items()}


def unit(features: Values) -> Values:
    """Return features with length 1."""
    shortened: Values = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    return shortened
