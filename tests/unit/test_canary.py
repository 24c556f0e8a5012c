"""The canary's draw and its test: false stops with a look after every vote, power, counting, and how often one looks."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pytest

from agri_llm import canary
from agri_llm.canary import Watch, evidence, gets_candidate, standing
from agri_llm.errors import StoreUnavailable
from agri_llm.judgements import Promotion
from training import gate

BEGUN = Promotion(kind="canary", adapter="/runs/new/adapter", by="test", share=0.1)
CURRENT = Promotion(kind="promoted", adapter="/runs/old/adapter", by="test")


def stopped(share: float, harm: float, risk: float, conversations: int, rng: np.random.Generator) -> bool:
    """Whether a canary is stopped at any look, one after each harmed conversation."""
    of_candidate = rng.random(conversations) < share
    harmed = rng.random(conversations) < np.where(of_candidate, harm * risk, harm)
    counts = np.cumsum(of_candidate[harmed])
    return any(evidence(at, int(count), share) >= 1 / canary.ALPHA for at, count in enumerate(counts, start=1))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_a_candidate_that_harms_no_more_is_seldom_stopped_however_often_one_looks(share: float) -> None:
    rng = np.random.default_rng(int(share * 100))
    stops = sum(stopped(share, 0.2, 1.0, 1000, rng) for _ in range(600))
    assert stops / 600 <= 0.05


def test_a_candidate_that_doubles_the_harm_is_stopped_and_a_harmless_one_is_not() -> None:
    rng = np.random.default_rng(1)
    power = sum(stopped(0.1, 0.2, 2.0, 2000, rng) for _ in range(100)) / 100
    assert power > 0.85
    assert sum(stopped(0.1, 0.2, 0.5, 2000, rng) for _ in range(100)) <= 1


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_the_stake_is_a_fair_bet_to_the_last_digit(share: float) -> None:
    """Over all orders of ten harmed conversations its mean is 1: no rounding and no bet favours a stop."""
    mean = sum(
        evidence(10, sum(order), share) * share ** sum(order) * (1 - share) ** (10 - sum(order))
        for order in product((0, 1), repeat=10)
    )
    assert mean == pytest.approx(1.0, abs=1e-9)
    assert evidence(0, 0, share) == pytest.approx(1.0)


def test_the_stake_rises_with_the_candidates_part_and_survives_large_numbers() -> None:
    assert [evidence(40, of, 0.1) for of in range(41)] == sorted(evidence(40, of, 0.1) for of in range(41))
    assert evidence(1_000_000, 0, 0.1) == 0.0
    assert evidence(1_000_000, 1_000_000, 0.1) > 1e300


def test_a_conversation_keeps_its_model_and_the_share_holds() -> None:
    names = [f"conversation {number}" for number in range(20_000)]
    drawn = {name for name in names if gets_candidate(BEGUN, name)}
    assert len(drawn) / len(names) == pytest.approx(0.1, abs=0.008)
    assert drawn == {name for name in names if gets_candidate(BEGUN, name)}
    another = Promotion(kind="canary", adapter=BEGUN.adapter, by="test", share=0.1)
    both = drawn & {name for name in names if gets_candidate(another, name)}
    assert len(both) / len(names) == pytest.approx(0.01, abs=0.004)
    assert not gets_candidate(BEGUN, "")


def test_each_conversation_counts_once_and_other_writers_not_at_all() -> None:
    votes = [
        ("new", "a", True),
        ("new", "a", True),
        ("old", "b", False),
        ("old", "b", True),
        ("other", "c", True),
        (None, "d", True),
        ("new", "e", False),
    ]
    found = standing(BEGUN, CURRENT, votes)
    assert (found.voted, found.voted_candidate, found.harmed, found.harmed_candidate) == (3, 2, 2, 1)
    assert found.evidence == evidence(2, 1, 0.1)
    assert not found.harm_shown
    assert found.words().startswith("No harm shown so far, 3 conversations with a vote, 2 of new: 1 of the 2 harmed")
    assert standing(BEGUN, None, votes).harmed == 2, "without a promotion the base alone is in use"
    harmful = standing(BEGUN, CURRENT, [("new", str(number), True) for number in range(5)])
    assert harmful.harm_shown
    assert harmful.words().startswith("Harm is shown: 5 of the 5 harmed conversations are of new")


def test_a_watch_looks_seldom_and_a_database_that_is_down_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    looks: list[float] = []

    def settle() -> Promotion | None:
        looks.append(time.monotonic())
        if len(looks) == 1:
            raise StoreUnavailable("The database is down", "nothing is known", "wait")
        return Promotion(kind="canary_stopped", adapter="/runs/new/adapter", by="test", reasons=("it harmed",))

    watch = Watch(settle, look_seconds=0.2)
    for _ in range(5):
        watch.look()
    assert len(looks) == 1
    time.sleep(0.25)
    watch.look()
    assert len(looks) == 2
    assert "The database is down" in caplog.text
    assert "is stopped: it harmed" in caplog.text


@pytest.mark.parametrize(
    ("low", "high", "decisive", "reasons", "few"),
    [
        (0.45, 0.7, 60, 1, True),
        (0.45, 0.7, 60, 2, False),
        (0.45, 0.52, 4000, 1, False),
        (0.3, 0.45, 60, 1, False),
        (0.52, 0.7, 60, 1, False),
    ],
    ids=["few", "and a guard", "enough", "worse", "only a guard"],
)
def test_only_what_lacks_nothing_but_comparisons_may_be_tried_all_the_same(
    low: float, high: float, decisive: int, reasons: int, few: bool
) -> None:
    rate = {"low": low, "high": high, "decisive": decisive, "groups": 50}
    said = {"promote": False, "reasons": ["a reason"] * reasons, "win_rate": rate}
    assert gate.lacks_only_comparisons(said) == few
