"""What a training will take, before it starts: parameters, memory, tokens, steps, hours, money, and what the laws say."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agri_llm.errors import BadInput
from training import architecture, laws, lengths, memory
from training.architecture import Architecture
from training.configuration import Kind, Training
from training.laws import Judgement
from training.lengths import Batches, Lengths
from training.memory import GIB, Memory, Shape
from training.methods import METHODS

# Kept free of a card: CUDA's own context and what its allocator cannot use again. Not measured by us; a careful guess.
CONTEXT_GIB, UNUSABLE = 0.6, 0.08


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a plan is made of: a model, an adapter, the shape of the run, and what it costs. None is not known."""

    model: str
    method: str
    kind: Kind
    shape: Shape
    adapter: Any  # a PEFT configuration
    epochs: float = 1.0
    most_steps: int = -1
    gpus: int = 1
    tokens_per_second: float | None = None  # of all GPUs together
    price: float | None = None  # of a GPU for an hour
    card_gib: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole plan; times in hours, money in the unit of the price."""

    asked: Asked
    architecture: Architecture
    memory: Memory
    lengths: Lengths
    batches: Batches
    steps: int
    epochs: float
    tokens: int
    flops: float
    judgement: Judgement

    @property
    def hours(self) -> float | None:
        """How long it takes, where the throughput is known."""
        speed = self.asked.tokens_per_second
        return self.tokens / speed / 3600 if speed else None

    @property
    def cost(self) -> float | None:
        """What it costs, where throughput and price are known."""
        price = self.asked.price
        return self.hours * self.asked.gpus * price if self.hours is not None and price is not None else None

    @property
    def needed_gib(self) -> float:
        """What a card must have."""
        return of_card(self.memory) / GIB

    @property
    def fits(self) -> bool | None:
        """Whether it fits the card, where one is given."""
        return None if self.asked.card_gib is None else self.needed_gib <= self.asked.card_gib


def made(asked: Asked, folder: Path) -> Plan:
    """Plan a training on the rows of a data set folder. Raises BadInput or ModelMissing."""
    model = architecture.of(asked.model, asked.adapter)
    counted = lengths.of_folder(folder, asked.kind, tokenizer(asked.model))
    shape = asked.shape
    cut = asked.kind == "pretrain" and shape.packing
    rows = lengths.pieces(counted.tokens, shape.sequence_length) if cut else counted.tokens
    batches = (
        lengths.packed(rows, shape.sequence_length)
        if shape.packing
        else lengths.padded(rows, shape.sequence_length, shape.batch_size)
    )
    if not batches.sequences:
        raise BadInput(
            f"every row is longer than {shape.sequence_length} tokens", "none could be trained on", "set a larger max_length"
        )
    steps, epochs = _steps(asked, batches)
    tokens = round(batches.real * epochs)
    row = batches.real / max(1, len(rows) - batches.too_long)
    return Plan(
        asked=asked, architecture=model, memory=memory.estimate(model, shape), lengths=counted, batches=batches, steps=steps,
        epochs=epochs, tokens=tokens, flops=architecture.step_flops(model, tokens, row, frozen=not shape.full),
        judgement=laws.judged(model.base, model.without_embeddings, float(batches.real), float(tokens)),
    )  # fmt: skip


def _steps(asked: Asked, batches: Batches) -> tuple[int, float]:
    together = asked.shape.batch_size * asked.shape.gradient_accumulation * asked.gpus
    an_epoch = math.ceil(batches.sequences / together)
    steps = asked.most_steps if asked.most_steps > 0 else math.ceil(an_epoch * asked.epochs)
    return steps, steps / an_epoch


def tokenizer(model: str) -> Any:
    """Return the tokenizer of a model where it has one with a chat template, else None: letters are counted then."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # AutoTokenizer raises any of these for a folder without one
    return found if found.chat_template else None


def asked_of(training: Training, *, device: memory.Device = "gpu", **more: Any) -> Asked:
    """Read what a plan needs from the settings of a training."""
    ours, args = training.ours, training.args
    full = ours.method == "full"
    whole = full or (device == "cpu" and not ours.quantised)
    answers = 2 if training.kind in ("dpo", "kto", "reward") else 1  # each with another
    shape = Shape(
        quantised=ours.quantised, full=full, rank=ours.rank if METHODS[ours.method].ranked else 0,
        sequence_length=args.max_length or 0, batch_size=answers * args.per_device_train_batch_size,
        gradient_accumulation=args.gradient_accumulation_steps, packing=getattr(args, "packing", False),
        checkpointing=bool(args.gradient_checkpointing), optimiser=str(getattr(args.optim, "value", args.optim)),
        device=device, kernel="flash" if "flash" in ours.attention else "sdpa", weight_bytes=4 if whole else 2,
        autocast=device == "gpu",
    )  # fmt: skip
    return Asked(
        model=ours.model, method=ours.method, kind=training.kind, shape=shape, adapter=METHODS[ours.method].make(ours),
        epochs=args.num_train_epochs, most_steps=args.max_steps, **more,
    )  # fmt: skip


def peak_bytes(training: Training) -> int:
    """Return what one process that holds everything takes of its card, or of the machine where no card is named or there.

    Raises BadInput for a model whose kind is not known here.
    """
    device: memory.Device = "gpu" if training.ours.card_gib or torch.cuda.is_available() else "cpu"
    asked = asked_of(training, device=device)
    found = memory.estimate(architecture.of(asked.model, asked.adapter), asked.shape)
    return of_card(found) if device == "gpu" else found.peak


def of_card(found: Memory) -> int:
    """Return what a card must have: the peak, CUDA's context, and what its allocator cannot use again."""
    return round(found.peak * (1 + UNUSABLE) + CONTEXT_GIB * GIB)


def measured_speed(run: Path) -> float:
    """Return the tokens a second that an earlier run measured and wrote into its run.json. Raises BadInput."""
    file = run / "run.json" if run.is_dir() else run
    try:
        speed = json.loads(file.read_text(encoding="utf-8")).get("tokens_per_second")
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{file} is no finished run", "its speed is not known", "name the folder of one that has ended"
        ) from error
    if not isinstance(speed, int | float) or speed <= 0:
        raise BadInput(f"{file} says no tokens_per_second", "its speed is not known", "give --tokens-per-second")
    return float(speed)
