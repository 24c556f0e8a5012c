"""A model learns what people prefer, from pairs (DPO and its relatives) or single answers (KTO), with TRL's trainers.

It goes on from an adapter that is finished, and is held near it: the reference is exactly that adapter, also after a resume.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import DPOTrainer, KTOTrainer

from agri_llm.errors import BadInput
from agri_llm.language import contract
from agri_llm.language.local import nf4_config
from training import adapt, align_record, configuration, finished, held_out, pair_rows, rehearsal, rows, run_files
from training import align_config as settings
from training import contract as contracts
from training.align_config import Alignment, Preference
from training.configuration import Training
from training.finished import Finished
from training.methods import METHODS
from training.pair_rows import Preferences
from training.progress import Progress, Stopper, Tell

TRAINERS: dict[str, Any] = {"dpo": DPOTrainer, "kto": KTOTrainer}
SAME_LOSS, SAME_MARGIN, SAME_START = 1e-4, 1e-5, 1e-3
CHECK = "start.jsonl"  # better answers of the validation side, to see that learning begins where the start ended


def train(training: Training, tell: Tell) -> Path:
    """Align, or go on where a run was stopped; returns the folder of the adapter.

    Raises BadInput for what cannot be learned from, ModelMissing, TrainingStopped.
    """
    kind, ours = cast(Preference, training.kind), cast(Alignment, training.ours)
    with adapt.sentences(training):
        tokenizer, serving, stops = adapt.load_tokenizer(as_sft(training))
        parent = start_of(ours)
        found = pair_rows.read(training, kind, tokenizer, stops)
        for line in [*pair_rows.check(training, kind, found), check_template(tokenizer, serving, parent)]:
            tell(line)
        if PartialState().is_main_process:
            run_files.begin(training.out, configuration.everything(training))
        PartialState().wait_for_everyone()
        expected = _loss_of_start(training, parent, found, tokenizer, stops)
        trainer = build(training, parent, found, tokenizer, tell)
        for line in _rehearse(training, trainer, expected, tokenizer, stops):
            tell(line)
        seconds = adapt.run(training, cast(Any, trainer), tell)
        return _finish(training, trainer, parent, found, stops, seconds, tell)


def check(training: Training) -> list[str]:
    """Return what can be said before anything is loaded: rows, template, start. Raises BadInput, ModelMissing."""
    with adapt.sentences(training):
        tokenizer, serving, stops = adapt.load_tokenizer(as_sft(training))
        parent = start_of(cast(Alignment, training.ours))
        found = pair_rows.read(training, training.kind, tokenizer, stops)
        return [*pair_rows.check(training, training.kind, found), check_template(tokenizer, serving, parent)]


def as_sft(training: Training) -> Training:
    """Return the settings as those of a tuning on chats, for what both need: a tokenizer with a template."""
    from dataclasses import replace

    return replace(training, kind="sft")


def start_of(ours: Alignment) -> Finished | None:
    """Return the finished run to go on from, or None. Raises BadInput where it is of another base or stored otherwise."""
    if not ours.start:
        return None
    parent = finished.read(Path(ours.start), ours.model)
    if parent.whole:
        raise BadInput(
            f"{ours.start} trained a whole model", "there is no adapter to go on from", "give it as --model, no --start"
        )
    if parent.four_bit != ours.quantised:
        kinds = {True: "four bits", False: "full numbers"}
        raise BadInput(
            f"{ours.start} learned on a base in {kinds[parent.four_bit]}, and this would be {kinds[ours.quantised]}",
            "its corrections are for the other one",
            f"set four_bit: {str(parent.four_bit).lower()}",
        )
    return parent


def check_template(tokenizer: Any, serving: Any, parent: Finished | None) -> str:
    """The chat is written in the tokens of answering, and of the start. Raises BadInput."""
    rendered = contract.rendered_hash(tokenizer)
    before = parent.contract.get("rendered") if parent else rendered
    if rendered != contract.rendered_hash(serving) or before not in (None, rendered):
        raise BadInput(
            "the chat template is not the one of the start, or not that of answering",
            "the model would learn another form than it is asked in",
            "give the base and tokenizer of the start",
        )
    return "template: the tokens of answering" + (", and of the start" if parent else "")


def build(training: Training, parent: Finished | None, found: Preferences, tokenizer: Any, tell: Tell) -> Any:
    """Return TRL's trainer: the start's adapter, or a new one, on the base, in single precision, and the reference exact."""
    ours, args = cast(Alignment, training.ours), training.args
    if training.kind == "kto":
        cast(Any, args).desirable_weight, cast(Any, args).undesirable_weight = pair_rows.label_weights(found.rows["train"])
    callbacks: list[Any] = [Progress(tell, training.out / run_files.LOSSES), Stopper(), FirstStep(training)]
    callbacks += [adapt.tensorboard(training), *([EarlyStoppingCallback(ours.patience)] if ours.patience else [])]
    start: dict[str, Any] = (
        {"model": started(training, parent)}
        if parent
        else {
            "model": ours.model,
            "quantization_config": nf4_config() if ours.quantised else None,
            "peft_config": METHODS[ours.method].make(ours),
        }
    )
    if parent:
        args.model_init_kwargs = None  # the model is there
    with finished.loading(ours.model):
        trainer = TRAINERS[training.kind](
            **start,
            args=args,
            train_dataset=found.dataset("train", training.kind),
            eval_dataset=found.dataset("validation", training.kind) if args.eval_strategy != "no" else None,
            processing_class=tokenizer,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    adapt.keep_trainable_layout(trainer.model)
    in_single_precision(trainer, parent)
    return trainer


def in_single_precision(trainer: Any, parent: Finished | None) -> None:
    """Let what learns begin at the very numbers of the reference: the library rounded it to bfloat16, and not the reference."""
    if rehearsal.is_sharded(trainer):
        return
    for name, weight in trainer.model.named_parameters():
        if weight.requires_grad:
            twin = name.replace(".default.", ".ref.")
            weight.data = (trainer.model.get_parameter(twin).data if parent else weight.data).float().clone()
        elif ".ref." in name:
            weight.data = weight.data.float()


def started(training: Training, parent: Finished) -> Any:
    """Load the base with the adapter that is trained on."""
    from peft import PeftModel

    kinds = dict(training.args.model_init_kwargs or {})
    stored = {"quantization_config": nf4_config()} if training.ours.quantised else {}
    dtype, attention = getattr(torch, str(kinds["dtype"])), kinds["attn_implementation"]
    base = finished.load(parent.base, dtype=dtype, attn_implementation=attention, **stored)
    with finished.loading(str(parent.learned)):
        return PeftModel.from_pretrained(base, str(parent.learned), adapter_name="default", is_trainable=True)


def keep_rows(training: Training, better: Sequence[dict[str, Any]]) -> Path | None:
    """Keep some held-out better answers in the run, by which its forms can be compared; None where there are none."""
    if not better:
        return None
    rows.write_json(training.out / CHECK, better[:32])
    return training.out / CHECK


def _loss_of_start(
    training: Training, parent: Finished | None, found: Preferences, tokenizer: Any, stops: list[int]
) -> float | None:
    """Return the loss of held-out better answers under the start as it would serve; None where there is no start."""
    file = keep_rows(training, found.chosen("validation"))
    if parent is None or file is None:
        return None
    model = finished.as_trained(parent)
    adapt.keep_trainable_layout(model)  # as the trainer's: another layout rounds otherwise, by more than is allowed here
    loss = held_out.measure(model, held_out.read(file, tokenizer, stops, training.args.max_length or 0)).value
    del model
    gc.collect()
    return loss


def _rehearse(training: Training, trainer: Any, expected: float | None, tokenizer: Any, stops: list[int]) -> list[str]:
    """Weights, reference and start are what they should be, before the first step. Raises BadInput."""
    lines = [rehearsal.check_weights(training, trainer), check_reference(trainer)]
    if expected is not None:
        trainer.model.eval()
        file = held_out.read(training.out / CHECK, tokenizer, stops, training.args.max_length or 0)
        found = held_out.measure(trainer.model, file).value
        trainer.model.train()
        if abs(found - expected) > SAME_START * max(1.0, expected):
            raise BadInput(
                f"the held-out loss at the start is {found:.4f}, and the start's own is {expected:.4f}",
                "what the start learned would be forgotten",
                "report this: the adapter was not taken over",
            )
        lines.append(f"start: held-out loss {found:.4f}, as the start's own")
    return [*lines, rehearsal.check_memory(training), rehearsal.check_disk(training, trainer)]


def check_reference(trainer: Any) -> str:
    """The reference is the starting adapter, number by number, and fixed; without one it is the base. Raises BadInput."""
    parameters = dict(trainer.model.named_parameters())
    pairs = [(name, name.replace(".default.", ".ref.")) for name in parameters if ".default." in name]
    twins = [(one, other) for one, other in pairs if other in parameters]
    if not twins:
        return "reference: the base without the adapter"
    for one, other in twins:
        if parameters[other].requires_grad or not torch.equal(parameters[one].float(), parameters[other].float()):
            raise BadInput(f"{other} is not what learning starts from", "the reference would be another model", "report this")
    return f"reference: {len(twins)} matrices equal to the start, and fixed"


class FirstStep(TrainerCallback):  # type: ignore[misc]
    """Stops a run whose first step shows that policy and reference are not the same model."""

    def __init__(self, training: Training) -> None:
        self.expected = settings.first_loss(training.args, cast(Preference, training.kind))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Look at the figures of the first step. Raises BadInput."""
        if state.global_step != 1 or "loss" not in (logs or {}):
            return
        said = logs or {}
        moved = max(abs(float(said.get(name, 0.0))) for name in ("rewards/chosen", "rewards/rejected", "rewards/margins"))
        wrong = self.expected is not None and abs(float(said["loss"]) - self.expected) > SAME_LOSS
        if wrong or moved > SAME_MARGIN:
            raise BadInput(
                f"the first loss is {said['loss']:.6f}"
                + (f" and should be {self.expected:.6f}" if self.expected is not None else "")
                + f", the first reward {moved:.2g} and should be 0",
                "the reference is not the model that learning starts from",
                "give the start and base that belong together",
            )


def _finish(
    training: Training, trainer: Any, parent: Finished | None, found: Preferences, stops: list[int], seconds: float, tell: Tell
) -> Path:
    """Write the adapter alone, its contract, and run.json last."""
    folder = save(training, trainer, stops)
    if PartialState().is_main_process:
        record = align_record.of(training, trainer, parent, found, seconds)
        for line in align_record.warnings(record["held_out"]):
            tell(line)
        run_files.finish(training.out, record)
    PartialState().wait_for_everyone()
    return folder


def save(training: Training, trainer: Any, stops: list[int]) -> Path:
    """Write the adapter alone, its tokenizer and its contract; returns its folder."""
    folder = training.out / "adapter"
    # a Trainer would write the reference beside it, and whoever loads the folder might take that one
    if PartialState().is_main_process:
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(str(folder), selected_adapters=["default"])
        trainer.processing_class.save_pretrained(str(folder))
        said = contracts.describe(as_sft(training), trainer.processing_class, stops)
        said["greedy"] = contracts.greedy(trainer.model, trainer.processing_class)
        for place in (folder, training.out):
            contracts.write(place, said)
    return folder
