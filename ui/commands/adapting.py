"""`agri train sft` and `agri train pretrain`: settings in, progress on standard error, one line of result."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ui.commands.console import say


def train(kind: Literal["sft", "pretrain"], config: Path, flags: Sequence[str]) -> Path:
    """Train by a file and flags; returns the folder of the adapter or model."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    from training import adapt, configuration

    chosen = configuration.read(config, kind, flags)
    main = os.environ.get("RANK", "0") == "0"  # of several processes one speaks

    def tell(line: str) -> None:
        if main:
            say(line, sys.stderr)

    tell(f"Settings: {configuration.described(chosen)}")
    return adapt.train(chosen, tell)
