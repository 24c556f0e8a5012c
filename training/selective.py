"""Answering only when sure: risk against coverage, and what simple rules would reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.cases import Case
from training.replies import Reply

Values = NDArray[np.float64]
FOUND_AMONG = 5  # sheets of the search among which a right one must be for an answer to have a chance


def wrong_if_answered(case: Case, reply: Reply) -> bool:
    """Whether an answer to this case is, or would be, wrong: nothing answers it, or the right sheet was not found."""
    if case.expected == "refuse":
        return True
    if not case.sheets:
        return False
    if reply.kind == "advice":
        return not {cited.sheet for cited in reply.citations} & set(case.sheets)
    return not set(reply.found[:FOUND_AMONG]) & set(case.sheets)


def risk_and_coverage(confidence: Values, wrong: Values) -> tuple[Values, Values]:
    """Return coverage and risk when only the surest are answered, one more at a time; equally sure ones come together.

    Among equals the risk is their mean, so that it does not depend on the order of the file.
    """
    levels, place = np.unique(-confidence, return_inverse=True)
    counts = np.bincount(place, minlength=len(levels))
    sums = np.bincount(place, wrong, minlength=len(levels))
    each = np.repeat(sums / counts, counts)
    taken = np.arange(1, len(confidence) + 1)
    return taken / len(confidence), np.cumsum(each) / taken


def aurc(confidence: Values, wrong: Values) -> float:
    """Return the area under the risk–coverage curve (Geifman and El-Yaniv 2017, arXiv 1705.08500): lower is better."""
    return float(risk_and_coverage(confidence, wrong)[1].mean())


def baselines(cases: Sequence[Case]) -> dict[str, list[bool]]:
    """Return which decisions simple rules get right: always the commoner one; ask in the first turn and answer later."""
    should = [case.expected == "ask" for case in cases]
    common = sum(should) * 2 > len(should)
    return {
        "always the commoner decision": [one == common for one in should],
        "ask in the first turn, answer later": [one == (case.turn == 1) for one, case in zip(should, cases, strict=True)],
        "answer in the first turn, ask later": [one == (case.turn > 1) for one, case in zip(should, cases, strict=True)],
    }
