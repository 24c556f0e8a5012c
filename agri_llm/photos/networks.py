"""Loads networks that look at photos, and runs image classifiers so that what their last layer sees is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agri_llm.errors import ModelMissing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

DEPTHS = (0.4, 0.67, 1.0)  # shares of the inner states: of MobileNetV2 the blocks 6, 10 and 15 of 0 to 15
MAP = 4  # dimensions of features that still have places


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


def views_and_logits(model: PreTrainedModel, pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Run a network; return what it sees at DEPTHS and before its last layer, (photos, dimensions) each, and its logits.

    All are means over a photo and its mirror image, which tells more than the photo alone. What is spread over places of the
    photo is averaged over them; a network that shows no inner states has the last view alone.
    """
    import torch

    pixels = torch.cat([pixels, pixels.flip(-1)])
    kept: list[torch.Tensor] = []
    hook = last_layer(model).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        output = model(pixel_values=pixels, output_hidden_states=True)
    finally:
        hook.remove()
    states = output.hidden_states or ()
    inner = [_averaged(states[round(depth * (len(states) - 1))]) for depth in DEPTHS if states]
    return [_merged(view) for view in (*inner, kept[-1].float())], _merged(output.logits.float())


def _merged(values: torch.Tensor) -> torch.Tensor:
    """Average what belongs to photos, the first half, with what belongs to their mirror images, the second."""
    return values.view(2, -1, values.shape[-1]).mean(dim=0)


def _averaged(state: torch.Tensor) -> torch.Tensor:
    """Average over places: (photos, channels, rows, columns), or (photos, places, channels) of a transformer."""
    return state.float().mean((2, 3) if state.dim() == MAP else 1)


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
