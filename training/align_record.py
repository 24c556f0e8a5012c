"""What `run.json` says of an alignment, and what its held-out figures warn of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agri_llm.language import contract
from agri_llm.prompts import PROMPT_HASH
from training import configuration, run_files
from training.configuration import Training
from training.finished import Finished
from training.pair_rows import Preferences
from training.rows import MANIFEST, file_hash

FALLING = 0.5  # nats an answer by which the better ones may become less likely before that is said


def of(training: Training, trainer: Any, parent: Finished | None, found: Preferences, seconds: float) -> dict[str, Any]:
    """Return the record of an alignment; `seconds` are those of its last session."""
    data = Path(training.ours.data)
    history = trainer.state.log_history
    losses = [each["loss"] for each in history if "loss" in each]
    snapshot = json.loads((data / MANIFEST).read_text(encoding="utf-8")).get("hash") if (data / MANIFEST).is_file() else None
    weights = parent.learned / "adapter_model.safetensors" if parent else None
    return {
        "kind": training.kind,
        "base": {"name": Path(training.ours.model).name, "weights": contract.weights_hash(training.ours.model)},
        "parent_adapter": {"run": str(parent.folder), "sha256": file_hash(weights)} if parent and weights else None,
        "settings": configuration.everything(training),
        "data": {"hash": snapshot, MANIFEST: file_hash(data / MANIFEST) if (data / MANIFEST).is_file() else None},
        "feedback_ids": list(found.feedback_ids),
        "seed": training.args.seed,
        **run_files.provenance(),
        "prompt_hash": PROMPT_HASH,
        "steps": trainer.state.global_step,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "held_out": [_figures(each) for each in history if "eval_loss" in each],
        "best_step": trainer.state.best_global_step,
        "seconds_of_last_session": round(seconds, 1),
        "rows": {side: len(some) for side, some in found.rows.items()},
        "rejected": found.rejected,
    }


def warnings(held: list[dict[str, Any]]) -> list[str]:
    """Return what the held-out figures warn of: better answers that become less likely while the margin rises."""
    if len(held) < 2 or "logps/chosen" not in held[0]:
        return []
    fell = held[0]["logps/chosen"] - held[-1]["logps/chosen"]
    if fell <= FALLING:
        return []
    return [f"The better answers became less likely by {fell:.2f} nats each; add sft to loss_type to hold them."]


def _figures(logged: dict[str, Any]) -> dict[str, Any]:
    """Keep of one evaluation the loss and what it says of rewards and probabilities."""
    kept = {name.removeprefix("eval_"): value for name, value in logged.items() if "/" in name}
    return {"step": logged["step"], "loss": logged["eval_loss"], **kept}
