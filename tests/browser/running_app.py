"""A server of the page under test, and what happens where no browser can be had."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]


def missing(sentence: str) -> NoReturn:
    """Without a browser these tests cannot run: a sentence on a laptop, a failure where it was promised."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence, allow_module_level=True)


@dataclass
class RunningApp:
    """A server with its data folder; `log` is what it printed."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def database(self) -> str:
        return f"sqlite:///{self.home / 'agri.sqlite3'}"

    @property
    def log(self) -> str:
        return (self.home / "log").read_text(encoding="utf-8")
