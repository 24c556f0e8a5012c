"""A model with fewer layers, as an experiment: which layers change their input least on real text, and the model without them.

A layer whose output points where its input points adds little: the block influence of ShortGPT (Men et al., arXiv 2403.03853).
Leaving out deep layers and healing with a short QLoRA training is from Gromov et al., arXiv 2403.17887. Healing is a training
like any other: `agri train sft training/configs/heal.yaml --model` the pruned folder.
"""

from __future__ import annotations

from typing import Any

import torch

from agri_llm.errors import BadInput
from training.held_out import Rows


@torch.no_grad()
def influences(model: Any, rows: Rows) -> list[float]:
    """Return of every layer how far it turns its input, 1 - cosine, as the mean over all tokens of the rows."""
    total = torch.zeros(len(layers(model)), dtype=torch.float64)
    seen = 0
    for row in rows.encoded:
        turned: list[float] = [0.0] * len(total)
        hooks = [
            layer.register_forward_hook(_measuring(turned, at), with_kwargs=True) for at, layer in enumerate(layers(model))
        ]
        try:
            model(input_ids=torch.tensor([row.ids], device=model.device), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        total += torch.tensor(turned, dtype=torch.float64)
        seen += len(row.ids)
    return [float(each) / seen for each in total]


def _measuring(turned: list[float], at: int) -> Any:
    def measure(_: Any, given: tuple[Any, ...], named: dict[str, Any], made: Any) -> None:
        begun = given[0] if given else named["hidden_states"]
        ended = made[0] if isinstance(made, tuple) else made
        turned[at] = float((1 - torch.cosine_similarity(begun.float(), ended.float(), dim=-1)).sum())

    return measure


def least_needed(model: Any, rows: Rows, number: int) -> tuple[int, ...]:
    """Return the `number` layers that turn their input least. Raises BadInput where no layer would be left."""
    count = len(layers(model))
    if not 0 < number < count:
        raise BadInput(
            f"{number} of {count} layers cannot be left out", "at least one stays and one goes", "choose --layers less"
        )
    found = influences(model, rows)
    return tuple(sorted(sorted(range(count), key=lambda at: found[at])[:number]))


def without(model: Any, dropped: tuple[int, ...]) -> Any:
    """Return the model without these layers, those that stay numbered anew."""
    kept = [layer for at, layer in enumerate(layers(model)) if at not in dropped]
    for at, layer in enumerate(kept):
        layer.self_attn.layer_idx = at  # where the layer's keys and values are kept while writing
    _body(model).layers = torch.nn.ModuleList(kept)
    config = model.config
    config.num_hidden_layers = len(kept)
    if kinds := getattr(config, "layer_types", None):
        config.layer_types = [kind for at, kind in enumerate(kinds) if at not in dropped]
    return model


def layers(model: Any) -> Any:
    """Return the layers of a decoder, with or without an adapter. Raises BadInput for one that is built in another way."""
    return _body(model).layers


def _body(model: Any) -> Any:
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = getattr(plain, "model", None)
    if body is None or not hasattr(body, "layers"):
        raise BadInput(
            f"a {plain.config.model_type} model keeps its layers elsewhere",
            "none can be left out",
            "use a Llama or Qwen2 model",
        )
    return body
