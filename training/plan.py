"""What a training will take, before it starts: parameters, memory, tokens, steps, hours, money, and what the laws say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agri_llm.errors import BadInput
from training import architecture, laws, lengths, memory
from training.architecture import Architecture
from training.laws import Judgement
from training.lengths import Batches, Lengths
from training.memory import GIB, Memory, Shape

# Kept free of a card: CUDA's own context and what its allocator cannot use again. Not measured by us; a careful guess.
CONTEXT_GIB, UNUSABLE = 0.6, 0.08


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a plan is made of: a model, an adapter, the shape of the run, and what it costs. None is not known."""

    model: str
    method: str
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
        """What a card must have: the peak, the context, and what cannot be used again."""
        return self.memory.peak / GIB * (1 + UNUSABLE) + CONTEXT_GIB

    @property
    def fits(self) -> bool | None:
        """Whether it fits the card, where one is given."""
        return None if self.asked.card_gib is None else self.needed_gib <= self.asked.card_gib


def made(asked: Asked, folder: Path) -> Plan:
    """Plan a training on the rows of a data set folder. Raises BadInput or ModelMissing."""
    model = architecture.of(asked.model, asked.adapter)
    counted = lengths.of_folder(folder, tokenizer(asked.model))
    shape = asked.shape
    batches = (
        lengths.packed(counted.tokens, shape.sequence_length)
        if shape.packing
        else lengths.padded(counted.tokens, shape.sequence_length, shape.batch_size)
    )
    if not batches.sequences:
        raise BadInput(
            f"every row is longer than {shape.sequence_length} tokens", "none could be trained on", "set a larger max_length"
        )
    steps, epochs = _steps(asked, batches)
    tokens = round(batches.real * epochs)
    row = batches.real / max(1, len(counted.tokens) - batches.too_long)
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


def asked_of(settings: Mapping[str, Any], *, device: memory.Device = "gpu", **more: Any) -> Asked:
    """Read what a plan needs from the settings of a training: those of TRL's SFTConfig, and model, method, rank, targets.

    This is the one place that knows how a configuration names things. Raises BadInput for a value that cannot be used.
    """
    method = str(settings.get("method", "qlora"))
    said = settings.get("four_bit")
    quantised, full = (method == "qlora" if said is None else bool(said)), method == "full"
    checkpointing = settings.get("gradient_checkpointing", settings.get("activation_checkpointing", True))
    whole = full or (device == "cpu" and not quantised)
    shape = Shape(
        quantised=quantised, full=full, rank=_number(settings, "rank", 16) if method in LORAS else 0,
        sequence_length=_number(settings, "max_length", 2048), batch_size=_number(settings, "per_device_train_batch_size", 8),
        gradient_accumulation=_number(settings, "gradient_accumulation_steps", 1), packing=bool(settings.get("packing", True)),
        checkpointing=bool(checkpointing), optimiser=str(settings.get("optim", "adamw_torch_fused")), device=device,
        kernel="flash" if "flash" in str(settings.get("attention", "sdpa")) else "sdpa", weight_bytes=4 if whole else 2,
        autocast=device == "gpu",
    )  # fmt: skip
    if not settings.get("model"):
        raise BadInput("the settings name no model", "its size decides everything", "add `model`")
    return Asked(
        model=str(settings["model"]), method=method, shape=shape, adapter=adapter_of(method, settings),
        epochs=_number(settings, "num_train_epochs", 3.0), most_steps=_number(settings, "max_steps", -1), **more,
    )  # fmt: skip


def peak_bytes(settings: Mapping[str, Any], device: memory.Device = "gpu") -> int:
    """Return what one process needs at its peak by the settings of a training; the preflight compares it with the card."""
    asked = asked_of(settings, device=device)
    return memory.estimate(architecture.of(asked.model, asked.adapter), asked.shape).peak


LORAS = ("qlora", "lora", "rslora", "dora")


def _number(settings: Mapping[str, Any], name: str, default: Any) -> Any:
    value, kind = settings.get(name, default), type(default)
    try:
        found = kind(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} is {value!r}", f"it must be {kind.__name__}", "correct that line") from error
    if isinstance(value, bool) or (found <= 0 and default > 0):
        raise BadInput(f"{name} is {value!r}", "it must be a number above zero", "correct that line")
    return found


def adapter_of(method: str, settings: Mapping[str, Any]) -> Any:
    """Return the PEFT configuration of a method, None for full training; only its sizes matter here."""
    from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig

    virtual, rank = _number(settings, "virtual_tokens", 20), _number(settings, "rank", 16)
    names = [name.strip() for name in str(settings.get("targets", "all-linear")).split(",")]
    targets: str | list[str] = names[0] if names == ["all-linear"] else names
    if method in LORAS:
        return LoraConfig(r=rank, use_dora=method == "dora", target_modules=targets, task_type="CAUSAL_LM")
    kinds: dict[str, Any] = {"prompt": PromptTuningConfig, "prefix": PrefixTuningConfig}
    if method in kinds:
        return kinds[method](num_virtual_tokens=virtual, task_type="CAUSAL_LM")
    if method == "ia3":
        return IA3Config(task_type="CAUSAL_LM")
    if method == "full":
        return None
    raise BadInput(
        f"method is {method!r}", "no such way to train is known", f"choose one of {', '.join((*LORAS, *kinds))}, ia3, full"
    )


def settings_of(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings. Raises BadInput where it holds none."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} is not YAML", str(error).splitlines()[0], "correct the file") from error
    if not isinstance(said, dict):
        raise BadInput(f"{path} holds no settings", "a line needs a name, a colon and a value", "see training/configs")
    return {str(name): value for name, value in said.items()}


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
