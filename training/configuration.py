"""What a training of a language model depends on: a YAML file, over which flags go, read strictly by TRL's own parser."""

from __future__ import annotations

import dataclasses
from argparse import Action
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import torch
import yaml
from trl import SFTConfig, TrlParser

from agri_llm.errors import BadInput
from training.methods import METHODS

Kind = Literal["sft", "pretrain", "dpo", "kto", "reward", "grpo", "rloo"]


@dataclass
class Adaptation:
    """What TRL's own settings do not cover; everything else in the file is a setting of TRL's SFTConfig."""

    model: str = field(default="", metadata={"help": "base model, a folder or a hub name"})
    data: str = field(default="", metadata={"help": "folder of a data set"})
    out: str = field(default="", metadata={"help": "folder of the run"})
    method: str = field(default="qlora", metadata={"help": "how weights change", "choices": list(METHODS)})
    four_bit: bool | None = field(default=None, metadata={"help": "store the base in NF4; unset: for qlora alone"})
    rank: int = 16  # TRL's and PEFT's examples; attention and feed-forward layers all get one (LoRA Without Regret)
    alpha: int = 32
    dropout: float = 0.0
    targets: str = "all-linear"  # or names with commas between, like q_proj,v_proj
    virtual_tokens: int = 20  # of prompt and prefix tuning (Lester et al., arXiv 2104.08691, figure 3: more bring little)
    attention: str = field(default="sdpa", metadata={"choices": ["sdpa", "eager", "flash_attention_2", "flash_attention_3"]})
    patience: int = 0  # evaluations without a better loss before it stops; 0 never stops early
    most_lost: float = 0.02  # share of the rows that may be left out because they are too long or cannot be rendered
    card_gib: float = 0.0  # memory of the card it must fit in; 0 takes what the machine has
    muon: bool = False  # of method full: matrices of the blocks learn with Muon, the rest with AdamW; `optim` is not used then
    unchecked_data: bool = False  # train on a folder whose manifest does not show that evaluation questions are not in it

    @property
    def quantised(self) -> bool:
        """Whether the base is stored in four bits."""
        return self.method == "qlora" if self.four_bit is None else self.four_bit


# Where we differ from the library, and why: training.md of the TRL guide names each as a default that hides a fault.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 2e-4,  # LoRA; the library's 2e-5 is for full fine-tuning (TRL documentation)
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "logging_steps": 1,  # a longer interval would begin anew after a resume, and the curve would differ
    "save_strategy": "steps",
    "save_steps": 50,
    "save_total_limit": 2,
    "eval_strategy": "steps",
    "eval_steps": 50,
    "max_length": 2048,
    "packing": True,
    "seed": 0,
    "report_to": [],  # further trackers; TensorBoard is always written
}
NEEDED = ("model", "data", "out")
COUNTS = ("rank", "virtual_tokens", "max_length", "per_device_train_batch_size", "gradient_accumulation_steps")
# What a run folder, a resume and an honest log need; nobody may set it.
MANAGED = (
    "output_dir", "assistant_only_loss", "completion_only_loss", "model_init_kwargs", "dataset_kwargs", "dataset_text_field",
    "chat_template_path", "eos_token", "pad_token", "truncation_mode", "save_only_model", "logging_nan_inf_filter",
    "prediction_loss_only", "use_cpu", "bf16", "fp16", "data_seed", "resume_from_checkpoint", "push_to_hub", "hub_model_id",
    "hub_token", "trust_remote_code", "restore_callback_states_from_checkpoint", "disable_tqdm", "do_train", "do_eval",
    "do_predict", "ignore_data_skip", "shuffle_dataset", "padding_free", "env", "config",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Training:
    """A whole run: its kind, our settings, the library's, and where each that is not a default was said."""

    kind: Kind
    ours: Adaptation
    args: SFTConfig
    said: dict[str, str]

    @property
    def out(self) -> Path:
        """The folder of the run."""
        return Path(self.ours.out)


class Parser(TrlParser):  # type: ignore[misc]
    """TRL's parser, whose complaints are errors of ours."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it ends the program."""
        raise BadInput("the settings of the training are wrong", message, "correct the file or the flag")


def read(path: Path, kind: Kind, flags: Sequence[str] = (), needed: Sequence[str] = NEEDED) -> Training:
    """Read a configuration; `flags` like --learning_rate 1e-4 go over it, `needed` must be said somewhere.

    Raises BadInput naming what cannot be used.
    """
    parser = Parser((Adaptation, SFTConfig), allow_abbrev=False, add_help=False)
    actions = {action.dest: action for action in parser._actions}
    file = mapping(path)
    given = [flag.lstrip("-").split("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")]
    for name, place in [(name, str(path)) for name in file] + [(name, "a flag") for name in given]:
        check_name(name, place, actions)
    values = {**DEFAULTS, **{name: as_said(value, actions[name], path) for name, value in file.items()}, **managed()}
    if kind == "pretrain" and "packing_strategy" not in {*file, *given}:
        values["packing_strategy"] = "bfd_split"  # long documents are cut into pieces, and nothing of them is thrown away
    parser.set_defaults_with_config(**values)
    try:
        ours, args = parser.parse_args_and_config(args=list(flags))
    except (ValueError, TypeError, ImportError) as error:
        raise BadInput(f"the settings of {path} do not go together", reason(error), "correct the file") from error
    args = cast(SFTConfig, args)
    args.output_dir, args.data_seed = str(Path(ours.out) / "steps"), args.seed
    args.model_init_kwargs = {"dtype": dtype(ours), "attn_implementation": ours.attention, "use_safetensors": True}
    said = {**dict.fromkeys(file, path.name), **dict.fromkeys(given, "flag")}
    found = Training(kind=kind, ours=ours, args=args, said=said)
    _check(found, path, needed)
    return found


def mapping(path: Path) -> dict[str, Any]:
    """Read the settings of a file. Raises BadInput for one that is not YAML or holds none."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} is not YAML", reason(error), "correct the file") from error
    if not isinstance(said, dict):
        raise BadInput(f"{path} holds no settings", "a line needs a name, a colon and a value", "see training/configs/sft.yaml")
    return {str(name): value for name, value in said.items()}


def check_name(name: str, place: str, actions: Mapping[str, Action]) -> None:
    """Raise BadInput for a setting that the program sets itself, and for one that does not exist."""
    if name in MANAGED:
        raise BadInput(f"{place} sets {name!r}", "every run needs the one value that the program gives it", "leave it out")
    if name not in actions:
        raise BadInput(
            f"{place} sets {name!r}",
            "no setting has this name, so it would change nothing",
            "see training/configs/sft.yaml and the SFTConfig of TRL",
        )


def as_said(value: Any, action: Action, path: Path) -> Any:
    """Return a value as the parser checks it: as text, except for lists and mappings where the setting takes them."""
    many = isinstance(value, list) and action.nargs in ("+", "*")
    if value is None or many or (isinstance(value, dict) and action.type in (str, dict, None)):
        return value
    if isinstance(value, list | dict):
        raise BadInput(f"{path} sets {action.dest} to {value!r}", "it takes one value", "correct that line")
    if value is False and "no" in map(str, action.choices or ()):
        return "no"  # YAML reads a bare `no` as false
    if action.choices is not None and value not in action.choices and str(value) not in map(str, action.choices):
        raise BadInput(
            f"{path} sets {action.dest} to {value!r}", f"it must be one of {', '.join(map(str, action.choices))}", "choose one"
        )
    return str(value)


def managed() -> dict[str, Any]:
    """Return what the program sets of the library's settings, on this machine."""
    gpu = torch.cuda.is_available()
    return {
        "output_dir": "steps",
        "use_cpu": not gpu,
        "bf16": gpu,
        "logging_nan_inf_filter": False,  # a loss that is not a number must be seen
        "save_only_model": False,  # without the optimiser a resume goes on, and learns something else
        "prediction_loss_only": True,  # kept logits of an evaluation fill any memory
        "restore_callback_states_from_checkpoint": True,  # else early stopping is patient from the start again
        "disable_tqdm": True,
    }


def dtype(ours: Adaptation) -> str:
    """Return the numbers of the base: bfloat16, except where its own weights learn, or a processor takes them as they are."""
    return "float32" if ours.method == "full" or not (torch.cuda.is_available() or ours.quantised) else "bfloat16"


def _check(found: Training, path: Path, needed: Sequence[str]) -> None:
    ours, args = found.ours, found.args
    for name in needed:
        if not getattr(ours, name):
            raise BadInput(f"{path} does not say {name!r}", "training needs it", f"add it, or give --{name}")
    if ours.quantised and ours.method == "full":
        raise BadInput(f"{path} trains all weights in four bits", "such weights cannot change", "choose method: qlora")
    if ours.muon and ours.method != "full":
        raise BadInput(f"{path} sets muon with method {ours.method}", "it is for whole matrices", "set muon: false")
    if args.packing and METHODS[ours.method].virtual:
        raise BadInput(
            f"{path} packs rows together with method {ours.method}",
            "PEFT drops the position ids there, so one row would read another",
            "set packing: false",
        )
    if args.max_length is None:
        raise BadInput(f"{path} sets no max_length", "memory would depend on the longest row", "set max_length")
    for name in COUNTS:
        if (value := getattr(ours, name, getattr(args, name, 1))) < 1:
            raise BadInput(f"{path} sets {name} to {value}", "it must be 1 or more", "correct it")
    if args.save_strategy == "no":
        raise BadInput(f"{path} saves nothing", "a run that was stopped could not go on", "set save_strategy: steps")
    if ours.patience and (args.eval_strategy == "no" or not args.load_best_model_at_end):
        raise BadInput(
            f"{path} stops early without keeping the best step",
            "the last step is then one of the worse ones",
            "set load_best_model_at_end: true and eval_strategy: steps",
        )


def described(found: Training) -> str:
    """Return every setting that is not a library's default on one line, with where it was said."""
    values = {**dataclasses.asdict(found.ours), **{name: getattr(found.args, name) for name in DEFAULTS}}
    values |= {name: getattr(found.args, name) for name in found.said if name not in values}
    return ", ".join(f"{name}={value} ({found.said.get(name, 'default')})" for name, value in values.items())


def everything(found: Training) -> dict[str, Any]:
    """Return all settings of a run, those of the library too, as plain values for a file."""
    args = {name: value for name, value in found.args.to_dict().items() if isinstance(value, str | int | float | bool | None)}
    return {"kind": found.kind, **dataclasses.asdict(found.ours), **args}


def reason(error: BaseException) -> str:
    """Return what an error of a library says, short and on one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:240].rstrip(".")
