"""What an alignment depends on: the settings of a training, the adapter it goes on from, those of TRL's DPO, KTO or reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from trl import DPOConfig, KTOConfig, RewardConfig, SFTConfig

from agri_llm.errors import BadInput
from training import configuration
from training.configuration import Adaptation, Training
from training.methods import METHODS

Preference = Literal["dpo", "kto", "reward"]
CONFIGS = {"dpo": DPOConfig, "kto": KTOConfig, "reward": RewardConfig}
# A head of random numbers learns with larger steps; scores are held near zero, or they drift (TRL documentation).
OF_REWARD: dict[str, Any] = {"learning_rate": 1e-4, "center_rewards_coefficient": 0.01}
# Losses whose first value is known where policy and reference are one (TRL 1.16, measured): ln 2, 1 / (4 beta²), 1, 1/2.
LN2 = 0.6931471805599453


@dataclass
class Alignment(Adaptation):
    """The settings of a training, and the finished run whose adapter is trained on."""

    start: str = field(default="", metadata={"help": "finished run to go on from; a new adapter on the base when empty"})
    longest_wins: float = 0.75  # most pairs whose better answer is the longer one; above, length would be learned


# Where we differ from the library, and why.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 5e-6,  # LoRA; the library's 1e-6 is for all weights (TRL documentation)
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 50,
    "save_total_limit": 2,
    "eval_strategy": "steps",
    "eval_steps": 50,
    "max_length": 2048,
    "seed": 0,
    "report_to": [],
}
# A reference that moves is no reference; what is trained on is always a copy of the start.
MANAGED = (
    "sync_ref_model", "precompute_ref_log_probs", "precompute_ref_batch_size", "ref_model_init_kwargs", "padding_free",
    "train_sampling_strategy", "disable_dropout", "eval_on_start", "use_liger_kernel", "desirable_weight", "undesirable_weight",
)  # fmt: skip


def read(path: Path, kind: Preference, flags: Sequence[str] = ()) -> Training:
    """Read a configuration; `flags` like --data FOLDER go over it. Raises BadInput naming what cannot be used."""
    parser = configuration.Parser((Alignment, CONFIGS[kind]), allow_abbrev=False, add_help=False)
    actions = {action.dest: action for action in parser._actions}
    file = configuration.mapping(path)
    given = [flag.lstrip("-").split("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")]
    for name, place in [(name, str(path)) for name in file] + [(name, "a flag") for name in given]:
        if name in MANAGED:
            raise BadInput(f"{place} sets {name!r}", "every run needs the one value that the program gives it", "leave it out")
        configuration.check_name(name, place, actions)
    said = {name: configuration.as_said(value, actions[name], path) for name, value in file.items()}
    managed = {name: value for name, value in configuration.managed().items() if name in actions}
    if kind == "kto":
        managed["train_sampling_strategy"] = "sequential"  # each row's KL partner is the one before it; rows are mixed by us
    own = OF_REWARD if kind == "reward" else {}
    parser.set_defaults_with_config(**{**DEFAULTS, **own, **said, **managed})
    try:
        ours, args = parser.parse_args_and_config(args=list(flags))
    except (ValueError, TypeError, ImportError) as error:
        raise BadInput(f"the settings of {path} do not go together", configuration.reason(error), "correct the file") from error
    args.output_dir, args.data_seed = str(Path(ours.out) / "steps"), args.seed
    args.eval_on_start = args.eval_strategy != "no"  # what was before is part of every figure
    args.model_init_kwargs = {
        "dtype": configuration.dtype(ours), "attn_implementation": ours.attention, "use_safetensors": True
    }  # fmt: skip
    _check(ours, args, kind, path)
    where = {**dict.fromkeys(file, path.name), **dict.fromkeys(given, "flag")}
    return Training(kind=kind, ours=ours, args=cast(SFTConfig, args), said=where)


def _check(ours: Alignment, args: Any, kind: Preference, path: Path) -> None:
    for name in ("model", "data", "out"):
        if not getattr(ours, name):
            raise BadInput(f"{path} does not say {name!r}", "alignment needs it", f"add it, or give --{name}")
    if METHODS[ours.method].make(ours) is None or METHODS[ours.method].virtual:
        raise BadInput(
            f"{path} aligns with method {ours.method}", "the reference is the same base without what is learned", "use qlora"
        )
    if kind == "reward" and ours.start:
        raise BadInput(f"{path} sets start", "a reward model has another head than a model that writes", "leave it out")
    if ours.muon:
        raise BadInput(f"{path} sets muon", "it is for whole matrices, and an adapter learns here", "leave it out")
    if kind == "kto" and args.per_device_train_batch_size < 2:
        raise BadInput(
            f"{path} sets per_device_train_batch_size to {args.per_device_train_batch_size}",
            "KTO compares each answer with another one of its batch",
            "set it to 2 or more",
        )
    if args.max_length is None:
        raise BadInput(f"{path} sets no max_length", "memory would depend on the longest row", "set max_length")
    if args.save_strategy == "no":
        raise BadInput(f"{path} saves nothing", "a run that was stopped could not go on", "set save_strategy: steps")


def first_loss(args: Any, kind: Preference) -> float | None:
    """Return the loss of the first step where policy and reference are the same; None where it depends on the data."""
    if kind == "kto":
        return None  # the weights of the two labels and their counts in the batch decide
    losses = list(args.loss_type)
    if len(losses) != 1:
        return None
    known = {
        "sigmoid": LN2, "robust": LN2, "sigmoid_norm": LN2, "hinge": 1.0, "apo_zero": 1.0, "ipo": 1 / (4 * args.beta**2)
    }  # fmt: skip
    return known.get(str(losses[0]))


def described(found: Training) -> str:
    """Return every setting that is not a library's default on one line, with where it was said."""
    names = (*DEFAULTS, "beta", "loss_type")
    values = {**dataclasses.asdict(found.ours), **{name: getattr(found.args, name, None) for name in names}}
    values |= {name: getattr(found.args, name) for name in found.said if name not in values}
    return ", ".join(f"{name}={value} ({found.said.get(name, 'default')})" for name, value in values.items())
