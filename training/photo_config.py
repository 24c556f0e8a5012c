"""What a training of photos depends on: a YAML file, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from agri_llm.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class PhotoConfig:
    """One training run; `model` is the name or path of any transformers image classifier whose weights are safetensors."""

    data: Path
    model: str
    out: Path
    size: int = 224  # pixels of a side when the model is used
    train_size: int = 192  # while it trains: cutting makes things look larger (Touvron et al., FixRes, arXiv 1906.06423)
    frozen: float = 0.1  # share of the network's tensors, from the first on, that stay as they are
    epochs: int = 14
    patience: int = 5  # epochs without a better validation before it stops
    batch_size: int = 32
    learning_rate: float = 1e-3
    average_epochs: int = 0  # more epochs at a constant rate, whose weights are averaged
    average_rate: float = 1e-4
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    balance: float = 0.5  # 0: photos count alike; 1: labels count alike
    mixup: float = 0.2
    swap: float = 0.3  # share of the leaves on a sheet that are laid on another ground
    smallest: float = 0.35  # share of a photo that stays in view
    colour: float = 0.3  # how much light and colour vary
    seed: int = 0
    leave_out: str = ""  # crops or sources, with commas between, that nothing is learned from: to see what becomes of new ones


def read(path: Path, given: Mapping[str, Any]) -> PhotoConfig:
    """Read a configuration; what is `given` goes over it. Raises BadInput for a key or value that cannot be used."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} is not YAML", str(error).splitlines()[0], "correct the file") from error
    if not isinstance(said, dict):
        raise BadInput(
            f"{path} holds no settings", "a line needs a name, a colon and a value", "see training/configs/photos.yaml"
        )
    known = {field.name: field for field in fields(PhotoConfig)}
    unknown = sorted(set(map(str, said)) - set(known))
    if unknown:
        raise BadInput(
            f"{path} sets {unknown[0]!r}",
            "no setting has this name, so it would change nothing",
            f"known are {', '.join(known)}",
        )
    values = {**said, **given}
    missing = [name for name in ("data", "model", "out") if not values.get(name)]
    if missing:
        raise BadInput(f"{path} does not say {missing[0]!r}", "training needs it", f"add it, or give --{missing[0]}")
    return PhotoConfig(**{name: _value(path, name, str(known[name].type), value) for name, value in values.items()})


def _value(path: Path, name: str, kind: str, value: Any) -> Any:
    make = {"Path": Path, "str": str, "int": int, "float": float}[kind]
    try:
        if value is None or isinstance(value, bool) or (make is int and isinstance(value, float)):
            raise ValueError
        return make(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path} sets {name} to {value!r}", f"it must be {kind.lower()}", "correct that line") from error


def described(config: PhotoConfig) -> str:
    """Return all settings of a run on one line."""
    return ", ".join(f"{name}={value}" for name, value in asdict(config).items())
