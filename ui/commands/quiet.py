"""Keeps libraries quiet: standard output holds our results only, standard error what a person can use."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from agri_llm.settings import Settings

# bitsandbytes names a package here that we do not use; it is imported by others even where no model is loaded. The hub tells of
# every attempt to reach it; our sentence tells of the last.
NOISY_LOGGERS = ("bitsandbytes.backends.cpu.ops", "huggingface_hub.utils._http")


def hush(settings: Settings) -> None:
    """Set what libraries read when they are imported; what the user has set in the environment stays.

    With the embedded embedder, the composer and a photo model in a folder nothing has to be fetched: no model hub is contacted.
    """
    fetched = settings.embedder or settings.writer != "composer"
    fetched = fetched or (settings.photo_model and not Path(settings.photo_model).is_dir())
    hush_libraries({} if fetched else {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"})


def hush_libraries(more: Mapping[str, str]) -> None:
    """Set what every command wants of libraries, and `more` variables of the environment."""
    wanted = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    for name, value in {**wanted, **more}.items():
        os.environ.setdefault(name, value)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


@contextlib.contextmanager
def results() -> Iterator[TextIO]:
    """Give the real standard output for results; until the end everything else written there goes to standard error.

    That holds for what is printed in Python and, in the real program, for what compiled libraries write as well.
    """
    real = sys.__stdout__
    if real is None or sys.stdout is not real:  # somebody captures the output already
        out = sys.stdout
        with contextlib.redirect_stdout(sys.stderr):
            yield out
        return
    real.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    # Half of a surrogate pair, as arguments with broken bytes contain, is written as a JSON escape and not as an error.
    out = os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield out
    finally:
        with contextlib.suppress(BrokenPipeError):
            out.close()
        os.dup2(kept, 1)
        os.close(kept)
