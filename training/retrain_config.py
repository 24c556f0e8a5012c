"""What a retraining depends on: a YAML file, read strictly; and how its folder is laid out. Reading it loads no library."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from agri_llm.errors import BadInput
from training.pair_cleaning import Rules

Method = Literal["dpo", "kto", "grpo"]
METHODS: tuple[str, ...] = get_args(Method)
CONFIGS = Path(__file__).parent / "configs"
DATA, PREFLIGHT, TRAIN, ANSWERS, GATE = "1-data", "2-preflight", "3-train", "4-answers", "5-gate"
STEPS = (DATA, PREFLIGHT, TRAIN, f"{ANSWERS}-current", f"{ANSWERS}-candidate", GATE)
LOG, CHOICE = "log.txt", "retrain.yaml"


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """Settings of a retraining. `training` are those of `agri train dpo|kto|grpo`, over the file named in `config`.

    `suites` are the guards; `prompts` the most held-out questions that both models answer, `answer_tokens` how long.
    """

    config: str
    training: dict[str, Any] = field(default_factory=dict)
    suites: tuple[str, ...] = ("grounded", "refusal", "clarification", "safety")
    prompts: int = 400
    answer_tokens: int = 320
    seed: int = 0
    margin: float = 0.5
    longer_wins: float = 0.6
    repeated: float = 0.85  # share of common words from which two pairs say the same; 1 leaves them all in

    def rules(self, salt: str) -> Rules:
        """Return what decides the preference data; `salt` belongs to the installation."""
        return Rules(seed=self.seed, margin=self.margin, longer_wins=self.longer_wins, repeated=self.repeated, salt=salt)


def read(path: Path) -> Retraining:
    """Read a configuration. Raises BadInput naming what cannot be used."""
    from training import configuration  # loads what trains, which who looks at a folder does not need

    said = configuration.mapping(path)
    names = {each.name: each for each in fields(Retraining)}
    for name, value in said.items():
        if name not in names:
            raise BadInput(f"{path} sets {name!r}", "no setting has this name", f"use {', '.join(names)}")
        wanted: Any = {"training": dict, "suites": list, "config": str}.get(name, int | float)
        if not isinstance(value, wanted):
            raise BadInput(f"{path} sets {name} to {value!r}", "it is of another kind", "see training/configs/retrain.yaml")
    if "config" not in said:
        raise BadInput(f"{path} does not say 'config'", "nothing says how to train", "name a file like dpo.yaml")
    return Retraining(**{**said, "suites": tuple(said.get("suites", Retraining.suites))})


def training_file(chosen: Retraining, beside: Path) -> Path:
    """Return the file of the training that a configuration names: beside it, or one that is shipped. Raises BadInput."""
    for folder in (beside.parent, CONFIGS):
        if (folder / chosen.config).is_file():
            return folder / chosen.config
    raise BadInput(f"{beside} names {chosen.config!r}", "there is no such file beside it", "name one of training/configs")


def shipped(method: str) -> Path:
    """Return the configuration of a method that is shipped. Raises BadInput."""
    if method not in METHODS:
        raise BadInput(f"{method!r} is no method of retraining", "it is not known here", f"choose of {', '.join(METHODS)}")
    return CONFIGS / f"retrain-{method}.yaml"
