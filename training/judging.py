"""Who says which of two answers is better where no expert looked: a function, trusted only as far as it agrees with experts.

Its score differences are turned into chances on the experts' comparisons of one side of the split (Platt), and its agreement is
measured on those of another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest

from agri_llm.records import Message
from training import intervals, win_rate
from training.intervals import Interval

Score = Callable[[Sequence[Message], str], float]
FLOOR = 0.6  # lower bound of the agreement: two experts agree on about 73 % (Ouyang et al. 2022, arXiv 2203.02155, section 3.4)
TIE = 0.05  # chances nearer to one half than this are a tie


@dataclass(frozen=True, kw_only=True)
class ExpertPair:
    """Two answers to a request that an expert, or several, compared: `chosen` is the better one."""

    group: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A score with the slope that turns its differences into chances, and its agreement with experts on other questions."""

    name: str
    score: Score
    slope: float
    agreement: Interval | None
    pairs: int

    @property
    def may_judge(self) -> bool:
        """Whether it agrees with experts often enough, beyond chance."""
        return self.agreement is not None and self.agreement.low is not None and self.agreement.low >= FLOOR

    def described(self) -> str:
        """Return the judge and its agreement in words."""
        if self.agreement is None or self.agreement.low is None or self.agreement.high is None:
            return f"{self.name}; no held-out comparison of experts shows how far it agrees with them"
        low, high = self.agreement.low, self.agreement.high
        share = f"{self.agreement.value:.0%} ({low:.0%} to {high:.0%})"
        return f"{self.name}; agrees with experts on {share} of {self.pairs} held-out pairs"

    def compare(self, group: str, messages: Sequence[Message], candidate: str, current: str) -> win_rate.Comparison:
        """Return its judgement of two answers: won, lost, or a tie where it cannot tell."""
        apart = self.score(messages, candidate) - self.score(messages, current)
        chance = 1 / (1 + np.exp(-np.clip(self.slope * apart, -50, 50)))
        outcome = 0.5 if abs(chance - 0.5) < TIE else float(chance > 0.5)
        return win_rate.Comparison(group=group, outcome=outcome, length=len(candidate), other_length=len(current))


def calibrated(name: str, score: Score, fitting: Sequence[ExpertPair], held_out: Sequence[ExpertPair]) -> Judge:
    """Return a judge: its slope from the first pairs, its agreement, ties counted half, from the second."""
    slope = slope_of(_apart(score, fitting)) if fitting else 1.0
    apart = _apart(score, held_out)
    agrees = np.where(apart == 0, 0.5, (apart > 0).astype(np.float64))
    parts = np.stack([agrees, np.ones(len(agrees))], axis=1) if len(agrees) else np.zeros((0, 2))
    groups = [pair.group for pair in held_out]
    agreement = intervals.ratio(parts, groups) if len(agrees) else None
    return Judge(name=name, score=score, slope=slope, agreement=_no_surer(agreement, len({*groups})), pairs=len(held_out))


def _no_surer(agreement: Interval | None, groups: int) -> Interval | None:
    """Bound an agreement by Wilson's interval too: drawn again, pairs that all agree never differ, however few they are."""
    if agreement is None or agreement.low is None or agreement.high is None:
        return agreement
    agreed = math.floor(agreement.value * groups + 1e-9)
    wilson = binomtest(agreed, groups).proportion_ci(method="wilson")
    return replace(agreement, low=min(agreement.low, float(wilson.low)), high=max(agreement.high, float(wilson.high)))


def _apart(score: Score, pairs: Sequence[ExpertPair]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([score(pair.messages, pair.chosen) - score(pair.messages, pair.rejected) for pair in pairs])


def slope_of(apart: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Fit P(better) = 1 / (1 + exp(−slope · difference)) by Newton's method, with a weak prior that holds it finite."""
    slope = 1.0
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(slope * apart, -50, 50)))
        step = float((((1 - chance) * apart).sum() - 0.01 * slope) / ((chance * (1 - chance) * apart**2).sum() + 0.01))
        slope = max(0.0, slope + float(np.clip(step, -5, 5)))
        if abs(step) < 1e-9:
            break
    return slope
