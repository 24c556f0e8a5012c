"""Writes `contract.json` beside a trained adapter; `agri_llm/language/contract.py` checks it before the adapter answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from agri_llm.language import chat_template, contract
from agri_llm.prompts import PROMPT_HASH
from training import configuration
from training.rows import write_whole

if TYPE_CHECKING:
    from training.configuration import Training

GREEDY = (
    "How do I stop rust in wheat?",
    "My tomato leaves turn yellow.",
    "What is the dose of copper?",
    "番茄晚疫病怎么防治？",
    "Thank you.",
)
GREEDY_TOKENS = 16


def describe(training: Training, tokenizer: Any, stops: list[int]) -> dict[str, Any]:
    """Return what is known about an adapter before it is trained."""
    ours = training.ours
    return {
        "base": {"name": Path(ours.model).name, "weights": contract.weights_hash(ours.model), "four_bit": ours.quantised},
        "vocabulary": contract.vocabulary_hash(tokenizer),
        "template": hashlib.sha256((tokenizer.chat_template or "").encode()).hexdigest(),
        "rendered": contract.rendered_hash(tokenizer) if tokenizer.chat_template else None,
        "special": {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id},
        "stops": stops,
        "max_length": training.args.max_length,
        "method": ours.method,
        "rank": ours.rank,
        "alpha": ours.alpha,
        "targets": ours.targets,
        "dtype": configuration.dtype(ours),  # not of the library's settings: they name none where a start brings the model
        "prompt_hash": PROMPT_HASH if training.kind == "sft" else None,  # documents hold no requests
    }


def greedy(model: Any, tokenizer: Any) -> list[dict[str, str]]:
    """Return what the model writes to a few fixed questions when it takes the likeliest token every time."""
    model.eval()
    written = []
    for question in GREEDY:
        prompt = chat_template.conversation(
            tokenizer, [{"role": "user", "content": question}], to_answer=True, return_tensors="pt"
        ).to(model.device)
        with torch.no_grad():
            ids = model.generate(**prompt, max_new_tokens=GREEDY_TOKENS, do_sample=False, use_cache=True)
        text = tokenizer.decode(
            ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        written.append({"question": question, "text": text})
    return written


def write(folder: Path, said: dict[str, Any]) -> None:
    """Write the contract into the folder of an adapter or model."""
    write_whole(folder / contract.FILE, json.dumps(said, indent=1, ensure_ascii=False) + "\n")
