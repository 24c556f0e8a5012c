"""Agreement of experts: figures as the kept libraries give them, and a person who answers at random shows up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agri_llm import agreement
from agri_llm.judgements import CRITERIA, Comparison, Preferred, Review

PEOPLE = ("asha", "bela", "chen", "dice")


def review(item: str, person: str, scores: Sequence[int]) -> Review:
    return Review(answer_id=item, reviewer=person, scores=dict(zip(CRITERIA, map(int, scores), strict=True)))


def panel(seed: int, items: int = 60, last: str = "random") -> list[Review]:
    """Three experts who see the truth with noise of 0.5 points, and one who does something else."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(1, 6, (items, 5))
    found = []
    for person in PEOPLE[:3]:
        seen = np.clip(np.rint(truth + draw.normal(0, 0.5, truth.shape)), 1, 5)
        found += [review(f"a{at}", person, seen[at]) for at in range(items)]
    other = draw.integers(1, 6, truth.shape) if last == "random" else np.full(truth.shape, 4)
    return found + [review(f"a{at}", PEOPLE[3], other[at]) for at in range(items)]


def suspects(reviews: Sequence[Review]) -> set[str]:
    together = [each for each in agreement.of_experts(reviews) if each.criterion == ""]
    return {each.expert for each in together if agreement.looks_random(each)}


def test_who_answers_at_random_shows_up_and_nobody_else_does() -> None:
    assert [suspects(panel(seed)) for seed in range(50)] == [{"dice"}] * 50


def test_who_answers_at_random_shows_up_where_every_item_is_judged_by_two() -> None:
    for seed in range(20):
        draw = np.random.default_rng(seed)
        chosen = [set(draw.choice(PEOPLE, 2, replace=False)) for _ in range(240)]
        kept = [each for each in panel(seed, 240) if each.reviewer in chosen[int(each.answer_id[1:])]]
        assert suspects(kept) == {"dice"}, seed


def test_who_always_gives_the_same_score_shows_up() -> None:
    assert suspects(panel(0, last="constant")) == {"dice"}


def test_nothing_is_said_of_somebody_with_few_items() -> None:
    assert suspects(panel(0, items=agreement.ENOUGH - 1)) == set()


def test_the_bounds_lie_around_the_kappa_of_the_kept_library() -> None:
    draw = np.random.default_rng(1)
    own = draw.integers(1, 6, 400)
    other = np.clip(own + draw.integers(-1, 2, 400), 1, 5)
    bounds = agreement._bounds([(str(at), int(x), int(y)) for at, (x, y) in enumerate(zip(own, other, strict=True))], 0)
    value = agreement.kappa(own.tolist(), other.tolist())
    assert bounds is not None
    assert value is not None
    assert bounds[0] < value < bounds[1]
    assert sum(bounds) / 2 == pytest.approx(value, abs=0.01)
    assert bounds[1] - bounds[0] < 0.08


def test_alpha_and_kappa_are_those_of_a_table_worked_by_hand() -> None:
    """Two people, ten items, 0 and 1: observed agreement 6 of 10; 4 disagreeing pairs of values among 14 zeros and 6 ones.

    alpha = 1 - (20 - 1) * 8 / (2 * 14 * 6) = 0.0952 (Krippendorff 2011, example A).
    """
    one, two = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    ratings = {str(at): {"asha": x, "bela": y} for at, (x, y) in enumerate(zip(one, two, strict=True))}
    assert agreement.alpha(ratings, "nominal") == pytest.approx(1 - 19 * 8 / (2 * 14 * 6))
    observed, chance = 0.6, 0.8 * 0.6 + 0.2 * 0.4
    assert agreement.kappa(one, two, quadratic=False) == pytest.approx((observed - chance) / (1 - chance))


def test_people_who_agree_have_one_and_people_who_guess_have_none() -> None:
    draw = np.random.default_rng(0)
    same = {str(at): dict.fromkeys(PEOPLE[:2], int(draw.integers(1, 6))) for at in range(50)}
    guess = {str(at): {name: int(draw.integers(1, 6)) for name in PEOPLE[:2]} for at in range(2000)}
    assert agreement.alpha(same, "ordinal") == pytest.approx(1)
    assert agreement.alpha(guess, "ordinal") == pytest.approx(0, abs=0.06)
    assert agreement.alpha({"a": {"asha": 1, "bela": 1}, "b": {"asha": 1, "bela": 1}}, "nominal") is None
    assert agreement.alpha({"a": {"asha": 1}}, "nominal") is None


def test_the_interval_of_alpha_holds_it_and_counts_only_what_was_judged_twice() -> None:
    [first, *_] = agreement.of_reviews([*panel(0), review("alone", "asha", [1] * 5)])
    assert (first.criterion, first.items, first.ratings) == ("correctness", 60, 240)
    assert first.alpha is not None
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.alpha < first.high


def test_no_reviews_give_no_figures() -> None:
    assert [each.alpha for each in agreement.of_reviews([])] == [None] * 5
    assert agreement.of_experts([]) == []
    assert agreement.kappa([], []) is None
    assert agreement.kappa([3, 3], [3, 3]) is None


def test_a_choice_means_the_same_whichever_side_the_answers_stood() -> None:
    def chosen(first: str, second: str, preferred: Preferred, person: str) -> Comparison:
        return Comparison(question_id="q", first=first, second=second, preferred=preferred, reviewer=person)

    said = [
        chosen("a", "b", "first", "asha"),
        chosen("b", "a", "second", "bela"),
        chosen("c", "d", "both_bad", "asha"),
        chosen("d", "c", "both_bad", "bela"),
    ]
    found = agreement.of_reviews([], said)[-1]
    assert (found.criterion, found.items, found.alpha) == ("choice", 2, pytest.approx(1))


def test_the_interval_of_an_expert_holds_the_figure_with_the_colleague_who_agrees_best() -> None:
    draw = np.random.default_rng(1)
    said = []
    for at in range(60):
        truth = int(draw.integers(1, 6))
        for expert, score in (("one", truth), ("two", min(5, truth + at % 2)), ("dice", int(draw.integers(1, 6)))):
            said.append(Review(answer_id=str(at), reviewer=expert, scores=dict.fromkeys(CRITERIA, score)))
    for found in agreement.of_experts(said):
        assert found.low is not None
        assert found.high is not None
        assert found.best is not None
        assert found.kappa is not None
        assert found.low <= found.best <= found.high
        if found.expert != "dice":
            assert found.kappa < found.low
