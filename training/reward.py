"""A model that scores answers as experts prefer them, from pairs with TRL's RewardTrainer, with a report of how sure it is.

The score by itself means nothing; the difference of two scores says how likely experts prefer one answer to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, EarlyStoppingCallback, PrinterCallback
from trl import RewardTrainer

from agri_llm.errors import BadInput
from agri_llm.language import contract
from agri_llm.language.local import nf4_config
from agri_llm.records import Message
from training import adapt, chats, configuration, finished, pair_rows, rehearsal, reward_report, run_files
from training import align_record as records
from training import contract as contracts
from training.align import as_sft
from training.align_config import Alignment
from training.configuration import Training
from training.methods import METHODS
from training.pair_rows import Preferences
from training.progress import Progress, Stopper, Tell
from training.reward_report import Scored

TOGETHER = 8  # answers scored at once


def train(training: Training, tell: Tell) -> Path:
    """Train a reward model, or go on where a run was stopped; returns the folder of the adapter with its head.

    Raises BadInput for what cannot be learned from, ModelMissing, TrainingStopped.
    """
    with adapt.sentences(training):
        tokenizer, _, stops = adapt.load_tokenizer(as_sft(training))
        found = pair_rows.read(training, "reward", tokenizer, stops)
        for line in pair_rows.check(training, "reward", found):
            tell(line)
        if PartialState().is_main_process:
            run_files.begin(training.out, configuration.everything(training))
        PartialState().wait_for_everyone()
        trainer = build(training, found, tokenizer, stops, tell)
        for line in (rehearsal.check_weights(training, trainer), rehearsal.check_disk(training, trainer)):
            tell(line)
        seconds = adapt.run(training, cast(Any, trainer), tell)
        return _finish(training, trainer, found, stops, seconds, tell)


def build(training: Training, found: Preferences, tokenizer: Any, stops: list[int], tell: Tell) -> RewardTrainer:
    """Return TRL's trainer: the base with a head of one number, an adapter on it, what learns in single precision."""
    ours, args = cast(Alignment, training.ours), training.args
    adapter = METHODS[ours.method].make(ours)
    adapter.task_type, adapter.modules_to_save = "SEQ_CLS", ["score"]
    callbacks: list[Any] = [Progress(tell, training.out / run_files.LOSSES), Stopper(), adapt.tensorboard(training)]
    callbacks += [EarlyStoppingCallback(ours.patience)] if ours.patience else []
    with finished.loading(ours.model):
        trainer = RewardTrainer(
            model=ours.model,
            args=args,
            train_dataset=_tokens(found.rows["train"], tokenizer, stops),
            eval_dataset=_tokens(found.rows["validation"], tokenizer, stops) if args.eval_strategy != "no" else None,
            processing_class=tokenizer,
            quantization_config=nf4_config() if ours.quantised else None,
            peft_config=adapter,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    adapt.keep_trainable_layout(trainer.model)
    for weight in rehearsal.trainable(trainer):
        weight.data = weight.data.float()
    _read_as_stored(trainer.model)
    return trainer


def _read_as_stored(model: Any) -> None:
    """Let the head read in its own numbers: it learns in single precision, on a base that computes in half of it."""

    def cast_input(head: torch.nn.Linear, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (given[0].to(head.weight.dtype), *given[1:])

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "score" in name.split("."):
            module.register_forward_pre_hook(cast_input)


def _tokens(rows: Sequence[dict[str, Any]], tokenizer: Any, stops: list[int]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(
        [
            {f"{side}_ids": chats.encode(tokenizer, [*row["prompt"], *row[side]], stops).ids for side in ("chosen", "rejected")}
            for row in rows
        ]
    )


def _finish(
    training: Training, trainer: RewardTrainer, found: Preferences, stops: list[int], seconds: float, tell: Tell
) -> Path:
    """Write the adapter with its head, its contract, the report, and run.json last."""
    folder = training.out / "adapter"
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle; config.yaml says the same
        contracts.write(folder, contracts.describe(as_sft(training), trainer.processing_class, stops))
        reward = Reward(trainer.model, trainer.processing_class, stops)
        report = reward_report.of(
            [_scored(reward, row) for row in found.rows["validation"]],
            [_scored(reward, row) for row in pair_rows.of_side(training, "reward", "test", trainer.processing_class, stops)],
        )
        reward_report.write(report, training.out)
        for line in reward_report.lines(report):
            tell(line)
        about = records.of(training, trainer, None, found, seconds)
        run_files.finish(training.out, {**about, "report": report})
    return folder


def _scored(reward: Reward, row: dict[str, Any]) -> Scored:
    messages = tuple(row["prompt"])
    texts = [row[side][0]["content"] for side in ("chosen", "rejected")]
    better, worse = reward.score([messages, messages], texts)
    return Scored(
        group=row["group"], language=str(row.get("language", "")), apart=better - worse, longer=len(texts[0]) - len(texts[1])
    )


class Reward:
    """A trained reward model."""

    def __init__(self, model: Any, tokenizer: Any, stops: list[int]) -> None:
        """Take what scores, and what writes a chat in its tokens."""
        self._model, self._tokenizer, self._stops = model, tokenizer, stops

    @classmethod
    def load(cls, run: Path, base: str) -> Reward:
        """Load the reward model of a run on its base. Raises BadInput for a run of another kind, ModelMissing."""
        about = finished.about(run)
        if about.get("kind") != "reward":
            raise BadInput(f"{run} trained no reward model", "it would score nothing", "name a run of `agri train reward`")
        folder = run / "adapter"
        tokenizer, stops = finished.tokenizer(base)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        contract.check(folder, base, tokenizer, stops)
        said = contract.read(folder) or {}
        stored = {"quantization_config": nf4_config()} if said.get("base", {}).get("four_bit") else {}
        dtype = getattr(torch, str(said.get("dtype") or "float32"))
        with finished.loading(base):
            plain = AutoModelForSequenceClassification.from_pretrained(
                base, num_labels=1, use_safetensors=True, trust_remote_code=False, dtype=dtype, **stored
            )
            plain.config.pad_token_id = tokenizer.pad_token_id
            model = PeftModel.from_pretrained(plain, str(folder)).eval()
        adapt.keep_trainable_layout(model)
        _read_as_stored(model)
        return cls(model, tokenizer, stops)

    @torch.no_grad()
    def score(self, prompts: Sequence[Sequence[Message]], answers: Sequence[str]) -> list[float]:
        """Return a score for each answer to the request beside it; higher is better, and only differences mean something."""
        self._model.eval()
        found: list[float] = []
        for start in range(0, len(answers), TOGETHER):
            encoded = [
                chats.encode(self._tokenizer, [*messages, {"role": "assistant", "content": text}], self._stops).ids
                for messages, text in zip(prompts[start : start + TOGETHER], answers[start : start + TOGETHER], strict=True)
            ]
            longest = max(map(len, encoded))
            pad = self._tokenizer.pad_token_id
            ids = torch.tensor([[*each, *[pad] * (longest - len(each))] for each in encoded], device=self._model.device)
            seen = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in encoded], device=self._model.device)
            found += self._model(input_ids=ids, attention_mask=seen, use_cache=False).logits[:, 0].float().tolist()
        return found
