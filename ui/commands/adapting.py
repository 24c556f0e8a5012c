"""`agri train sft|pretrain|distil|dpo|kto|reward|grpo|rloo`: settings in, progress on standard error, one line of result."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from agri_llm.errors import BadInput
from ui.commands import quiet
from ui.commands.console import say


def prepare() -> None:
    """Make libraries quiet. Raises BadInput where those of training are not installed."""
    quiet.hush_libraries({"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"})
    if find_spec("trl") is None:
        raise BadInput("TRL is not installed", "language models are trained with it", "run `make setup EXTRAS=train`")


def train(kind: Literal["sft", "pretrain"], config: Path, flags: Sequence[str]) -> Path:
    """Train by a file and flags; returns the folder of the adapter or model."""
    prepare()
    from training import adapt, configuration

    chosen = configuration.read(config, kind, flags)
    tell_of_one(f"Settings: {configuration.described(chosen)}")
    return adapt.train(chosen, tell_of_one)


def distil(config: Path, flags: Sequence[str]) -> Path:
    """Let a model learn from a larger one by a file and flags; returns the folder of the adapter or model."""
    prepare()
    from training import distil, distil_config

    chosen = distil_config.read(config, flags)
    tell_of_one(f"Settings: {distil_config.described(chosen)}")
    return distil.train(chosen, tell_of_one)


def align(kind: Literal["dpo", "kto", "reward"], config: Path, flags: Sequence[str]) -> Path:
    """Let a model learn what people prefer by a file and flags; returns the folder of the adapter."""
    prepare()
    from training import align, align_config, reward

    chosen = align_config.read(config, kind, flags)
    tell_of_one(f"Settings: {align_config.described(chosen)}")
    train_of = reward.train if kind == "reward" else align.train
    return train_of(chosen, tell_of_one)


def online(kind: Literal["grpo", "rloo"], config: Path, flags: Sequence[str]) -> Path:
    """Let a model learn from its own answers by a file and flags; returns the folder of the adapter."""
    prepare()
    from training import online, online_config

    chosen = online_config.read(config, kind, flags)
    tell_of_one(f"Settings: {online_config.described(chosen)}")
    return online.train(chosen, tell_of_one)


def tell_of_one(line: str) -> None:
    """Say a line of progress on standard error; of several processes one speaks."""
    if os.environ.get("RANK", "0") == "0":
        say(line, sys.stderr)
