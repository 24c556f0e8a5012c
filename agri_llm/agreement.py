"""How far experts agree with each other, beyond chance; pure functions of reviews and comparisons.

1 is perfect agreement, 0 what chance gives. Krippendorff (Content Analysis, 2004, p. 241) draws conclusions from an alpha of
.800 on, tentative ones from .667 on; below that nothing should be learned from what was said.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import krippendorff
import numpy as np
from sklearn.metrics import cohen_kappa_score

from agri_llm.judgements import CRITERIA, Comparison, Review

RELIABLE, TENTATIVE = 0.800, 0.667  # Krippendorff, Content Analysis, 2nd edition (2004), page 241
ENOUGH = 20  # items judged twice, below which nothing is said of a person; our choice, no published figure
DRAWS = 500  # of the bootstrap
Level = Literal["ordinal", "nominal"]
Ratings = Mapping[str, Mapping[str, int]]  # item → expert → value
TURNED = {"first": "second", "second": "first"}
CHOICES = ("first", "second", "both_good", "both_bad")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Krippendorff's alpha over the items that two or more people judged, with its 95 % interval; None where too few did."""

    criterion: str
    items: int
    ratings: int
    alpha: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExpertAgreement:
    """One expert against the others, all criteria together for `criterion` "": Cohen's kappa over `items` judged by both.

    `low` and `high` bound `best`, the kappa with the colleague who agrees best: one careless colleague spoils nobody's figure.
    `constant` says that the expert gave one value to everything although colleagues did not.
    """

    expert: str
    criterion: str
    items: int
    kappa: float | None
    low: float | None = None
    high: float | None = None
    constant: bool = False
    best: float | None = None


def scores(reviews: Iterable[Review], criterion: str) -> dict[str, dict[str, int]]:
    """Return the scores of one criterion by answer and expert."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for review in reviews:
        found[review.answer_id][review.reviewer] = review.scores[criterion]  # type: ignore[index]
    return dict(found)


def choices(comparisons: Iterable[Comparison]) -> dict[str, dict[str, int]]:
    """Return the choices by pair and expert, as if everybody had seen the two answers in one order."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for one in comparisons:
        word = one.preferred if one.first < one.second else TURNED.get(one.preferred, one.preferred)
        found[" ".join(sorted((one.first, one.second)))][one.reviewer] = CHOICES.index(word)
    return dict(found)


def of_reviews(reviews: Sequence[Review], comparisons: Sequence[Comparison] = (), seed: int = 0) -> list[Agreement]:
    """Return the agreement in each criterion (ordinal) and, where there are comparisons, in the choices (nominal)."""
    found = [_agreement(name, scores(reviews, name), "ordinal", seed) for name in CRITERIA]
    return [*found, _agreement("choice", choices(comparisons), "nominal", seed)] if comparisons else found


def of_experts(reviews: Sequence[Review], seed: int = 0) -> list[ExpertAgreement]:
    """Return every expert against the others: in each criterion, and first ("") in all of them together."""
    rated: dict[str, Ratings] = {name: scores(reviews, name) for name in CRITERIA}
    together = {f"{item} {name}": by for name, ratings in rated.items() for item, by in ratings.items()}
    people = sorted({review.reviewer for review in reviews})
    return [_expert(person, name, ratings, seed) for person in people for name, ratings in [("", together), *rated.items()]]


def looks_random(expert: ExpertAgreement, threshold: float = TENTATIVE, enough: int = ENOUGH) -> bool:
    """Whether what this expert says does not seem to depend on the answer: even the best colleague agrees too little.

    Nothing is said of somebody with fewer than `enough` items that others judged too.
    """
    if expert.items < enough:
        return False
    return expert.constant or (expert.high is not None and expert.high < threshold)


def alpha(ratings: Ratings, level: Level) -> float | None:
    """Return Krippendorff's alpha; None where fewer than two items were judged twice or everybody always says the same."""
    counts = _counts(ratings)
    return _alpha(counts, level) if len(counts) > 1 else None


def kappa(own: Sequence[int], other: Sequence[int], *, quadratic: bool = True) -> float | None:
    """Return Cohen's kappa of two people over the same items, weighted by the square of the distance for scores."""
    if not own or (len(set(own)) == 1 and set(own) == set(other)):
        return None  # both always said the same one thing: chance agrees as well
    return float(cohen_kappa_score(list(own), list(other), weights="quadratic" if quadratic else None))


def _agreement(criterion: str, ratings: Ratings, level: Level, seed: int) -> Agreement:
    counts = _counts(ratings)  # (items, values)
    value = _alpha(counts, level) if len(counts) > 1 else None
    if value is None:
        return Agreement(criterion=criterion, items=len(counts), ratings=int(counts.sum()), alpha=None)
    draw = np.random.default_rng(seed)
    drawn = [_alpha(counts[draw.integers(0, len(counts), len(counts))], level) for _ in range(DRAWS)]
    low, high = np.percentile([each for each in drawn if each is not None], [2.5, 97.5])
    total = int(counts.sum())
    return Agreement(criterion=criterion, items=len(counts), ratings=total, alpha=value, low=float(low), high=float(high))


def _counts(ratings: Ratings) -> np.ndarray:
    """How often each value was given to each item that two or more people judged."""
    twice = [list(by.values()) for by in ratings.values() if len(by) > 1]
    values = sorted({value for item in twice for value in item})
    return np.array([[item.count(value) for value in values] for item in twice]).reshape(len(twice), len(values))


def _alpha(counts: np.ndarray, level: Level) -> float | None:
    if (counts.sum(axis=0) > 0).sum() < 2:
        return None  # one value only: there is nothing to agree on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = krippendorff.alpha(value_counts=counts, level_of_measurement=level)
    return None if math.isnan(value) else float(value)


def _expert(person: str, criterion: str, ratings: Ratings, seed: int) -> ExpertAgreement:
    """Items of a pair of people are answers; the five scores of one answer are drawn together."""
    with_whom: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for item, by in ratings.items():
        for other in by.keys() - {person} if person in by else ():
            with_whom[other].append((item.split(" ")[0], by[person], by[other]))
    everyone = [row for rows in with_whom.values() for row in rows]
    own, others = [row[1] for row in everyone], [row[2] for row in everyone]
    constant = len(set(own)) == 1 and len(set(others)) > 1
    best = [rows for rows in with_whom.values() if len({row[0] for row in rows}) >= ENOUGH] or [everyone]
    bounds = [(*found, rows) for rows in best if (found := _bounds(rows, seed)) is not None]
    low, high, closest = max(bounds, key=lambda each: each[1]) if bounds else (None, None, everyone)
    return ExpertAgreement(
        expert=person,
        criterion=criterion,
        items=len({row[0] for row in everyone}),
        kappa=kappa(own, others),
        low=low,
        high=high,
        constant=constant,
        best=kappa([row[1] for row in closest], [row[2] for row in closest]),
    )


def _bounds(rows: Sequence[tuple[str, int, int]], seed: int) -> tuple[float, float] | None:
    """The 95 % interval of the weighted kappa, drawn over answers.

    With quadratic weights kappa is 1 - mean((x - y)²) / (var x + var y + (mean x - mean y)²) (Fleiss and Cohen 1973), so all
    draws are counted at once from sums by answer.
    """
    if not rows:
        return None
    names = {name: at for at, name in enumerate(dict.fromkeys(row[0] for row in rows))}
    x, y = (np.array([row[at] for row in rows], dtype=float) for at in (1, 2))
    at = np.array([names[row[0]] for row in rows])
    parts = np.stack([np.ones_like(x), x, y, x * x, y * y, (x - y) ** 2], axis=1)  # (rows, sums)
    sums = np.zeros((len(names), parts.shape[1]))
    np.add.at(sums, at, parts)
    drawn = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), DRAWS) @ sums  # (draws, sums)
    _, x1, y1, x2, y2, apart = (drawn / drawn[:, :1]).T
    chance = x2 - x1**2 + y2 - y1**2 + (x1 - y1) ** 2
    known = chance > 1e-12
    if not known.any():
        return None
    low, high = np.percentile(1 - apart[known] / chance[known], [2.5, 97.5])
    return float(low), float(high)
