"""How likely a model finds the answers of rows that nothing was trained on: the one figure that every export is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from agri_llm.errors import BadInput
from training import chats, intervals, tokens
from training.chats import Encoded, Unfaithful
from training.intervals import Interval

if TYPE_CHECKING:
    from training.configuration import Kind

ROWS = 100  # the notes of the serving contract: every artefact re-runs a score of a hundred prompts


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Of every row the summed loss and the number of learned tokens, (rows, 2)."""

    parts: NDArray[np.float64]
    groups: tuple[str, ...]

    @property
    def value(self) -> float:
        """Return the mean loss of a learned token, in nats."""
        return float(self.parts[:, 0].sum() / self.parts[:, 1].sum())

    def above(self, other: Loss) -> Interval:
        """Return how much higher this loss is than another on the same rows, with its 95 % interval over groups of rows."""
        found = intervals.paired(self.parts, other.parts, self.groups)
        if found is None:
            raise BadInput("no row has a token to judge by", "nothing can be compared", "give rows with answers")
        return found.difference


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as tokens, with the group that each belongs to; `left_out` counts those too long or written in another way."""

    encoded: tuple[Encoded, ...]
    groups: tuple[str, ...]
    left_out: int


def read(path: Path, tokenizer: Any, stops: list[int], max_length: int, kind: Kind = "sft") -> Rows:
    """Read up to a hundred rows that this kind of training learns from, evenly spread over the file.

    Raises BadInput where none can be used.
    """
    lines = [(number, row) for number, row in tokens.lines(path, kind) if row is not None]
    chosen = [lines[at * len(lines) // min(ROWS, len(lines))] for at in range(min(ROWS, len(lines)))]
    found: list[Encoded] = []
    groups: list[str] = []
    for number, row in chosen:
        try:
            encoded = _encode(row, kind, tokenizer, stops)
        except Unfaithful:
            continue
        if len(encoded.ids) <= max_length:
            found.append(encoded)
            groups.append(str(row.get("group", row.get("id", number))))
    if not found:
        raise BadInput(
            f"none of the rows of {path} can be used",
            "they are empty, too long or of another form",
            "give other rows with --check",
        )
    return Rows(encoded=tuple(found), groups=tuple(groups), left_out=len(chosen) - len(found))


def _encode(row: dict[str, Any], kind: Kind, tokenizer: Any, stops: list[int]) -> Encoded:
    if kind == "sft":
        return chats.encode(tokenizer, row["messages"], stops)
    ids = tokens.document(tokenizer, row["text"])
    if len(ids) < 2:
        raise Unfaithful("it holds no text")
    return Encoded(ids=ids, labels=ids)


@torch.no_grad()
def measure(model: Any, rows: Rows) -> Loss:
    """Return the loss of every row, each asked alone: nothing is filled up, so nothing can leak."""
    parts = []
    for row in rows.encoded:
        ids = torch.tensor([row.ids], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, -len(row.ids) :].float()  # virtual tokens stand before
        labels = torch.tensor(row.labels[1:], device=logits.device)
        learned = labels != chats.IGNORED
        loss = torch.nn.functional.cross_entropy(logits[:-1][learned], labels[learned], reduction="sum")
        parts.append((float(loss), float(learned.sum())))
    return Loss(parts=np.array(parts), groups=rows.groups)
