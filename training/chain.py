"""From texts and rows to a small model that answers in our form, in steps: `agri train chain FOLDER`.

Every step has a folder, and step.json is written into it last. A step with it is done; one without it is taken up where it
was: a training at its last checkpoint, the asking of questions at the next question, everything else from its begin.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from training import marked_steps
from training.chain_config import Chain
from training.chain_steps import Steps
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
        done, took[name] = marked_steps.do(name, work, chain.out / name, maker, tell)
    tell(times(took))
    write_whole(chain.out / FIGURES, json.dumps(done, ensure_ascii=False, indent=1) + "\n")
    return done


def times(took: Mapping[str, float]) -> str:
    """Return how many seconds each step took, and all together; of a step that was stopped only its last session counts."""
    steps = ", ".join(f"{name} {seconds:,.1f} s" for name, seconds in took.items())
    total = sum(took.values())
    return f"time: {steps}; all steps {total:,.1f} s ({clock(total)})"
