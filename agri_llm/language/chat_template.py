"""A conversation as token ids: the one way for answering and for training, so that a model reads what it learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def conversation(tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, to_answer: bool, **options: Any) -> Any:
    """Return what the tokenizer makes of a conversation; `to_answer` ends it where the assistant begins to write.

    Control tokens that a person typed, or a passage holds, are plain text.
    """
    return tokenizer.apply_chat_template(
        [dict(message) for message in messages], add_generation_prompt=to_answer, sanitize_control_tokens=True, **options
    )


def ids(tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, to_answer: bool, **options: Any) -> list[int]:
    """Return the token ids of a conversation as a plain list."""
    return list(conversation(tokenizer, messages, to_answer=to_answer, **options)["input_ids"])


def stop_ids(tokenizer: Any, generation_config: Any) -> list[int]:
    """Return the tokens that end an answer: those of the checkpoint and the tokenizer's end token.

    Some checkpoints name only the end of a document, and would never stop in a chat.
    """
    named = getattr(generation_config, "eos_token_id", None)
    return sorted({*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id} - {None})
