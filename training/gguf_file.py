"""A Llama or Qwen2 model as one GGUF file, written with the package of the llama.cpp project and read back afterwards.

Only what reading back can prove is written; for everything else the sentence names llama.cpp's own script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agri_llm.errors import BadInput
from agri_llm.language import contract

ARCHITECTURES = {"llama": "LLAMA", "qwen2": "QWEN2"}
TYPES = ("f16", "q8_0")
BLOCK = 32  # weights that share one scale in Q8_0 (ggml)
PROBES = (
    "Rotate wheat, 3 years!  Then\n\n beans' roots: 12345 kg/ha",
    "小麦锈病怎么防治？ 葉に白い粉",
    "Kutu ya majani — ¿qué hago? 🌾 I'VE 'Tis\t x_y...",
)


def write(source: Path, model: Any, tokenizer: Any, file: Path, kind: str) -> Path:
    """Write a model with its tokenizer and chat template. Raises BadInput for what cannot be written whole."""
    gguf = _package()
    config = model.config
    pre = check(source, config, tokenizer)
    writer = gguf.GGUFWriter(file, config.model_type)
    _add_sizes(writer, config, gguf)
    writer.add_name(source.name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, tokenizer, config.vocab_size, pre, gguf)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[ARCHITECTURES[config.model_type]], config.num_hidden_layers)
    for name, weight in _weights(model):
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise _impossible(source, f"the weight {name!r} has no place in the format")
        values, stored = _stored(found, weight, kind, gguf)
        writer.add_tensor(found, values, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _package() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise BadInput("GGUF files need the package gguf", "it is not installed", "install agri[train]") from error
    return gguf


def check(source: Path, config: Any, tokenizer: Any) -> str:
    """Return how the format names the tokenizer's way of splitting text. Raises BadInput for a model of another kind."""
    if config.model_type not in ARCHITECTURES:
        raise _impossible(source, f"a {config.model_type} model is none of {', '.join(ARCHITECTURES)}")
    rope = dict(config.rope_parameters or {}).get("rope_type", "default")
    if rope != "default" or getattr(config, "use_sliding_window", False) or getattr(config, "mlp_bias", False):
        raise _impossible(
            source, f"its positions are scaled ({rope}) or it has a sliding window, which reading back cannot prove"
        )
    head = getattr(config, "head_dim", None)
    if head not in (None, config.hidden_size // config.num_attention_heads):
        raise _impossible(source, f"its attention heads have {head} numbers, not hidden size over heads")
    return splitting(source, tokenizer)


def splitting(source: Path, tokenizer: Any) -> str:
    """Return the format's name for the pattern that splits text before merges; llama.cpp knows patterns by name alone."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS as KNOWN

    said = json.loads(tokenizer.backend_tokenizer.to_str())
    steps = said.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    patterns = [step["pattern"].get("Regex") for step in steps if step.get("type") == "Split"]
    last = steps[-1]
    if said["model"]["type"] != "BPE" or last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        raise _impossible(source, "its tokenizer is not byte-level BPE")
    if len(steps) == 1 and last.get("use_regex"):
        return "gpt-2"
    name = next((name for name in ("qwen2", "llama-bpe") if patterns == [KNOWN[name]]), None)
    if name is None or len(steps) != 2:
        raise _impossible(source, "its tokenizer splits text by a pattern that is not among those of GPT-2, Qwen2 and Llama 3")
    return name


def _impossible(source: Path, why: str) -> BadInput:
    return BadInput(
        f"{source} cannot be written as GGUF here",
        why,
        f"export it with --to merged and run llama.cpp's script on that: python convert_hf_to_gguf.py {source} --outtype q8_0",
    )


def _add_sizes(writer: Any, config: Any, gguf: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "llama":
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)


def _add_tokenizer(writer: Any, tokenizer: Any, size: int, pre: str, gguf: Any) -> None:
    """Add tokens, merges, special tokens and the chat template; places of the embedding without a token are unused."""
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    kinds = []
    for number in range(size):
        if number in added:
            kinds.append(gguf.TokenType.CONTROL if added[number].special else gguf.TokenType.USER_DEFINED)
        else:
            kinds.append(gguf.TokenType.NORMAL if number in by_id else gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([by_id.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types(kinds)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in merges])
    for name in ("bos", "eos", "pad"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    begins = tokenizer("leaf")["input_ids"][:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(begins and tokenizer.bos_token_id is not None)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights under their names; queries and keys of Llama with the two halves of each head interleaved.

    llama.cpp turns neighbouring numbers of a head together, transformers the first half with the second. Qwen2 is read there
    as transformers does it.
    """
    config, seen = model.config, set()
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in model.state_dict().items():
        if weight.data_ptr() in seen:  # an embedding that is the head too is written once
            continue
        seen.add(weight.data_ptr())
        part = name.split(".")[-2]
        if config.model_type == "llama" and part in heads:
            halves = weight.unflatten(0, (heads[part], 2, -1))  # (heads, halves, half a head, …)
            weight = halves.transpose(1, 2).flatten(0, 2)
        yield name, weight


def _stored(name: str, weight: torch.Tensor, kind: str, gguf: Any) -> tuple[Any, Any]:
    """Return numbers as the file holds them: vectors in single precision, rows that fill no block in half."""
    values = weight.detach().float().cpu().numpy()
    if values.ndim < 2:
        return np.ascontiguousarray(values), gguf.GGMLQuantizationType.F32
    if kind == "q8_0" and values.shape[-1] % BLOCK == 0:
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0
    if np.abs(values).max() > np.finfo(np.float16).max:
        raise BadInput(f"{name} holds numbers that half precision cannot", "they would become infinite", "use --type q8_0")
    return np.ascontiguousarray(values, dtype=np.float16), gguf.GGMLQuantizationType.F16


def check_tokenizer(file: Path, tokenizer: Any) -> Any:
    """Read the tokenizer back from the file; it must write texts and conversations in the same tokens. Raises BadInput."""
    from transformers import AutoTokenizer

    back = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    same = all(back(text)["input_ids"] == tokenizer(text)["input_ids"] for text in PROBES)
    if not same or contract.rendered_hash(back) != contract.rendered_hash(tokenizer):
        raise BadInput(
            f"the tokenizer read back from {file.name} writes other tokens",
            "the model would read text of a form that it never saw",
            "export with --to merged and convert that with llama.cpp's own script",
        )
    return back
