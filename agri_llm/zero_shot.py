"""A crop photo → what it seems to show, by a model that compares photos with texts (CLIP, SigLIP): no training on labels.

The texts of a label, in one language or several, become one direction; a photo belongs to the label whose direction is nearest
(Radford et al., arXiv 2103.00020). Nobody has compared such shares with right answers, so nothing is certain, unless a
photo.json beside the model says how its figures are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from agri_llm.errors import ModelMissing
from agri_llm.photos import scope
from agri_llm.photos.networks import loaded
from agri_llm.vision import ABOUT, TOGETHER, PhotoModel, Reading, Seen, Values

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SIGMOID_KINDS = frozenset({"siglip", "siglip2"})  # trained with a sigmoid for each pair, on texts filled up to one length
KINDS = SIGMOID_KINDS | {"clip", "chinese_clip", "altclip", "metaclip_2"}  # values of model_type in config.json
NEVER = 2.0  # no confidence reaches it
ALIKE = 1e-6  # of the cosine: rounding in single precision; texts that differ in one word lie further apart


def compares_texts(name: str) -> bool:
    """Whether a model, by folder or name, compares photos with texts, by its config.json. Raises ModelMissing."""
    from transformers import PreTrainedConfig

    config, _ = loaded(PreTrainedConfig.get_config_dict, name)
    return config.get("model_type") in KINDS


class ZeroShotModel(PhotoModel):
    """A CLIP or SigLIP model with texts for labels; no heat map, and never certain without a photo.json of its own."""

    def __init__(self, folder: str | Path, texts: Mapping[str, Sequence[str]]) -> None:
        """Take a model by folder or name, and for every label, "crop__condition", the texts that say it."""
        super().__init__(folder)
        self._texts = {label: tuple(said) for label, said in texts.items()}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What it can tell apart, in the order of its logits."""
        return tuple(self._texts)

    @cached_property
    def reading(self) -> Reading:
        """How its figures are read: temperature and certainty; its photos are prepared by its own rules."""
        about = Path(self.name) / ABOUT
        if about.is_file():
            return Reading(**json.loads(about.read_text(encoding="utf-8"))["reading"])
        return Reading(certain_at=NEVER)

    def heat(self, photo: Image.Image, label: str) -> Values | None:
        """Return None: nothing here says which places speak for a text."""
        return None

    def in_scope(self, seen: Seen) -> float:
        """Return how well the best label fits, 0–1: SigLIP's own sigmoid, or the cosine for CLIP; no threshold was fitted."""
        if self.known is not None:
            return super().in_scope(seen)
        if self._by_sigmoid:
            best = 1 / (1 + np.exp(-seen.logits.max(axis=1).astype(np.float64)))
        else:
            best = np.clip((seen.features @ self._directions.T).max(axis=1), 0, 1)
        return float(best.mean())

    def look(self, photos: Sequence[Image.Image]) -> Seen:
        """Compare photos with the texts, in batches; features are unit directions of the photos."""
        import torch

        model, found = self.network, list[Values]()
        for start in range(0, len(photos), TOGETHER):
            pictures = [photo.convert("RGB") for photo in photos[start : start + TOGETHER]]
            with self._lock, torch.inference_mode():
                inputs = self._prepare(images=pictures, return_tensors="pt")
                found.append(_unit(model.get_image_features(**inputs)))
        features = np.concatenate(found)
        logits = float(model.logit_scale.detach().exp()) * features @ self._directions.T
        if self._by_sigmoid:
            logits += float(model.logit_bias.detach())
        return Seen(views=(features,), logits=logits.astype(np.float32))

    @cached_property
    def _directions(self) -> Values:
        """The mean direction of the texts of each label, (labels, dimensions), length 1."""
        directions = scope.unit(np.stack([_unit(self._said(texts)).mean(axis=0) for texts in self._texts.values()]))
        for at, one in enumerate(directions):
            if (same := np.flatnonzero(np.isclose(directions[:at] @ one, 1, rtol=0, atol=ALIKE))).size:
                raise ModelMissing(
                    f"The photo model {self.name!r} reads {self.labels[same[0]]!r} and {self.labels[at]!r} alike",
                    "it does not know the words that tell our labels apart, or its tokenizer is not there",
                    "set AGRI_PHOTO_LANGUAGES to languages it learned, or use another model",
                )
        return directions

    def _said(self, texts: Sequence[str]) -> Any:
        """Run texts through the network."""
        import torch
        from transformers import AutoTokenizer

        model = self.network
        with self._lock, torch.inference_mode():
            tokenizer = loaded(AutoTokenizer.from_pretrained, self.name)
            longest = model.config.get_text_config().max_position_embeddings
            filled = "max_length" if self._by_sigmoid else True
            tokens = tokenizer(list(texts), padding=filled, truncation=True, max_length=longest, return_tensors="pt")
            wanted = ["input_ids"] if self._by_sigmoid else list(tokens)  # SigLIP learned to read what fills up as well
            return model.get_text_features(**{name: tokens[name] for name in wanted})

    @property
    def _by_sigmoid(self) -> bool:
        return self.network.config.model_type in SIGMOID_KINDS

    @cached_property
    def _prepare(self) -> Any:
        """What makes of photos what the network takes, by its preprocessor_config.json."""
        from transformers import AutoImageProcessor

        return loaded(AutoImageProcessor.from_pretrained, self.name)

    def _load(self) -> PreTrainedModel:
        import torch
        from transformers import AutoModel

        model: PreTrainedModel = loaded(AutoModel.from_pretrained, self.name, dtype=torch.float32, use_safetensors=True)
        return model.eval()


def _unit(output: Any) -> Values:
    """Return what a network made of photos or texts as directions of length 1."""
    pooled: torch.Tensor = output.pooler_output
    return scope.unit(pooled.float().numpy())
