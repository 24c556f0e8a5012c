"""Loads networks that look at photos, and runs image classifiers so that what their last layer sees is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agri_llm.errors import ModelMissing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def network(name: str) -> PreTrainedModel:
    """Load an image classifier in single precision, ready to be asked. Raises ModelMissing."""
    import torch
    from transformers import AutoModelForImageClassification

    model: PreTrainedModel = loaded(
        AutoModelForImageClassification.from_pretrained, name, dtype=torch.float32, use_safetensors=True
    )
    return model.eval()


def loaded(load: Callable[..., Any], name: str, **options: Any) -> Any:
    """Load a part of an image model with transformers; ModelMissing where it is not there, damaged or of another kind."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()  # a network for photos is loaded in a second
    try:
        return load(name, **options)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelMissing(
            f"The photo model {name!r} cannot be loaded ({str(error).strip().partition(chr(10))[0].rstrip('.')})",
            "without it no photo can be looked at",
            "give the folder or name of a transformers image classifier, CLIP or SigLIP, whose weights are safetensors",
        ) from error


def features_and_logits(model: PreTrainedModel, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a network and return what goes into its last layer, (photos, dimensions), and what comes out, (photos, labels)."""
    kept: list[torch.Tensor] = []
    hook = last_layer(model).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        logits = model(pixel_values=pixels).logits
    finally:
        hook.remove()
    return kept[-1].float(), logits.float()


def last_layer(model: PreTrainedModel) -> torch.nn.Linear:
    """Return the layer that turns features into labels. Raises ModelMissing where the network has none."""
    import torch

    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    if not layers or layers[-1].out_features != model.config.num_labels:
        raise ModelMissing(
            f"{type(model).__name__} does not end in a linear layer",
            "its features are needed to know what it never learned",
            "use a classifier such as MobileNetV2, ConvNeXt, ResNet, ViT or Swin",
        )
    return layers[-1]
