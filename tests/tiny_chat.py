"""Tiny real chat models, tokenizers and data sets, built in the tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

CROPS = ("wheat", "maize", "potato", "tomato", "bean", "rice", "cassava", "onion")
SIGNS = ("rust", "blight", "mildew", "borers", "aphids", "wilt")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def sentence(number: int) -> str:
    crop, sign = CROPS[number % len(CROPS)], SIGNS[number % len(SIGNS)]
    return f"Against {sign} of {crop} rotate the field for {2 + number % 5} years.[1]"


def row(number: int, split: str = "train", turns: int = 1) -> dict[str, Any]:
    crop, sign = CROPS[number % len(CROPS)], SIGNS[number % len(SIGNS)]
    messages = [{"role": "system", "content": "Cite passages."}] if number % 2 else []
    for turn in range(turns + number % 2):
        messages.append({"role": "user", "content": f"What helps against {sign} in {crop}? ({turn})"})
        messages.append({"role": "assistant", "content": sentence(number)})
    return {"id": f"{split}-{number}", "group": f"{split}-{number}", "kind": "grounded", "messages": messages, "split": split}


def save_tokenizer(
    folder: Path, template: str | None = CHATML, texts: Sequence[str] = (), vocabulary: int = 384, **tokens: Any
) -> int:
    """Train a byte-level tokenizer with ChatML control tokens, save it, return its size."""
    trained = ByteLevelBPETokenizer()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    texts = texts or [sentence(number) for number in range(48)]
    trained.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=specials, show_progress=False)
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "extra_special_tokens": ["<|im_start|>"], **tokens}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **named)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_model(folder: Path, *, kind: str = "qwen2", template: str | None = CHATML, seed: int = 7, **tokens: Any) -> Path:
    """Save a tiny random chat model; processors with AVX512-BF16 need blocks of 64 inputs for four-bit layers."""
    vocabulary = save_tokenizer(folder, template, **tokens)
    size: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "bos_token_id": None,
        "initializer_range": 0.1,
    }
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(Qwen2Config(**size)) if kind == "qwen2" else LlamaForCausalLM(LlamaConfig(**size))
    model.save_pretrained(folder)
    return folder


def save_data(folder: Path, rows: int = 32, *, held_out: int = 6, kind: str = "sft", manifest: bool = True) -> Path:
    """Save a data set folder as the project builds them."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", rows), ("validation", held_out)):
        found = [row(number, split) for number in range(count)]
        if kind == "pretrain":
            found = [
                {"id": each["id"], "group": each["group"], "text": " ".join([sentence(at)] * (1 + at % 7))}
                for at, each in enumerate(found)
            ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    if manifest:
        save_manifest(folder)
    return folder


def save_manifest(folder: Path, **more: Any) -> None:
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.jsonl")}
    said = {"files": hashes, "contamination_checked": True, **more}
    (folder / "manifest.json").write_text(json.dumps(said), encoding="utf-8")


def save_config(path: Path, model: Path, data: Path, out: Path, /, **settings: Any) -> Path:
    """Save a configuration of a run that takes seconds."""
    values: dict[str, Any] = {
        "model": str(model),
        "data": str(data),
        "out": str(out),
        "method": "lora",
        "rank": 4,
        "alpha": 8,
        "max_length": 256,
        "packing": False,
        "per_device_train_batch_size": 4,
        "max_steps": 6,
        "save_steps": 3,
        "eval_strategy": "no",
        "gradient_checkpointing": False,
        "optim": "adamw_torch",
        "learning_rate": 0.005,
        **settings,
    }
    path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return path
