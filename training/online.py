"""A model learns from its own answers: it writes several to each question, and moves to those that earn more.

TRL's GRPOTrainer (Shao et al., arXiv 2402.03300) or RLOOTrainer (Ahmadian et al., arXiv 2402.14740). It goes on from an adapter
that is finished, is held near it, and stops where it begins to please the reward instead of people (`watches.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from accelerate import PartialState
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOTrainer, RLOOTrainer

from agri_llm.errors import BadInput
from training import (
    adapt,
    align,
    align_record,
    chats,
    configuration,
    finished,
    held_out,
    online_prompts,
    online_reward,
    pair_rows,
    rehearsal,
    run_files,
    watches,
)
from training.align_config import Alignment
from training.configuration import Training
from training.finished import Finished
from training.held_out import Rows
from training.online_config import SAID, Earning
from training.online_prompts import Asked
from training.online_reward import Earned
from training.pair_rows import Preferences
from training.progress import Progress, Stopper, Tell
from training.watches import Watch

TRAINERS: dict[str, Any] = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}
MOST_PAIRS = 32  # held-out pairs that are looked at again and again


def train(training: Training, tell: Tell) -> Path:
    """Learn from own answers, or go on where a run was stopped; returns the folder of the adapter.

    Raises BadInput for what cannot be learned from, ModelMissing, TrainingStopped, also where a watch ends the run.
    """
    with adapt.sentences(training):
        tokenizer, serving, stops = adapt.load_tokenizer(align.as_sft(training))
        parent = align.start_of(cast(Alignment, training.ours))
        assert parent is not None
        asked = online_prompts.read(training, tokenizer)
        for line in [*asked.lines(), align.check_template(tokenizer, serving, parent)]:
            tell(line)
        pairs = pair_rows.of_side(training, "dpo", "validation", tokenizer, stops)[:MOST_PAIRS]
        if PartialState().is_main_process:
            run_files.begin(training.out, configuration.everything(training))
            align.keep_rows(training, pair_rows.better(pairs))
        PartialState().wait_for_everyone()
        reward = online_reward.of(training, pairs)
        before = reward.agreement(pairs)
        tell(_heard(before, len(pairs)))
        watch = Watch(cast(Earning, training.ours), agreement_of(pairs, tokenizer, stops), training.out)
        trainer = build(training, parent, asked, reward, watch, tokenizer, tell)
        for line in _rehearse(training, trainer):
            tell(line)
        seconds = _run(training, trainer, watch, tell)
        return _finish(training, trainer, parent, asked, stops, seconds, before)


def check(training: Training) -> list[str]:
    """Return what can be said before anything is loaded: questions, template, start. Raises BadInput, ModelMissing."""
    with adapt.sentences(training):
        tokenizer, serving, _ = adapt.load_tokenizer(align.as_sft(training))
        parent = align.start_of(cast(Alignment, training.ours))
        asked = online_prompts.read(training, tokenizer)
        return [*asked.lines(), align.check_template(tokenizer, serving, parent)]


def _heard(agreed: float | None, pairs: int) -> str:
    if agreed is None:
        return "reward: no held-out pairs, so nothing shows whether experts would agree with it"
    return f"reward: it prefers what experts prefer in {agreed:.0%} of {pairs} held-out pairs"


def build(training: Training, parent: Finished, asked: Asked, reward: Earned, watch: Watch, tokenizer: Any, tell: Tell) -> Any:
    """Return TRL's trainer: the start's adapter on the base, in single precision, and the reference exactly the start."""
    args = training.args
    tokenizer.padding_side = "left"  # many questions are answered at once
    callbacks = [watch, Progress(tell, training.out / run_files.LOSSES), Stopper(), adapt.tensorboard(training)]
    model = align.started(training, parent)
    args.model_init_kwargs = None  # the model is there
    with finished.loading(training.ours.model):
        trainer = TRAINERS[training.kind](
            model=model,
            reward_funcs=[reward],
            args=args,
            train_dataset=Dataset.from_list(asked.rows),
            processing_class=tokenizer,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    adapt.keep_trainable_layout(trainer.model)
    align.in_single_precision(trainer, parent)
    return trainer


def _rehearse(training: Training, trainer: Any) -> list[str]:
    """Weights and reference are what they should be, before the first step. Raises BadInput."""
    reference = align.check_reference(trainer)
    if not any(".ref." in name for name, _ in trainer.model.named_parameters()):
        raise BadInput("the library made no reference of the start", "nothing would hold the model near it", "report this")
    weights = rehearsal.check_weights(training, trainer)
    return [weights, reference, rehearsal.check_memory(training), rehearsal.check_disk(training, trainer)]


def agreement_of(pairs: Sequence[dict[str, Any]], tokenizer: Any, stops: list[int]) -> Callable[[Any], float | None]:
    """Return what finds, for a model, the share of pairs whose better answer it finds likelier, token by token."""
    sides = [_side(pairs, side, tokenizer, stops) for side in ("chosen", "rejected")]

    def agreement(model: Any) -> float | None:
        if not pairs:
            return None
        learns = model.training
        model.eval()
        better, worse = (held_out.measure(model, side).parts for side in sides)
        model.train(learns)
        return float((better[:, 0] / better[:, 1] < worse[:, 0] / worse[:, 1]).mean())

    return agreement


def _side(pairs: Sequence[dict[str, Any]], side: str, tokenizer: Any, stops: list[int]) -> Rows:
    encoded = tuple(chats.encode(tokenizer, [*row["prompt"], *row[side]], stops) for row in pairs)
    return Rows(encoded=encoded, groups=tuple(str(row["group"]) for row in pairs), left_out=0)


def _run(training: Training, trainer: Any, watch: Watch, tell: Tell) -> float:
    """Train to the end; what the watches saw is written in any case. Raises TrainingStopped where one ends the run."""
    try:
        seconds = adapt.run(training, trainer, tell)
        watch.stop_if_crossed()
    finally:
        if PartialState().is_main_process:
            watches.write(trainer.state.log_history, watch.limits, training.out)
    return seconds


def _finish(
    training: Training, trainer: Any, parent: Finished, asked: Asked, stops: list[int], seconds: float, before: float | None
) -> Path:
    """Write the adapter alone, its contract, and run.json last."""
    folder = align.save(training, trainer, stops)
    if PartialState().is_main_process:
        used = Preferences(rows={"train": asked.rows}, feedback_ids=asked.feedback_ids)
        history = trainer.state.log_history
        earned = [each["reward"] for each in history if "reward" in each]
        about = {
            **align_record.of(training, trainer, parent, used, seconds),
            "learning": {name: getattr(training.args, name) for name in SAID if hasattr(training.args, name)},
            "questions": {**asked.counts, "left out": asked.left_out},
            "reward": {"agreement": before, "first": earned[0] if earned else None, "last": earned[-1] if earned else None},
            "watches": watches.write(history, cast(Earning, training.ours), training.out),
        }
        run_files.finish(training.out, about)
    PartialState().wait_for_everyone()
    return folder
