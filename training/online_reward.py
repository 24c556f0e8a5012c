"""What an answer earns while a model learns from its own answers: our checks, and a reward model where the checks let it speak.

dangerous           −1        whatever else it says
fails a check       below 0   a sentence without its passage, a mark that names none, a wrong refusal; no score lifts it
sound               0 to 1    our checks and the reward model's score, in shares
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from agri_llm.errors import BadInput
from training import rewards
from training.configuration import Training
from training.online_config import Earning
from training.reward import Reward
from training.rewards import Judged
from training.watches import DANGEROUS, IDLE, REPEATED, SHY

MOST_UNSOUND = 0.9  # what fails a check earns no less than this below nothing; below it is only what is dangerous
WIDTH = 2.0  # standard deviations of a score that count; what lies outside is no better or worse
ANSWERABLE = {"answerable": True, "unanswerable": False}


class Earned:
    """What answers earn; called by TRL with the questions, the answers and the columns of the questions."""

    def __init__(self, ours: Earning, model: Reward | None, pairs: Sequence[dict[str, Any]]) -> None:
        """Take a reward model and held-out pairs, whose scores say what is high and what is low."""
        self.__name__ = "earned"  # what TRL calls it in the log
        self._ours, self._model, self._middle, self._spread = ours, model, 0.0, 1.0
        self.hears = model is not None
        if model is None:
            return
        texts = [(row["prompt"], row[side][0]["content"]) for row in pairs for side in ("chosen", "rejected")]
        if not texts:
            raise BadInput(
                "no held-out pair says how far scores lie apart", "a score means nothing by itself", "leave out reward"
            )
        scores = np.array(model.score([prompt for prompt, _ in texts], [text for _, text in texts]))
        self._middle, self._spread = float(scores.mean()), max(float(scores.std()), 1e-6)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        asks: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """Return what each answer earns, −1 to 1, and log what the watches look at."""
        texts = [str(written[0].get("content") or "") for written in completions]
        judged = [self._judge(prompt, text, kind) for prompt, text, kind in zip(prompts, texts, asks, strict=True)]
        for text, kind, found in zip(texts, asks, judged, strict=True) if log_metric else ():
            self._log(text, kind, found, cast(Callable[[str, float], None], log_metric))
        scores = self._scores(prompts, texts)
        return [earned(found, kind, score, self._share) for found, kind, score in zip(judged, asks, scores, strict=True)]

    def agreement(self, pairs: Sequence[dict[str, Any]]) -> float | None:
        """Return the share of pairs whose better answer earns more; an equal one counts half. None for no pairs."""
        if not pairs:
            return None
        sides = [
            self([row["prompt"] for row in pairs], [row[side] for row in pairs], ["unknown"] * len(pairs))
            for side in ("chosen", "rejected")
        ]
        return float(np.mean([(better > worse) + 0.5 * (better == worse) for better, worse in zip(*sides, strict=True)]))

    @property
    def _share(self) -> float:
        return self._ours.reward_share if self.hears else 0.0

    def _judge(self, prompt: Any, text: str, kind: str) -> Judged:
        weights, known = self._ours.weights, ANSWERABLE.get(kind)
        return rewards.judge(prompt, text, answerable=known, unclear=kind == "unclear", weights=weights)

    def _scores(self, prompts: Sequence[Any], texts: Sequence[str]) -> list[float]:
        """Return standardised scores, cut at both ends, −1 to 1."""
        if self._model is None:
            return [0.0] * len(texts)
        raw = (np.array(self._model.score(prompts, texts)) - self._middle) / self._spread
        return [float(score) for score in np.clip(raw / WIDTH, -1, 1)]

    def _log(self, text: str, kind: str, found: Judged, log: Callable[[str, float], None]) -> None:
        log(REPEATED, rewards.repeated(text))
        log(DANGEROUS, float(bool(found.danger)))
        if kind in ANSWERABLE:
            log(IDLE if kind == "answerable" else SHY, float(rewards.refuses(text)))


def earned(found: Judged, asks: str, score: float, share: float) -> float:
    """Return what an answer earns by our checks and its score; a score moves only what no check holds against it."""
    if found.danger or not found.parts:  # dangerous, a refusal, a question back: our checks alone know what that is worth
        return found.reward
    if asks == "unanswerable" or min(found.parts["carried"], found.parts["marks"]) < 1:
        return (found.reward - 1) / 2 * MOST_UNSOUND
    return min(1.0, max(0.0, (1 - share) * found.reward + share * score))


def of(training: Training, pairs: Sequence[dict[str, Any]]) -> Earned:
    """Load what answers earn. Raises BadInput where it does not prefer what experts prefer, ModelMissing."""
    ours = cast(Earning, training.ours)
    found = Earned(ours, Reward.load(Path(ours.reward), ours.model) if ours.reward else None, pairs)
    agreed = found.agreement(pairs)
    if agreed is not None and agreed < ours.least_agreement:
        raise BadInput(
            f"the reward prefers what experts prefer in {agreed:.0%} of {len(pairs)} held-out pairs",
            f"below {ours.least_agreement:.0%} a model would learn what experts do not want",
            "train the reward model on more ratings, or weigh the checks otherwise",
        )
    return found
