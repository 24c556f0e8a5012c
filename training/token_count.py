"""How many tokens a training saw and learned from, over all processes and all sessions of a run.

The count is written with each checkpoint, so that steps which a kill undid are not counted twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState
from trl import SFTTrainer


class TokenCount(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Tokens that are no padding, and those among them that the loss was about; None where an older checkpoint had no count."""

    def __init__(self) -> None:
        self.seen: int | None = 0
        self.trained: int | None = 0

    def state(self) -> dict[str, Any]:
        """Return what trainer_state.json says of it."""
        return {"args": {}, "attributes": {"seen": self.seen, "trained": self.trained}}

    def add(self, seen: int, trained: int) -> None:
        """Count what one step of all processes took."""
        if self.seen is not None and self.trained is not None:
            self.seen, self.trained = self.seen + seen, self.trained + trained


class CountingTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer; it counts the tokens of each step where the batches of the step are taken."""

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """Return the batches of a step, as the library does."""
        batches, number = super().get_batch_samples(epoch_iterator, num_batches, device)
        found = torch.zeros(1, 2, dtype=torch.long, device=device)
        for batch in batches:
            # Rows that are packed come without a mask and without padding. The first token of a row follows nothing.
            found[0, 0] += batch["attention_mask"].sum() if "attention_mask" in batch else batch["input_ids"].numel()
            found[0, 1] += batch["labels"][..., 1:].ne(-100).sum()
        seen, trained = self.accelerator.gather(found).sum(dim=0).tolist()
        of(self).add(seen, trained)
        return batches, number


def of(trainer: Any) -> TokenCount:
    """Return the count of a trainer."""
    found: TokenCount = next(each for each in trainer.callback_handler.callbacks if isinstance(each, TokenCount))
    return found


def restore(trainer: Any, checkpoint: Path) -> None:
    """Let the counts go on from a checkpoint: ours, and the one that the library logs and begins anew."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    logged = (each["num_tokens"] for each in reversed(state["log_history"]) if "num_tokens" in each)
    trainer._total_train_tokens = next(logged, 0)
    if isinstance(trainer, CountingTrainer):
        said = state["stateful_callbacks"].get(TokenCount.__name__, {}).get("attributes", {})
        count = of(trainer)
        count.seen, count.trained = said.get("seen"), said.get("trained")
