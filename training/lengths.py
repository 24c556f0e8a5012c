"""How long the rows of a data set are, and into how many packs or padded batches they go."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agri_llm.errors import BadInput
from training.tokens import lines

if TYPE_CHECKING:
    from training.configuration import Kind

Measure = Callable[[Any], int]

# Tokens of a letter where no tokenizer is at hand: measured with the tokenizer of Qwen2 on every sixth shipped sheet, English
# 0.24; Chinese sheets, half of whose letters are Latin, 0.60, which is 0.96 for the others. Rounded up: rather too long.
LATIN_TOKENS, OTHER_TOKENS = 0.25, 1.0
TURN_TOKENS = 5  # what a ChatML template adds to a message


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Tokens of each row of the training split; `estimated` where they were counted from letters."""

    tokens: tuple[int, ...]
    estimated: bool

    @property
    def total(self) -> int:
        """All tokens of one epoch."""
        return sum(self.tokens)


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What one epoch becomes: sequences that a step takes, tokens that are real and that are computed, rows too long."""

    sequences: int
    real: int
    computed: int
    too_long: int

    @property
    def filled(self) -> float:
        """The share of the computed tokens that are real."""
        return self.real / self.computed if self.computed else 0.0


def of_folder(folder: Path, kind: Kind, tokenizer: Any = None) -> Lengths:
    """Count the tokens of the rows to learn from in a data set folder. Raises BadInput for what cannot be read or is empty."""
    measure = _tokenized(tokenizer) if tokenizer is not None else _lettered
    file = folder / "train.jsonl"
    counted = tuple(measure(row) for _, row in lines(file, kind) if row is not None)
    if not counted:
        raise BadInput(f"{file} has no rows for `agri train {kind}`", "there is nothing to learn", "build the data set again")
    return Lengths(tokens=counted, estimated=tokenizer is None)


def _tokenized(tokenizer: Any) -> Measure:
    def measure(row: dict[str, Any]) -> int:
        if "messages" in row:
            return len(tokenizer.apply_chat_template(row["messages"])["input_ids"])
        return len(tokenizer(row["text"])["input_ids"]) + 1  # the end of a document

    return measure


def _lettered(row: dict[str, Any]) -> int:
    texts: list[str] = [message["content"] for message in row["messages"]] if "messages" in row else [row["text"]]
    latin = sum(letter < "\u0250" for text in texts for letter in text)
    other = sum(map(len, texts)) - latin
    return round(latin * LATIN_TOKENS + other * OTHER_TOKENS) + TURN_TOKENS * len(texts)


def pieces(tokens: Sequence[int], room: int) -> tuple[int, ...]:
    """Cut rows that are longer than `room`, as continued pretraining does; nothing of them is lost."""
    return tuple(piece for length in tokens for piece in (*[room] * (length // room), length % room) if piece)


def packed(tokens: Sequence[int], room: int) -> Batches:
    """Lay rows into sequences of `room` tokens, longest first and each where least is left; rows too long are left out."""
    fitting = sorted((length for length in tokens if length <= room), reverse=True)
    free: list[int] = []
    for length in fitting:
        place = bisect_left(free, length)
        left = free.pop(place) if place < len(free) else room
        insort(free, left - length)
    real = sum(fitting)
    return Batches(sequences=len(free), real=real, computed=real, too_long=len(tokens) - len(fitting))


def padded(tokens: Sequence[int], room: int, batch_size: int, seed: int = 0) -> Batches:
    """Lay shuffled rows side by side, each batch as long as its longest row; rows too long are left out."""
    fitting = [length for length in tokens if length <= room]
    random.Random(seed).shuffle(fitting)
    batches = [fitting[start : start + batch_size] for start in range(0, len(fitting), batch_size)]
    computed = sum(max(batch) * len(batch) for batch in batches)
    return Batches(sequences=len(fitting), real=sum(fitting), computed=computed, too_long=len(tokens) - len(fitting))
