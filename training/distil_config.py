"""What a distillation depends on: the settings of a training, a teacher, and those of TRL's DistillationConfig."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from trl import DistillationConfig, SFTConfig

from agri_llm.errors import BadInput
from training import configuration
from training.configuration import Adaptation, Training
from training.methods import METHODS


@dataclass
class Teaching(Adaptation):
    """The settings of a training, and whom the model learns from."""

    method: str = field(default="lora", metadata={"help": "how weights change", "choices": list(METHODS)})  # small models fit
    teacher: str = field(default="", metadata={"help": "larger model with the same vocabulary, a folder or a hub name"})
    teacher_four_bit: bool = False  # store the teacher in NF4: it only reads, so rounding costs little


@dataclass
class Settings(DistillationConfig):  # type: ignore[misc]
    """The library's settings and the length that rows are chosen by, as in the other trainings."""

    max_length: int = field(default=2048, metadata={"help": "tokens of a prompt with its answer; longer rows are left out"})


# Of the library's defaults for full fine-tuning, those that differ for adapters; the rest is the library's own choice.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 1e-5,  # ten times the library's 1e-6, which is for all weights (TRL documentation, as for GRPO)
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 50,
    "save_total_limit": 2,
    "eval_strategy": "no",  # its own loss is on answers drawn anew each time; the held-out loss is measured before and after
    "max_completion_length": 256,
    "seed": 0,
    "report_to": [],
}
# What the learner writes with must be what answering writes with, on this machine and in this process.
MANAGED = (
    "teacher_model_name_or_path",
    "teacher_model_init_kwargs",
    "teacher_model_revision",
    "use_vllm",
    "chat_template_kwargs",
)


def read(path: Path, flags: Sequence[str] = ()) -> Training:
    """Read a configuration; `flags` like --teacher FOLDER go over it. Raises BadInput naming what cannot be used."""
    parser = configuration.Parser((Teaching, Settings), allow_abbrev=False, add_help=False)
    actions = {action.dest: action for action in parser._actions}
    file = configuration.mapping(path)
    given = [flag.lstrip("-").split("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")]
    for name, place in [(name, str(path)) for name in file] + [(name, "a flag") for name in given]:
        if name in MANAGED:
            raise BadInput(f"{place} sets {name!r}", "every run needs the one value that the program gives it", "set teacher")
        configuration.check_name(name, place, actions)
    said = {name: configuration.as_said(value, actions[name], path) for name, value in file.items()}
    managed = {name: value for name, value in configuration.managed().items() if name in actions}
    parser.set_defaults_with_config(**{**DEFAULTS, **said, **managed})
    try:
        ours, args = parser.parse_args_and_config(args=list(flags))
    except (ValueError, TypeError, ImportError) as error:
        raise BadInput(f"the settings of {path} do not go together", configuration.reason(error), "correct the file") from error
    args.output_dir, args.data_seed = str(Path(ours.out) / "steps"), args.seed
    args.shuffle_dataset = False  # rows are shuffled once: the library's shuffling begins anew after a resume
    args.model_init_kwargs = {
        "dtype": configuration.dtype(ours), "attn_implementation": ours.attention, "use_safetensors": True
    }  # fmt: skip
    where = {**dict.fromkeys(file, path.name), **dict.fromkeys(given, "flag")}
    _check(ours, args, path)
    return Training(kind="sft", ours=ours, args=cast(SFTConfig, args), said=where)


def _check(ours: Teaching, args: Settings, path: Path) -> None:
    for name in ("model", "teacher", "data", "out"):
        if not getattr(ours, name):
            raise BadInput(f"{path} does not say {name!r}", "distillation needs it", f"add it, or give --{name}")
    if METHODS[ours.method].virtual:
        raise BadInput(f"{path} distils with {ours.method} tuning", "the loss would not see its virtual tokens", "use lora")
    if ours.quantised and ours.method == "full":
        raise BadInput(f"{path} trains all weights in four bits", "such weights cannot change", "choose method: qlora")
    if args.max_completion_length is None or args.max_completion_length >= args.max_length:
        raise BadInput(
            f"{path} lets answers be {args.max_completion_length} tokens long, and max_length is {args.max_length}",
            "nothing is left for the question",
            "lower max_completion_length",
        )


def described(found: Training) -> str:
    """Return every setting that is not a library's default on one line, with where it was said."""
    values = {
        **dataclasses.asdict(found.ours),
        **{name: getattr(found.args, name) for name in (*DEFAULTS, "beta", "max_length")},
    }
    values |= {name: getattr(found.args, name) for name in found.said if name not in values}
    return ", ".join(f"{name}={value} ({found.said.get(name, 'default')})" for name, value in values.items())
