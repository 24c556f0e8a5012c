"""From texts and rows to a small model that answers in our form, in steps: `agri train chain FOLDER`.

Every step has a folder, and step.json is written into it last. A step with it is done; one without it is taken up where it
was: a training at its last checkpoint, the asking of questions at the next question, everything else from its begin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from agri_llm.errors import BadInput
from training.chain_config import Chain
from training.chain_steps import STEP, Steps
from training.progress import Tell, clock
from training.rows import identity, write_whole

FIGURES = "figures.json"


def run(chain: Chain, tell: Tell) -> dict[str, Any]:
    """Do every step that is not done, and return the figures; figures.json holds them too. Raises BadInput, TrainingStopped."""
    if chain.config.threads:
        torch.set_num_threads(chain.config.threads)
    disable_progress_bar()  # ours are lines
    steps = Steps(chain, tell)
    maker, took = "", dict[str, float]()
    for name, work in steps.all():
        maker = identity(maker, *steps.depends_on(name))
        done, took[name] = _step(name, work, chain.out / name, maker, tell)
    tell(times(took))
    write_whole(chain.out / FIGURES, json.dumps(done, ensure_ascii=False, indent=1) + "\n")
    return done


def times(took: Mapping[str, float]) -> str:
    """Return how many seconds each step took, and all together; of a step that was stopped only its last session counts."""
    steps = ", ".join(f"{name} {seconds:,.1f} s" for name, seconds in took.items())
    total = sum(took.values())
    return f"time: {steps}; all steps {total:,.1f} s ({clock(total)})"


def _step(name: str, work: Callable[[Path], dict[str, Any]], out: Path, maker: str, tell: Tell) -> tuple[dict[str, Any], float]:
    """Do one step, or read what it found, and in how many seconds; its mark is written last.

    Raises BadInput where other settings made it.
    """
    mark = out / STEP
    if mark.is_file():
        said = json.loads(mark.read_text(encoding="utf-8"))
        if said["made_by"] != maker:
            raise BadInput(
                f"{out} was made with other settings",
                "steps would not fit together",
                "delete it and what follows, or choose another --out",
            )
        found: dict[str, Any] = said["figures"]
        tell(f"{name}: done before in {said['seconds']:,.1f} s; {_line(found)}")
        return found, said["seconds"]
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    found = work(out)
    seconds = round(time.monotonic() - begun, 1)
    write_whole(mark, json.dumps({"made_by": maker, "seconds": seconds, "figures": found}, indent=1) + "\n")
    tell(f"{name}: {seconds:,.1f} s; {_line(found)}")
    return found, seconds


def _line(found: dict[str, Any]) -> str:
    """Return figures on one line, short."""
    said = json.dumps(found, ensure_ascii=False).replace('"', "")
    return said if len(said) < 600 else f"{said[:600]}…"
