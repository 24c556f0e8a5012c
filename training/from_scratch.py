"""A tokenizer and a small decoder made from nothing: bytes and random numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agri_llm.errors import BadInput
from training.chain_config import ChainConfig

PAD, BEGIN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# How Qwen writes a conversation (ChatML), without a system message of its own.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(texts: Iterable[str], config: ChainConfig, folder: Path) -> Any:
    """Learn byte-level BPE (Sennrich et al. 2016, arXiv 1508.07909) from texts, save it with our chat template, return it.

    END ends an answer and a document alike, so that a decoder has met it before it is taught to answer.
    """
    from transformers import Qwen2Tokenizer

    # Beside a Qwen2 the library reads any tokenizer as Qwen2's, with its way of cutting text, whatever its file says.
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        ([text] for text in texts),
        config.vocabulary,
        new_special_tokens=[BEGIN, END],
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.eos_token, tokenizer.pad_token = END, PAD
    tokenizer.chat_template = TEMPLATE
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise BadInput("the tokenizer fills up with its end token", "where an answer ends could not be learned", "report this")
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_decoder(tokenizer: Any, config: ChainConfig, folder: Path) -> int:
    """Save a Qwen2 of random numbers, whose first layers copy, with this tokenizer; returns how many parameters it has."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from training import copying

    torch.manual_seed(config.seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.positions or 2 * config.context,
            rope_parameters={"rope_type": "default", "rope_theta": copying.THETA},
            tie_word_embeddings=False,  # what a token is must stay readable while the output learns what follows
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    copying.give(model, config.seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return int(model.num_parameters())
