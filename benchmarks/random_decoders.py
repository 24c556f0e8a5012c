"""Decoders of known architectures with random weights in NF4, made on the device, for benchmarks of speed and memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from agri_llm.language.local import nf4_config

SIZES: dict[str, tuple[str, dict[str, Any]]] = {  # the public config.json of each model
    "qwen2.5-7b": ("qwen2", {
        "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 131072, "tie_word_embeddings": False,
    }),
    "llama-3.1-8b": ("llama", {
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072, "tie_word_embeddings": False,
    }),
}  # fmt: skip


def config_of(name: str) -> Any:
    """Return the transformers configuration of one of the two models."""
    from transformers import AutoConfig

    kind, sizes = SIZES[name]
    return AutoConfig.for_model(kind, **sizes)


def random_model(config: Any, device: str, attention: str = "sdpa") -> Any:
    """Make a decoder with random weights in NF4 on a device, matrix after matrix; the whole is never there in 16 bits."""
    from transformers import AutoModelForCausalLM
    from transformers.quantizers.auto import AutoHfQuantizer

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.bfloat16)
    output = model.get_output_embeddings()
    matrices = [name for name, each in model.named_modules() if isinstance(each, nn.Linear) and each is not output]
    for name in matrices:
        model.set_submodule(name, _random_matrix(model.get_submodule(name), device))
    for owner, name, parameter in _unmade(model):
        made = torch.randn(parameter.shape, dtype=torch.bfloat16, device=device) * 0.02
        setattr(owner, name, nn.Parameter(made, requires_grad=False))
    inner = model.model
    inner.rotary_emb = type(inner.rotary_emb)(config).to(device)
    model.tie_weights()
    model.hf_quantizer = AutoHfQuantizer.from_config(nf4_config(), pre_quantized=False)
    model.config.quantization_config = nf4_config()
    model.is_quantized = model.is_loaded_in_4bit = True
    return model


def _random_matrix(linear: nn.Linear, device: str) -> nn.Module:
    from bitsandbytes.nn import Linear4bit, Params4bit

    rows, columns = linear.out_features, linear.in_features
    settings: dict[str, Any] = {"compress_statistics": True, "quant_type": "nf4", "quant_storage": torch.bfloat16}
    with torch.device("meta"):
        made = Linear4bit(columns, rows, bias=linear.bias is not None, compute_dtype=torch.bfloat16, **settings)
    weight = torch.randn(rows, columns, dtype=torch.bfloat16, device=device) * 0.02
    made.weight = Params4bit(weight, requires_grad=False, module=made, **settings).to(device)
    return made


def _unmade(model: nn.Module) -> list[tuple[nn.Module, str, nn.Parameter]]:
    found = [(owner, name, each) for owner in model.modules() for name, each in owner.named_parameters(recurse=False)]
    return [(owner, name, each) for owner, name, each in found if each.device.type == "meta"]
