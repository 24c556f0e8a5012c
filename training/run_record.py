"""What `run.json` says of a training that is finished: what it learned from, how, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import PartialState
from trl import SFTTrainer

from agri_llm.language import contract
from agri_llm.prompts import PROMPT_HASH
from training import configuration, run_files, token_count, tokens
from training.configuration import Training
from training.progress import Progress
from training.rows import MANIFEST, file_hash
from training.tokens import Tokens


def of(training: Training, trainer: SFTTrainer, found: Tokens, seconds: float) -> dict[str, Any]:
    """Return the record of a training; `seconds` are those of its last session."""
    data = Path(training.ours.data)
    files = [*(f"{split}.jsonl" for split in tokens.SPLITS), MANIFEST]
    return {
        "kind": training.kind,
        "base": {"name": Path(training.ours.model).name, "weights": contract.weights_hash(training.ours.model)},
        "revision": getattr(trainer.model.config, "_commit_hash", None),
        "parent_adapter": None,
        "settings": configuration.everything(training),
        "data": {name: file_hash(data / name) for name in files if (data / name).is_file()},
        "feedback_ids": [],
        "seed": training.args.seed,
        **run_files.provenance(),
        "prompt_hash": PROMPT_HASH,
        "processes": PartialState().num_processes,
        **_figures(trainer),
        "seconds_of_last_session": round(seconds, 1),
        "rows": {split: len(rows) for split, rows in found.rows.items()},
        "rejected": found.rejected,
    }


def _figures(trainer: SFTTrainer) -> dict[str, Any]:
    history, count = trainer.state.log_history, token_count.of(trainer)
    losses = [each["loss"] for each in history if "loss" in each]
    return {
        "steps": trainer.state.global_step,
        "tokens_per_second": _speed(trainer),
        "tokens_seen": count.seen,
        "tokens_trained": count.trained,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "held_out_losses": [each["eval_loss"] for each in history if "eval_loss" in each],
        "best_step": trainer.state.best_global_step,
    }


def _speed(trainer: SFTTrainer) -> float | None:
    """Return the tokens a second of this session without its first step, which loads and warms up; None after one step."""
    speed = next(each for each in trainer.callback_handler.callbacks if isinstance(each, Progress)).tokens_per_second
    return round(speed, 1) if speed else None
