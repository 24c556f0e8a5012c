"""`agri train sft` and `agri train pretrain`: settings in, progress on standard error, one line of result."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ui.commands import quiet
from ui.commands.console import say


def train(kind: Literal["sft", "pretrain"], config: Path, flags: Sequence[str]) -> Path:
    """Train by a file and flags; returns the folder of the adapter or model."""
    quiet.hush_libraries({"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"})
    from training import adapt, configuration

    chosen = configuration.read(config, kind, flags)
    main = os.environ.get("RANK", "0") == "0"  # of several processes one speaks

    def tell(line: str) -> None:
        if main:
            say(line, sys.stderr)

    tell(f"Settings: {configuration.described(chosen)}")
    return adapt.train(chosen, tell)
