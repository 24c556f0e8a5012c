"""No one person's taste is learned: of what each rater alone said, at most a share is kept."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.pair_cleaning import Rules, capped
from training.pair_rules import Draft


def drafts(alone: dict[str, int], joint: int = 0) -> list[Draft]:
    raters = [(rater,) for rater, number in alone.items() for _ in range(number)] + [("x", "y")] * joint
    return [
        Draft(
            source="comparison", group=str(at), language="en", messages=(), chosen="a", rejected="b", raters=who, ids=(str(at),)
        )
        for at, who in enumerate(raters)
    ]  # fmt: skip


def kept(alone: dict[str, int], most: float, joint: int = 0) -> Counter[tuple[str, ...]]:
    return Counter(draft.raters for draft in capped(drafts(alone, joint), Rules(most_of_a_rater=most), Counter()))


@pytest.mark.parametrize(
    ("alone", "most"),
    [({"a": 20, "b": 20, "c": 2}, 0.4), ({"a": 100, "b": 3}, 0.6), ({"a": 30, "b": 20, "c": 10, "d": 1}, 0.3)],
)
def test_every_rater_is_held_to_the_share_and_not_only_the_first_who_is_above_it(alone: dict[str, int], most: float) -> None:
    found = kept(alone, most)
    assert found
    assert max(found.values()) <= most * found.total()


def test_a_share_that_so_few_raters_cannot_hold_becomes_an_equal_one() -> None:
    assert kept({"a": 10, "b": 4}, 0.3) == {("a",): 4, ("b",): 4}


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 40), min_size=2), st.integers(0, 10))
def test_with_half_as_the_share_nobody_has_more_than_everybody_else(alone: dict[str, int], joint: int) -> None:
    found = kept(alone, 0.5, joint)
    assert max(found.values()) <= max(found.total() / 2, found[("x", "y")])
    small = {rater for rater, number in alone.items() if number <= min(alone.values())}
    assert all(found[(rater,)] == alone[rater] for rater in small)  # who said little loses nothing
