"""How often a candidate's answer is preferred to the current one's, length taken out, and how sure that is.

The outcome (won 1, tie 0.5, lost 0) is explained by logistic regression on how much longer the candidate's answer is; the win
rate is what it gives at equal length (AlpacaEval LC, Dubois et al. 2024, arXiv 2404.04475, with length as the only covariate).
The interval is that of the sandwich estimator clustered by prompt group, with a t distribution (Liang and Zeger 1986; Cameron
and Miller 2015): several comparisons of one prompt are not several witnesses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

CONFIDENCE = 0.95
FEWEST_GROUPS = 10  # below, the sandwich is not to be trusted (Cameron and Miller 2015, section VI)
PRIOR = 0.5  # of a win and of a loss at equal length, added so that an unbroken row of wins is not a certainty
RIDGE = 0.5  # precision of the slope's prior, log odds for e times the length: it decides little until it is seen to
POWER = 0.8
STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One judgement of two answers to one prompt: `outcome` 1 the candidate's won, 0.5 tie, 0 lost; lengths in characters."""

    group: str
    outcome: float
    length: int
    other_length: int


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """The length-controlled win rate with its 95 % interval (0 to 1 where nothing is known), and the plain one beside it."""

    value: float
    low: float
    high: float
    plain: float
    longer: float  # share of the comparisons in which the candidate's answer is the longer one
    comparisons: int
    decisive: int
    groups: int

    @property
    def proven(self) -> bool:
        """Whether the candidate is preferred more often than not, beyond chance."""
        return self.low > 0.5


def measure(comparisons: Sequence[Comparison]) -> WinRate:
    """Return the win rate of a candidate; with fewer than ten prompt groups nothing is proven."""
    outcomes = np.array([each.outcome for each in comparisons], dtype=np.float64)  # (comparisons,)
    groups = len({each.group for each in comparisons})
    if not comparisons:
        return WinRate(value=0.5, low=0.0, high=1.0, plain=0.5, longer=0.0, comparisons=0, decisive=0, groups=0)
    lengths = np.array([math.log((each.length + 1) / (each.other_length + 1)) for each in comparisons])
    design = np.stack([np.ones(len(lengths)), lengths], axis=1)
    _, places = np.unique([each.group for each in comparisons], return_inverse=True)
    place, error = fit(design, outcomes, places)
    wide = float(t.ppf((1 + CONFIDENCE) / 2, max(1, groups - 1))) * error
    low, high = (place - wide, place + wide) if groups >= FEWEST_GROUPS else (-math.inf, math.inf)
    return WinRate(
        value=_share(place),
        low=_share(low),
        high=_share(high),
        plain=float(outcomes.mean()),
        longer=float((lengths > 0).mean()),
        comparisons=len(comparisons),
        decisive=int((outcomes != 0.5).sum()),
        groups=groups,
    )


def fit(design: NDArray[np.float64], outcomes: NDArray[np.float64], groups: NDArray[np.intp]) -> tuple[float, float]:
    """Return the intercept of the logistic regression (log odds) and its standard error, clustered by group.

    `design` is (comparisons, 2): ones, and the logarithm of how many times longer the candidate's answer is.
    """
    weights = np.zeros(2)
    prior = np.array([PRIOR, RIDGE])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-design @ weights))
        slack = chance * (1 - chance)
        pull = 2 * PRIOR * (0.5 - 1 / (1 + math.exp(-weights[0])))  # half a win and half a loss at equal length
        gradient = design.T @ (outcomes - chance) + np.array([pull, -prior[1] * weights[1]])
        bread = design.T @ (design * slack[:, None]) + np.diag([2 * PRIOR * 0.25, prior[1]])
        step = np.linalg.solve(bread, gradient)
        weights = weights + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    chance = 1 / (1 + np.exp(-design @ weights))
    bread = design.T @ (design * (chance * (1 - chance))[:, None]) + np.diag([2 * PRIOR * 0.25, prior[1]])
    inverse = np.linalg.inv(bread)
    number = int(groups.max()) + 1
    scores = np.stack([np.bincount(groups, design[:, at] * (outcomes - chance), number) for at in (0, 1)], axis=1)
    correction = number / max(1, number - 1) * (len(outcomes) - 1) / max(1, len(outcomes) - 2)
    variance = inverse @ (correction * scores.T @ scores) @ inverse
    # the model's own variance is the floor: a handful of equal outcomes has no spread, and no certainty either
    return float(weights[0]), math.sqrt(max(float(variance[0, 0]), float(inverse[0, 0]) * _ties(outcomes)))


def _ties(outcomes: NDArray[np.float64]) -> float:
    """Return how much less ties vary than wins and losses do: the model's variance holds for the latter."""
    return float((outcomes != 0.5).mean())


def _share(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def needed(rate: float, power: float = POWER) -> int:
    """Return how many decisive comparisons show a true win rate at 95 % with this power (normal approximation, two-sided)."""
    far, near = float(norm.ppf((1 + CONFIDENCE) / 2)), float(norm.ppf(power))
    return math.ceil(((far * 0.5 + near * math.sqrt(rate * (1 - rate))) / (rate - 0.5)) ** 2)


def power(rate: float, number: int) -> float:
    """Return how often so many independent decisive comparisons show a true win rate (normal approximation, two-sided)."""
    far = norm.ppf((1 + CONFIDENCE) / 2)
    return float(norm.cdf((abs(rate - 0.5) * math.sqrt(number) - far * 0.5) / math.sqrt(rate * (1 - rate))))
