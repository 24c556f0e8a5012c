"""A small model learns from a larger one: it answers prompts itself, and moves to what the teacher would have said there.

TRL's DistillationTrainer with the loss of on-policy distillation (Agarwal et al., arXiv 2306.13649). Teacher and learner need
the same vocabulary, token by token.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import PartialState
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import DistillationTrainer

from agri_llm.errors import BadInput
from agri_llm.language import chat_template, contract
from agri_llm.language.local import nf4_config
from training import adapt, configuration, finished, held_out, preflight, rehearsal, run_files, tokens
from training import contract as contracts
from training.configuration import Training
from training.distil_config import Teaching
from training.methods import METHODS
from training.progress import Progress, Stopper, Tell
from training.rows import write_whole

if TYPE_CHECKING:
    from datasets import Dataset

BEFORE = "before.json"  # the held-out loss of the learner as it came, kept for a session that goes on


def train(training: Training, tell: Tell) -> Path:
    """Distil, or go on where a run was stopped; returns the folder of the adapter or model.

    Raises BadInput for what cannot be learned from, ModelMissing, TrainingStopped.
    """
    with adapt.sentences(training):
        tokenizer, serving, stops = adapt.load_tokenizer(training)
        tell(check_teacher(training, tokenizer))
        rows = tokens.prepare(
            Path(training.ours.data), "sft", tokenizer, stops, training.args.max_length or 0, cut=False
        )  # fmt: skip
        for line in preflight.of_data(training, rows, tokenizer, serving, stops):
            tell(line)
        if PartialState().is_main_process:
            run_files.begin(training.out, configuration.everything(training))
        PartialState().wait_for_everyone()
        trainer = build(training, prompts(training, tokenizer, tell), tokenizer, tell)
        tell(rehearsal.check_weights(training, trainer))
        tell(rehearsal.check_disk(training, trainer))
        check = _check_rows(training, tokenizer, stops)
        before = _before(training, trainer, check)
        seconds = adapt.run(training, cast(Any, trainer), tell)
        return _finish(training, trainer, stops, {"before": before, "after": _loss(trainer, check)}, seconds)


def check_teacher(training: Training, tokenizer: Any) -> str:
    """The teacher's tokens are the learner's, number by number, and its chat is written in the same tokens. Raises BadInput."""
    place = cast(Teaching, training.ours).teacher
    with finished.loading(place):
        theirs = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        sizes = [AutoConfig.from_pretrained(each).get_text_config().vocab_size for each in (training.ours.model, place)]
    if contract.vocabulary_hash(theirs) != contract.vocabulary_hash(tokenizer):
        raise BadInput(
            f"the teacher {place!r} has another vocabulary than {training.ours.model!r}",
            "its opinion on token 100 would be about another word",
            "choose a teacher of the same family",
        )
    if sizes[0] != sizes[1]:
        raise BadInput(
            f"the teacher {place!r} gives {sizes[1]} figures a token and {training.ours.model!r} {sizes[0]}",
            "they cannot be compared one by one (some sizes of a family pad their table)",
            "choose a teacher whose vocab_size is the same",
        )
    if theirs.chat_template and contract.rendered_hash(theirs) != contract.rendered_hash(tokenizer):
        return "teacher: same vocabulary; its own chat template differs, so it reads chats of a form that it did not learn"
    return "teacher: same vocabulary, same chat template"


def prompts(training: Training, tokenizer: Any, tell: Tell) -> Dataset:
    """Return the conversations of the training rows up to their last answer, in an order drawn once.

    Rows that its rendering would write in other tokens than answering does, for a control token in them, are left out.
    """
    from datasets import Dataset

    args, found, left_out = training.args, [], 0
    room = (args.max_length or 0) - int(getattr(args, "max_completion_length", 0))
    for _, row in tokens.lines(Path(training.ours.data) / "train.jsonl", "sft"):
        if row is None:
            continue
        messages = row["messages"]
        last = max((at for at, each in enumerate(messages) if each["role"] == "assistant"), default=0)
        asked = [{"role": each["role"], "content": each["content"]} for each in messages[:last]]
        if not asked:
            left_out += 1
            continue
        ids = chat_template.ids(tokenizer, asked, to_answer=True)
        plain = tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
        if len(ids) > room or ids != list(plain):
            left_out += 1
            continue
        found.append({"prompt": asked})
    if len(found) < 2 or left_out > training.ours.most_lost * (len(found) + left_out):
        raise BadInput(
            f"{left_out} of {left_out + len(found)} prompts are too long or hold control tokens",
            "the learner would hear nothing about them",
            "raise max_length or most_lost, or correct the rows",
        )
    tell(f"prompts: {len(found):,}, {left_out} left out")
    return Dataset.from_list(found).shuffle(seed=args.seed)


def build(training: Training, rows: Dataset, tokenizer: Any, tell: Tell) -> DistillationTrainer:
    """Return TRL's trainer with learner and teacher loaded, and what learns in single precision."""
    ours = training.ours
    tokenizer.padding_side = "left"  # the trainer lets many prompts be answered at once
    with finished.loading(ours.model):
        trainer = DistillationTrainer(
            model=ours.model,
            teacher_model=_teacher(training),
            args=training.args,
            train_dataset=rows,
            processing_class=tokenizer,
            quantization_config=nf4_config() if ours.quantised else None,
            peft_config=METHODS[ours.method].make(ours),
            callbacks=[Progress(tell, training.out / run_files.LOSSES), Stopper(), adapt.tensorboard(training)],
        )
    trainer.remove_callback(PrinterCallback)
    adapt.keep_trainable_layout(trainer.model)
    if not rehearsal.is_sharded(trainer):
        for weight in rehearsal.trainable(trainer):
            weight.data = weight.data.float()
    return trainer


def _teacher(training: Training) -> Any:
    ours = cast(Teaching, training.ours)
    kinds = dict(training.args.model_init_kwargs or {})
    stored = {"quantization_config": nf4_config()} if ours.teacher_four_bit else {}
    dtype = torch.bfloat16 if torch.cuda.is_available() or ours.teacher_four_bit else getattr(torch, str(kinds["dtype"]))
    with finished.loading(ours.teacher):
        teacher = AutoModelForCausalLM.from_pretrained(ours.teacher, use_safetensors=True, dtype=dtype, **stored)
    adapt.keep_trainable_layout(teacher)
    return teacher.requires_grad_(False)


def _check_rows(training: Training, tokenizer: Any, stops: list[int]) -> held_out.Rows | None:
    file = Path(training.ours.data) / "validation.jsonl"
    return held_out.read(file, tokenizer, stops, training.args.max_length or 0) if file.is_file() else None


def _before(training: Training, trainer: Any, rows: held_out.Rows | None) -> float | None:
    """Return the held-out loss before the first step; a session that goes on reads what the first one found."""
    file = training.out / BEFORE
    if run_files.last_step(training.out, tidy=False) is None:
        found = _loss(trainer, rows)
        if PartialState().is_main_process:
            write_whole(file, json.dumps(found) + "\n")
        return found
    return cast("float | None", json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def _loss(trainer: Any, rows: held_out.Rows | None) -> float | None:
    """Return the held-out loss of the rows' own answers: the teacher's words are not the only right ones."""
    if rows is None:
        return None
    trainer.model.eval()
    return round(held_out.measure(trainer.model, rows).value, 6)


def _finish(training: Training, trainer: Any, stops: list[int], judged: dict[str, float | None], seconds: float) -> Path:
    """Write the adapter or model, its contract, and run.json last."""
    ours = cast(Teaching, training.ours)
    folder = training.out / ("model" if ours.method == "full" else "adapter")
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        said = contracts.describe(training, trainer.processing_class, stops)
        said["greedy"] = [] if rehearsal.is_sharded(trainer) else contracts.greedy(trainer.model, trainer.processing_class)
        for place in (folder, training.out):
            contracts.write(place, said)
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle; config.yaml says the same
        teacher = {"name": Path(ours.teacher).name, "weights": contract.weights_hash(ours.teacher)}
        losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
        run_files.finish(
            training.out,
            {
                "kind": "distil",
                "base": said["base"],
                "teacher": teacher,
                "settings": configuration.everything(training),
                "seed": training.args.seed,
                **run_files.provenance(),
                "prompt_hash": said["prompt_hash"],
                "steps": trainer.state.global_step,
                "seconds_of_last_session": round(seconds, 1),
                "first_loss": losses[0] if losses else None,
                "last_loss": losses[-1] if losses else None,
                "held_out_assistant_loss": judged,
                "synthetic": True,  # it learned from what models wrote
            },
        )
    return folder
