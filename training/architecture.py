"""What a decoder is made of: its parameters by part, counted on tensors that hold nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from agri_llm.errors import BadInput, ModelMissing


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A dense decoder: its sizes, and how many numbers its parts hold. Parameters are counted as they are stored."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    query: int  # heads times the width of a head
    key_value: int
    head_width: int
    vocabulary: int
    longest: int  # positions it was made for
    linear: tuple[int, ...]  # elements of each matrix in the layers; these are stored in 4 bits
    embeddings: int
    head: int  # 0 where it is the embedding again
    small: int  # gains of norms, biases
    adapters: tuple[int, ...]  # elements of each tensor that an adapter adds

    @property
    def base(self) -> int:
        """All parameters of the model without an adapter."""
        return sum(self.linear) + self.embeddings + self.head + self.small

    @property
    def without_embeddings(self) -> int:
        """The parameters that Kaplan's law counts."""
        return sum(self.linear) + self.small

    @property
    def adapter(self) -> int:
        """The parameters that an adapter adds."""
        return sum(self.adapters)

    @property
    def largest(self) -> int:
        """Elements of the largest matrix in the layers."""
        return max(self.linear)


def described(config: Any, adapter: Any = None, name: str = "") -> Architecture:
    """Count the parameters of a transformers configuration, and of a PEFT configuration on top; no weights are made.

    Raises BadInput for anything but a dense decoder.
    """
    import torch
    from torch import nn
    from transformers import AutoModelForCausalLM

    text = config.get_text_config()
    _refuse_others(text, name)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        output, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        linear = tuple(each.weight.numel() for each in model.modules() if isinstance(each, nn.Linear) and each is not output)
        counted = sum(each.numel() for each in model.parameters())
        head = 0 if output.weight is embeddings.weight else output.weight.numel()
        adapters = _adapter_sizes(model, adapter)
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    groups = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return Architecture(
        name=name or str(text.model_type),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        heads=text.num_attention_heads,
        query=text.num_attention_heads * head_width,
        key_value=groups * head_width,
        head_width=head_width,
        vocabulary=text.vocab_size,
        longest=text.max_position_embeddings,
        linear=linear,
        embeddings=embeddings.weight.numel(),
        head=head,
        small=counted - sum(linear) - embeddings.weight.numel() - head,
        adapters=adapters,
    )


def _adapter_sizes(model: Any, adapter: Any) -> tuple[int, ...]:
    if adapter is None:
        return ()
    from peft import get_peft_model

    try:
        wrapped = get_peft_model(model, adapter)
    except ValueError as error:  # PEFT's word for targets that are in no layer
        said = " ".join(str(error).split())[:160].rstrip(".")
        raise BadInput("the adapter does not fit the model", said, "check `targets`") from error
    return tuple(each.numel() for each in wrapped.parameters() if each.requires_grad)


def _refuse_others(config: Any, name: str) -> None:
    wanted = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    missing = [each for each in wanted if not isinstance(getattr(config, each, None), int)]
    experts = any(getattr(config, each, None) for each in ("num_experts", "num_local_experts", "n_routed_experts"))
    if missing or experts:
        raise BadInput(
            f"{name or config.model_type} is no dense decoder",
            "memory and time of its kind are not known here" + (f", {missing[0]} is missing" if missing else ""),
            "choose a model like Qwen2.5 or Llama 3",
        )


def of(model: str, adapter: Any = None) -> Architecture:
    """Read the configuration of a model, a folder or a hub name, and count; weights are neither read nor fetched."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())[:160].rstrip(".")
        raise ModelMissing(f"{model} has no configuration that can be read", said, "check `model`") from error
    return described(config, adapter, model)


def step_flops(architecture: Architecture, tokens: int, length: float, *, frozen: bool) -> float:
    """Return the floating-point operations that training on `tokens` in rows of `length` asks for, nothing computed twice.

    2 for each parameter and token forwards, 2 backwards for the signal, 2 more for the gradient of a weight that is trained
    (Kaplan et al. 2020, section 2.1, split as in QLoRA, where frozen matrices get none). Attention sees half of the row on
    average: 2 · 2 · query · length / 2 forwards, twice that backwards. The head counts, the look-up of embeddings does not.
    """
    head = architecture.head or architecture.embeddings
    matrices = sum(architecture.linear) + head
    trained = architecture.adapter if frozen else matrices
    attention = 3 * 2 * architecture.layers * architecture.query * length
    other = 4 * architecture.adapter if frozen else 0
    return tokens * (4.0 * matrices + other + 2.0 * trained + attention)


def rounded(number: float) -> str:
    """Return a count as people say it: 8.03 B, 41.9 M."""
    if number <= 0 or not math.isfinite(number):
        return "0" if number <= 0 else "∞"
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"
