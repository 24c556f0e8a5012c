"""What a run of `benchmarks/loop.py` does: its sizes, its steps, and how long each takes on one core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training import marked_steps
from training.rows import identity

Tell = Callable[[str], object]
PARTS = ("answers", "methods", "curve", "disagreement", "sabotage")
NOISES = (0.0, 0.1, 0.2, 0.3)
CURVE = (50, 100, 200, 400)  # and all
METHODS = ("dpo", "kto", "grpo")
# Seconds on one core of a two-core machine with a model of 8 million parameters, measured on 2026-11-24.
SECONDS_A_TOKEN_WRITTEN, SECONDS_A_STEP = 1 / 600, {"dpo": 3.0, "kto": 4.0, "reward": 2.5, "grpo": 8.0}
SECONDS_OF_A_START = 15.0  # loading, checking and saving, for each training
SECONDS_A_CASE = 0.8


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is done. Lengths are tokens; `held` is the most held-out questions that every model answers.

    Every training takes `steps` steps of `batch` pairs, whatever there is to learn from, so that a run with few ratings sees
    them more often and not less.
    """

    ratings: int = 1000
    seeds: int = 3
    prompt: int = 300
    answer: int = 64
    held: int = 120
    held_pairs: int = 60
    steps: int = 40
    online_steps: int = 16
    batch: int = 4
    cases: int = 40
    learning_rate: float = 3e-4
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: the finished tuning it begins with, its folder, what is done, and whom it tells."""

    run: Path
    out: Path
    sizes: Sizes
    parts: tuple[str, ...] = PARTS
    tell: Tell = field(default=print, compare=False)

    def do(self, name: str, work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """Do a step once, or read what it found."""
        maker = identity(str(self.run), *(f"{key} {value}" for key, value in vars(self.sizes).items() if key != "seeds"))
        return marked_steps.do(name, work, self.out / name, maker, self.tell)[0]

    def trainings(self) -> list[str]:
        """Return the kinds of the trainings that are wanted, one for each."""
        found: list[str] = []
        if "methods" in self.parts:
            found += [method for method in METHODS for _ in NOISES] + ["reward"] * len(NOISES)
            found += ["dpo"] * (self.sizes.seeds - 1)
        if "curve" in self.parts:
            found += ["dpo"] * len([number for number in CURVE if number < self.sizes.ratings])
        if "disagreement" in self.parts:
            found += ["dpo"] * 2
        if "sabotage" in self.parts:
            found += ["dpo"] * 6
        return found

    def seconds(self) -> float:
        """Return about how long everything takes that is wanted, on one core."""
        sizes, trainings = self.sizes, self.trainings()
        written = sizes.ratings * 3 * sizes.answer
        written += (1 + len([each for each in trainings if each != "reward"])) * sizes.held * sizes.answer
        learned = sum(
            SECONDS_OF_A_START + SECONDS_A_STEP[kind] * (sizes.online_steps if kind == "grpo" else sizes.steps)
            for kind in trainings
        )
        asked = 8 * 2 * sizes.cases * SECONDS_A_CASE if "sabotage" in self.parts else 0.0
        return written * SECONDS_A_TOKEN_WRITTEN + learned + asked
