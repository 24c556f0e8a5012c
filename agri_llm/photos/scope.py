"""Whether a photo is like those that a photo model learned from: a sum of several signs, fitted on photos of both kinds.

Signs: nearness to the photos it learned from (the k-nearest-neighbour distance of Sun et al., arXiv 2204.06507, to a few
typical ones of each label), energy (Liu et al., arXiv 2010.03759), and the highest share.
benchmarks/photos.py compares each alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Values = NDArray[np.float32]
TYPICAL, FACTS = "scope.safetensors", "scope.json"
NEIGHBOURS = 3


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a model knows: unit features of typical photos (typical, dimensions), and how the signs are weighed."""

    typical: Values
    weights: dict[str, float]
    threshold: float

    @classmethod
    def open(cls, folder: Path) -> Known | None:
        """Read what `save` wrote; None where there is nothing."""
        if not (folder / FACTS).is_file():
            return None
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return cls(typical=load_file(folder / TYPICAL)["typical"].astype(np.float32), **facts)

    def save(self, folder: Path) -> None:
        """Write it beside the model; half precision, nothing pickled."""
        save_file({"typical": self.typical.astype(np.float16)}, folder / TYPICAL)
        facts = {name: value for name, value in asdict(self).items() if name != "typical"}
        (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")

    def scores(self, features: Values, logits: Values) -> Values:
        """Return how surely each photo is in scope, (photos,), 0–1."""
        found = signs(features, logits, self.typical)
        total = self.weights["bias"] + sum(self.weights[name] * values for name, values in found.items())
        return (1 / (1 + np.exp(-total))).astype(np.float32)


def signs(features: Values, logits: Values, typical: Values) -> dict[str, Values]:
    """Return the signs of being known, (photos,) each, higher for what is known."""
    nearness = np.sort(unit(features) @ typical.T, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    highest = logits.max(axis=1, keepdims=True)
    powers = np.exp(logits - highest)
    energy = highest[:, 0] + np.log(powers.sum(axis=1))
    return {"nearness": nearness, "energy": energy, "share": powers.max(axis=1) / powers.sum(axis=1)}


def unit(features: Values) -> Values:
    """Return features with length 1."""
    scaled: Values = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    return scaled
