"""Continued pretraining and instruction tuning of a language model with TRL's SFTTrainer; `agri train sft|pretrain CONFIG`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from transformers import AutoTokenizer, EarlyStoppingCallback, GenerationConfig, PrinterCallback
from transformers.integrations import TensorBoardCallback
from trl import SFTTrainer

from agri_llm.errors import AgriError, BadInput, ModelMissing, TrainingStopped
from agri_llm.language import chat_template
from agri_llm.language.local import nf4_config
from training import configuration, muon, preflight, rehearsal, run_files, run_record, token_count, tokens
from training import contract as contracts
from training.configuration import Training, reason
from training.methods import METHODS
from training.progress import Progress, Stopper, Tell
from training.token_count import CountingTrainer, TokenCount
from training.tokens import Tokens


def train(training: Training, tell: Tell) -> Path:
    """Train, or go on where a run was stopped; returns the folder of the adapter or model.

    Raises BadInput for what cannot be trained on, ModelMissing for a base that cannot be loaded, TrainingStopped.
    """
    rehearsal.check_steps(training)
    if not Path(training.ours.data).is_dir():
        raise BadInput(f"there is no data set at {training.ours.data}", "nothing can be learned from it", "check `data`")
    with sentences(training):
        tokenizer, serving, stops = load_tokenizer(training)
        if PartialState().is_main_process:
            run_files.begin(training.out, configuration.everything(training))
        PartialState().wait_for_everyone()
        found = _tokens(training, tokenizer, stops)
        for line in preflight.of_data(training, found, tokenizer, serving, stops):
            tell(line)
        trainer = build(training, found, tokenizer, tell)
        for line in rehearsal.of_trainer(training, trainer):
            tell(line)
        seconds = run(training, trainer, tell)
        return _finish(training, trainer, found, stops, seconds)


def load_tokenizer(training: Training) -> tuple[Any, Any, list[int]]:
    """Return the tokenizer with a padding token of its own, the one that answering would load, and the end tokens."""
    path = training.ours.model
    try:
        tokenizer, serving = (AutoTokenizer.from_pretrained(path, trust_remote_code=False) for _ in range(2))
    except (OSError, ValueError) as error:
        if not Path(path).exists():
            raise ModelMissing(
                f"there is no folder {path!r}, and nothing could be fetched under this name", reason(error), "check `model`"
            ) from error
        raise ModelMissing(f"the tokenizer of {path!r} cannot be loaded", reason(error), "check `model`") from error
    try:
        generation = GenerationConfig.from_pretrained(path)
    except OSError:  # then the model's own end token counts
        generation = None
    if training.kind == "sft" and not tokenizer.chat_template:
        raise BadInput(
            f"the tokenizer of {path!r} has no chat template",
            "nothing says how a conversation is written",
            "choose an instruct model, or put a chat_template.jinja beside it",
        )
    _give_padding(tokenizer, path)
    return tokenizer, serving, chat_template.stop_ids(tokenizer, generation)


def _give_padding(tokenizer: Any, path: str) -> None:
    """Let filling up have a token of its own: with the end token, where an answer ends would not be learned everywhere."""
    if tokenizer.pad_token_id not in (None, tokenizer.eos_token_id):
        return
    used = {tokenizer.eos_token, tokenizer.bos_token}
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    free = [token for token in special if token not in used and token not in str(tokenizer.chat_template)]
    if not free:
        raise BadInput(
            f"the tokenizer of {path!r} fills up with its end token and has no other",
            "the model might not learn where an answer ends",
            "add a padding token to the tokenizer",
        )
    tokenizer.pad_token = next((token for token in free if "pad" in token.lower()), free[0])


def _tokens(training: Training, tokenizer: Any, stops: list[int]) -> Tokens:
    cut = training.kind == "pretrain" and training.args.packing
    place = training.out / "tokens" / str(PartialState().process_index)  # each process writes its own
    return tokens.prepare(
        Path(training.ours.data), training.kind, tokenizer, stops, training.args.max_length or 0, cut=cut, kept_in=place
    )


def build(training: Training, found: Tokens, tokenizer: Any, tell: Tell) -> SFTTrainer:
    """Return TRL's trainer with the base loaded, the adapter on top, and what learns in single precision."""
    ours, args = training.ours, training.args
    callbacks: list[Any] = [Progress(tell, training.out / run_files.LOSSES), Stopper(), TokenCount(), tensorboard(training)]
    if ours.patience:
        callbacks.append(EarlyStoppingCallback(ours.patience))
    try:
        trainer = CountingTrainer(
            model=ours.model,
            args=args,
            train_dataset=found.rows["train"],
            eval_dataset=found.rows.get("validation") if args.eval_strategy != "no" else None,
            processing_class=tokenizer,
            quantization_config=nf4_config() if ours.quantised else None,
            peft_config=METHODS[ours.method].make(ours),
            callbacks=callbacks,
        )
    except OSError as error:
        if error.errno in run_files.FULL:
            raise
        raise ModelMissing(f"the model {ours.model!r} cannot be loaded", reason(error), "check `model`") from error
    except (ValueError, ImportError, KeyError, SafetensorError) as error:
        raise BadInput(
            f"{ours.model!r} cannot be trained with these settings", reason(error), "correct the settings"
        ) from error
    trainer.remove_callback(PrinterCallback)
    _check_launcher(trainer)
    keep_trainable_layout(trainer.model)
    if not rehearsal.is_sharded(trainer):  # shards must be of one kind; alone, bfloat16 would round small steps away
        for weight in rehearsal.trainable(trainer):
            weight.data = weight.data.float()
    if ours.muon:
        muon.use(training, trainer)
    return trainer


def keep_trainable_layout(model: Any) -> None:
    """Keep four-bit layers from changing, at the first evaluation on a processor, into a layout that has no gradient.

    bitsandbytes does that where the processor has AVX512-BF16; after it, layers without bias pass no gradient on, silently.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def tensorboard(training: Training) -> TensorBoardCallback:
    """Return what writes the figures for TensorBoard into the folder of a run, in one process of several."""
    from torch.utils.tensorboard import SummaryWriter

    if not PartialState().is_main_process:
        return TensorBoardCallback()
    return TensorBoardCallback(tb_writer=SummaryWriter(log_dir=str(training.out / "tensorboard")))


def _check_launcher(trainer: SFTTrainer) -> None:
    """Raise BadInput where the launcher was asked to shard and accelerate, which says nothing then, does not."""
    for name, kind in (("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DEEPSPEED")):
        if os.environ.get(name, "").lower() in ("true", "1") and trainer.accelerator.distributed_type != kind:
            raise BadInput(
                f"the launcher asks for {kind} and the run would be {trainer.accelerator.distributed_type}",
                "every process would hold the whole model (accelerate shards on GPUs alone)",
                "use training/configs/accelerate/ddp.yaml, or a machine with GPUs",
            )


def run(training: Training, trainer: SFTTrainer, tell: Tell) -> float:
    """Train to the end, from the last complete checkpoint where there is one; returns the seconds of this session."""
    with PartialState().main_process_first():
        last = run_files.last_step(training.out, tidy=PartialState().is_main_process)
    if last is not None:
        tell(f"going on from {last.name}")
        token_count.restore(trainer, last)
    stopper = next(each for each in trainer.callback_handler.callbacks if isinstance(each, Stopper))
    begun = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    except KeyboardInterrupt as error:
        raise _stopped(training, trainer.state.global_step) from error
    finally:
        stopper.restore()
    if stopper.asked:
        raise _stopped(training, trainer.state.global_step)
    return time.monotonic() - begun


def _stopped(training: Training, step: int) -> TrainingStopped:
    last = run_files.last_step(training.out, tidy=False)
    kept = f"{last.name} is kept" if last else "no checkpoint was due yet"
    return TrainingStopped(
        f"the training was stopped at step {step}", f"{kept} in {training.out}", "the same command goes on from there"
    )


def _finish(training: Training, trainer: SFTTrainer, found: Tokens, stops: list[int], seconds: float) -> Path:
    """Write the adapter or model, its contract, and run.json last."""
    folder = training.out / ("model" if training.ours.method == "full" else "adapter")
    trainer.save_model(str(folder))
    main = PartialState().is_main_process
    if main:
        said = contracts.describe(training, trainer.processing_class, stops)
        can_write = training.kind == "sft" and not rehearsal.is_sharded(trainer)
        said["greedy"] = contracts.greedy(trainer.model, trainer.processing_class) if can_write else []
        for place in (folder, training.out):
            contracts.write(place, said)
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle; config.yaml says the same
        run_files.finish(training.out, run_record.of(training, trainer, found, seconds))
    PartialState().wait_for_everyone()
    shutil.rmtree(training.out / "tokens", ignore_errors=True)
    return folder


@contextmanager
def sentences(training: Training) -> Iterator[None]:
    """Turn a full disk, too little memory and a base that cannot be loaded into sentences."""
    try:
        yield
    except AgriError:
        raise
    except (OSError, RuntimeError, SafetensorError, MemoryError) as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            raise TrainingStopped(
                "memory ran out", reason(error), "lower per_device_train_batch_size or max_length; checkpoints are kept"
            ) from error
        if getattr(error, "errno", None) in run_files.FULL or "o space left" in str(error) or _full(training):
            raise TrainingStopped(
                f"the disk of {training.out} is full",
                "what is learned could not be written",
                "free space; the same command goes on from the last complete checkpoint",
            ) from error
        raise


def _full(training: Training) -> bool:
    """Whether less than a mebibyte is left: torch says of a full disk only that a write failed."""
    return shutil.disk_usage(rehearsal.existing(training.out)).free < 1 << 20
