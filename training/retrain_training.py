"""The training inside a retraining, with the same questions to each of its methods: settings, checks, the training itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from training import align, align_config, online, online_config
from training.configuration import Training
from training.online_config import Online
from training.progress import Tell
from training.retrain_config import Method

ONLINE: tuple[str, ...] = get_args(Online)


def read(file: Path, method: Method, flags: Sequence[str]) -> Training:
    """Read the settings of the training; `flags` go over the file. Raises BadInput naming what cannot be used."""
    if method == "grpo":
        return online_config.read(file, method, flags)
    return align_config.read(file, method, flags)


def check(training: Training) -> list[str]:
    """Return what can be said before anything is loaded. Raises BadInput, ModelMissing."""
    return online.check(training) if training.kind in ONLINE else align.check(training)


def train(training: Training, tell: Tell) -> Path:
    """Train, or go on where it was stopped; returns the folder of the adapter. Raises BadInput, TrainingStopped."""
    return online.train(training, tell) if training.kind in ONLINE else align.train(training, tell)
