"""What learning from own answers depends on: settings of an alignment, a reward, its watches, and TRL's GRPO or RLOO."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from trl import GRPOConfig, RLOOConfig, SFTConfig

from agri_llm.errors import BadInput
from training import configuration
from training.align_config import Alignment
from training.configuration import Training
from training.methods import METHODS
from training.rewards import Weights
from training.watches import Limits

Online = Literal["grpo", "rloo"]


@dataclass
class Earning(Limits, Alignment):
    """The settings of an alignment, what an answer earns, and how far the figures of a run may move."""

    reward: str = field(default="", metadata={"help": "run of `agri train reward`; our own checks alone when empty"})
    chats: str = field(default="", metadata={"help": "data set of `agri data build` whose questions are asked too"})
    reward_share: float = 0.3  # how much of what a sound answer earns the reward model decides; of an unsound one nothing
    weigh_carried: float = Weights.carried
    weigh_marks: float = Weights.marks
    weigh_repetition: float = Weights.repetition
    weigh_length: float = Weights.length

    @property
    def weights(self) -> Weights:
        """How much each of our own checks counts."""
        names = (name.name for name in dataclasses.fields(Weights))
        return Weights(**{name: getattr(self, f"weigh_{name}") for name in names})


@dataclass
class GroupSettings(GRPOConfig):  # type: ignore[misc]
    """The library's settings and the length that questions are chosen by, as in the other trainings."""

    max_length: int = field(default=2048, metadata={"help": "tokens of a question with its answer; longer ones are left out"})


@dataclass
class LeaveOneOutSettings(RLOOConfig):  # type: ignore[misc]
    """The library's settings and the length that questions are chosen by, as in the other trainings."""

    max_length: int = field(default=2048, metadata={"help": "tokens of a question with its answer; longer ones are left out"})


SETTINGS: dict[Online, Any] = {"grpo": GroupSettings, "rloo": LeaveOneOutSettings}
# Where we differ from the library, and why; what the record of a run should name is said though it is the library's own.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 1e-5,  # LoRA; the library's 1e-6 is for all weights (TRL documentation)
    "lr_scheduler_type": "constant",
    "warmup_steps": 0.03,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 25,
    "save_total_limit": 2,
    "eval_strategy": "no",  # answers would be written anew each time; the held-out side is judged by the watch
    "max_completion_length": 256,
    "num_generations": 4,
    "beta": 0.04,  # a reference, which the library's GRPO leaves out (DeepSeekMath, arXiv 2402.03300, section 5.1)
    "seed": 0,
    "report_to": [],
}
OF_GROUPS: dict[str, Any] = {"loss_type": "dapo", "scale_rewards": "group"}
SAID = ("beta", "num_generations", "temperature", "max_completion_length", "loss_type", "scale_rewards", "normalize_advantages")
# Writing must be as answering writes; several steps from one set of answers would differ after a resume.
MANAGED = (
    "use_vllm", "chat_template_kwargs", "steps_per_generation", "generation_batch_size", "num_iterations", "shuffle_dataset",
    "sync_ref_model", "reward_weights", "disable_dropout", "eval_strategy", "log_completions", "remove_unused_columns",
)  # fmt: skip


def read(path: Path, kind: Online, flags: Sequence[str] = ()) -> Training:
    """Read a configuration; `flags` like --reward RUN go over it. Raises BadInput naming what cannot be used."""
    parser = configuration.Parser((Earning, SETTINGS[kind]), allow_abbrev=False, add_help=False)
    actions = {action.dest: action for action in parser._actions}
    file = configuration.mapping(path)
    given = [flag.lstrip("-").split("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")]
    for name, place in [(name, str(path)) for name in file] + [(name, "a flag") for name in given]:
        if name in MANAGED:
            raise BadInput(f"{place} sets {name!r}", "every run needs the one value that the program gives it", "leave it out")
        configuration.check_name(name, place, actions)
    said = {name: configuration.as_said(value, actions[name], path) for name, value in file.items()}
    managed = {name: value for name, value in configuration.managed().items() if name in actions}
    own = OF_GROUPS if kind == "grpo" else {}
    parser.set_defaults_with_config(**{**DEFAULTS, **own, **said, **managed})
    try:
        ours, args = parser.parse_args_and_config(args=list(flags))
    except (ValueError, TypeError, ImportError) as error:
        raise BadInput(f"the settings of {path} do not go together", configuration.reason(error), "correct the file") from error
    args.output_dir, args.data_seed = str(Path(ours.out) / "steps"), args.seed
    args.shuffle_dataset = False  # questions are put in order once: the library's shuffling begins anew after a resume
    args.model_init_kwargs = {
        "dtype": configuration.dtype(ours), "attn_implementation": ours.attention, "use_safetensors": True
    }  # fmt: skip
    _check(ours, args, path)
    where = {**dict.fromkeys(file, path.name), **dict.fromkeys(given, "flag")}
    return Training(kind=kind, ours=ours, args=cast(SFTConfig, args), said=where)


def _check(ours: Earning, args: Any, path: Path) -> None:
    for name in ("model", "start", "data", "out"):
        if not getattr(ours, name):
            raise BadInput(f"{path} does not say {name!r}", "learning from own answers needs it", f"add it, or give --{name}")
    if METHODS[ours.method].make(ours) is None or METHODS[ours.method].virtual:
        raise BadInput(f"{path} learns with method {ours.method}", "the reference is the adapter it starts from", "use qlora")
    if ours.muon:
        raise BadInput(f"{path} sets muon", "it is for whole matrices, and an adapter learns here", "leave it out")
    if args.beta <= 0:
        raise BadInput(
            f"{path} sets beta to {args.beta}", "nothing would hold the model near the start", "set it above 0, such as 0.04"
        )
    if not 0 <= ours.reward_share <= 1:
        raise BadInput(f"{path} sets reward_share to {ours.reward_share}", "it is a share", "set it between 0 and 1")
    weights = dataclasses.asdict(ours.weights)
    if min(weights.values()) < 0 or not sum(weights.values()):
        raise BadInput(f"{path} weighs our own checks {weights}", "none may count below nothing", "give 0 or more, not all 0")
    if not 0 < args.max_completion_length < args.max_length:
        raise BadInput(
            f"{path} lets answers be {args.max_completion_length} tokens long, and max_length is {args.max_length}",
            "nothing is left for the question",
            "lower max_completion_length",
        )
    if ours.window < 1:
        raise BadInput(f"{path} sets window to {ours.window}", "the watches look at steps", "set it to 1 or more")
    if args.save_strategy == "no" or args.logging_steps != 1:
        raise BadInput(
            f"{path} saves with {args.save_strategy} and logs every {args.logging_steps} steps",
            "a run that was stopped could not go on, or its watches would not see every step",
            "set save_strategy: steps and logging_steps: 1",
        )


def described(found: Training) -> str:
    """Return every setting that is not a library's default on one line, with where it was said."""
    names = (*DEFAULTS, *(name for name in SAID if hasattr(found.args, name)), "max_length")
    values = {**dataclasses.asdict(found.ours), **{name: getattr(found.args, name) for name in names}}
    values |= {name: getattr(found.args, name) for name in found.said if name not in values}
    return ", ".join(f"{name}={value} ({found.said.get(name, 'default')})" for name, value in values.items())
