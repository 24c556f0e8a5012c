"""The second half of the preflight: what only the loaded model and the trainer's own batches can show."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from agri_llm.errors import BadInput
from training import plan
from training.configuration import Training
from training.memory import GIB
from training.methods import METHODS

SAME = 1e-5  # logits that differ by less are the same (measured: packed apart 0.0, leaking 0.45 and more)


def of_trainer(training: Training, trainer: Any) -> list[str]:
    """Check weights, batches, packing, memory and disk; returns a line for each finding. Raises BadInput."""
    lines = [check_weights(training, trainer), check_batch(trainer)]
    if training.args.packing and not is_sharded(trainer):
        lines.append(check_packing(trainer))
    lines += [check_memory(training, sharded=is_sharded(trainer)), check_disk(training, trainer)]
    return lines


def trainable(trainer: Any) -> list[torch.nn.Parameter]:
    """Return the weights that learn."""
    return [weight for weight in trainer.model.parameters() if weight.requires_grad]


def is_sharded(trainer: Any) -> bool:
    """Whether the weights are spread over several processes."""
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def check_weights(training: Training, trainer: Any) -> str:
    """The base is stored as asked, something learns, and what learns is in single precision."""
    learns = trainable(trainer)
    if not learns:
        raise BadInput("no weight learns", "the targets match no layer", "check `targets`")
    kinds = sorted({str(weight.dtype).removeprefix("torch.") for weight in learns})
    if kinds != ["float32"] and not is_sharded(trainer):
        raise BadInput(
            f"the weights that learn are {', '.join(kinds)}",
            "small steps would be rounded away",
            "report this: they should have been made float32",
        )
    quantised = _four_bit_layers(trainer.model)
    if training.ours.quantised != bool(quantised):
        raise BadInput(
            f"{quantised} layers are stored in four bits, and four_bit is {training.ours.quantised}",
            "the model would not be the one that was asked for",
            "check method and four_bit",
        )
    number = sum(weight.numel() for weight in learns)
    return f"weights: {number:,} learn, in {', '.join(kinds)}; {quantised} layers of the base in NF4"


def _four_bit_layers(model: torch.nn.Module) -> int:
    """Count the layers of the base in four bits; PEFT's layers around them have the same name and are not counted."""
    try:
        from bitsandbytes.nn import Linear4bit
    except ImportError:
        return 0
    return sum(isinstance(module, Linear4bit) for module in model.modules())


def check_batch(trainer: Any) -> str:
    """In the very batch that the trainer makes, filling up is not learned, and every end token that should be learned is."""
    pad, rows = trainer.processing_class.pad_token_id, _some_rows(trainer, 4)
    batch = trainer.data_collator(rows)
    labels, ids = batch["labels"], batch["input_ids"]
    starts = batch["position_ids"] == 0 if "position_ids" in batch else torch.zeros_like(ids, dtype=torch.bool)
    expected = sum(sum(label != -100 for label in row["labels"]) for row in rows)
    first = sum(row["labels"][at] != -100 for row in rows for at in _starts(row)) if starts.any() else 0
    learned = int((labels != -100).sum())
    if learned == 0 or learned != expected - first:
        raise BadInput(
            f"of {expected} tokens that should be learned the batch has {learned}",
            "filling up with the end token would hide where an answer ends",
            "give the tokenizer a padding token of its own",
        )
    filled = int((labels == pad).sum())
    if filled and trainer.processing_class.eos_token_id != pad:
        raise BadInput(f"{filled} filling tokens would be learned", "the model would write them", "check the data for them")
    return f"batch: {learned} of {labels.numel()} tokens are learned, none of them filling"


def _starts(row: dict[str, Any]) -> list[int]:
    lengths = row.get("seq_lengths") or [len(row["input_ids"])]
    return [sum(lengths[:at]) for at in range(len(lengths))]


def _some_rows(trainer: Any, number: int) -> list[dict[str, Any]]:
    rows = trainer.train_dataset
    return [rows[at] for at in range(min(number, len(rows)))]


def check_packing(trainer: Any) -> str:
    """Other words in one packed row change nothing in the next: measured on the model, with the trainer's own batch."""
    moved = packing_leak(trainer)
    if moved > SAME:
        raise BadInput(
            f"other words in one packed row move the logits of the next by {moved:.3g}",
            "rows would be learned as if one followed from the other",
            "set packing: false, or choose another `attention`",
        )
    return f"packing: rows do not see one another, logits move by {moved:.1g}"


@torch.no_grad()
def packing_leak(trainer: Any, length: int = 24) -> float:
    """Return how far logits of a second packed row move when the first is replaced by one of the same length."""
    vocabulary, model = len(trainer.processing_class), trainer.model
    draws = torch.Generator().manual_seed(0)
    first, other, second = torch.randint(0, vocabulary, (3, length), generator=draws).tolist()
    was_training = model.training
    model.eval()
    found = []
    for begin in (first, other):
        row = {"input_ids": begin + second, "labels": begin + second, "seq_lengths": [length, length]}
        batch = {name: _to(value, model.device) for name, value in trainer.data_collator([row]).items() if name != "labels"}
        found.append(model(**batch, use_cache=False).logits[0, length:].float())
    model.train(was_training)
    return float((found[0] - found[1]).abs().max())


def _to(value: Any, device: Any) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def check_memory(training: Training, *, sharded: bool = False) -> str:
    """The training fits into the card, or into the machine where there is none; `sharded`, a process holds a part of it."""
    try:
        needed = plan.peak_bytes(training)
    except BadInput as error:
        return f"memory: not known, {error.what}"
    if training.ours.card_gib:
        has = int(training.ours.card_gib * GIB)
    elif torch.cuda.is_available():
        has = torch.cuda.get_device_properties(0).total_memory
    else:
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > has and not sharded:
        raise BadInput(
            f"the training needs about {needed / GIB:.2f} GiB and there are {has / GIB:.2f}",
            "it would end in the middle",
            "choose qlora, a smaller rank, max_length or batch, or a larger card; `agri train plan` says what takes how much",
        )
    return f"memory: about {needed / GIB:.2f} of {has / GIB:.1f} GiB" + (", before it is shared out" if sharded else "")


def check_disk(training: Training, trainer: Any) -> str:
    """The checkpoints that are kept at one time fit on the disk."""
    learns = sum(weight.numel() for weight in trainable(trainer))
    kept = training.args.save_total_limit or max(1, trainer.args.max_steps)
    copies = kept + 3  # the best one, the one being written, and the result
    state = 2 if "8bit" in str(trainer.args.optim) else 8
    needed = copies * learns * (4 + state)
    free = shutil.disk_usage(existing(training.out)).free
    if needed > free:
        raise BadInput(
            f"{copies} copies of what is learned take {needed / GIB:.2f} GiB, and {free / GIB:.2f} are free at {training.out}",
            "a full disk ends the training",
            "free space, choose another `out`, or lower save_total_limit",
        )
    return f"disk: {needed / GIB:.2f} GiB of {free / GIB:.1f} free"


def existing(path: Path) -> Path:
    """Return the nearest folder above a path that is already there."""
    while not path.exists():
        path = path.parent
    return path


def check_steps(training: Training) -> None:
    """What a method cannot do together with other settings; raises BadInput."""
    if training.args.gradient_checkpointing and not METHODS[training.ours.method].checkpointing:
        raise BadInput(
            f"method {training.ours.method} cannot compute activations again",
            "PEFT keeps its virtual tokens in the cache",
            "set gradient_checkpointing: false",
        )
