"""The 5-gram model against values computed by hand, and what every language model must be: a distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agri_llm.errors import BadInput
from training.ngrams import DISCOUNT, KneserNey, discounts_of

A, B, C = 0, 1, 2


def test_a_bigram_model_gives_the_probabilities_of_a_calculation_by_hand() -> None:
    # a b a b a c: after the begin a; after a twice b and once c; after b twice a. Too little for counts of counts: 0.75 each.
    model = KneserNey([[A, B, A, B, A, C]], 3, order=2)
    # Ways to go on to the left: a after (begin) and b: 2; b after a: 1; c after a: 1; 4 in all.
    uniform, left = 1 / 3, 3 * DISCOUNT / 4
    one = {A: (2 - DISCOUNT) / 4 + left * uniform, B: (1 - DISCOUNT) / 4 + left * uniform}
    one[C] = one[B]
    assert sum(one.values()) == pytest.approx(1)
    after_a = {A: 0.5 * one[A], B: (2 - DISCOUNT) / 3 + 0.5 * one[B], C: (1 - DISCOUNT) / 3 + 0.5 * one[C]}
    assert model.probabilities([A]) == pytest.approx([after_a[A], after_a[B], after_a[C]])
    # Nothing ever followed c: the shorter context alone speaks.
    assert model.probabilities([C]) == pytest.approx([one[A], one[B], one[C]])
    first = {A: (1 - DISCOUNT) / 1 + DISCOUNT * one[A], B: DISCOUNT * one[B], C: DISCOUNT * one[C]}
    assert model.probabilities([]) == pytest.approx([first[A], first[B], first[C]])


def test_discounts_are_those_of_chen_and_goodman() -> None:
    counts = np.array([1.0] * 10 + [2.0] * 4 + [3.0] * 2 + [4.0])  # Y = 10/18
    share = 10 / 18
    assert discounts_of(counts) == pytest.approx([0, 1 - 2 * share * 0.4, 2 - 3 * share * 0.5, 3 - 4 * share * 0.5])
    assert discounts_of(np.array([1.0, 2.0])) == pytest.approx([0, DISCOUNT, DISCOUNT, DISCOUNT])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_after_known_half_known_and_unknown_tokens(order: int) -> None:
    random = np.random.default_rng(0)
    documents = [list(np.minimum(random.geometric(0.15, size=200) - 1, 39)) for _ in range(20)]
    model = KneserNey(documents, 40, order=order)
    for before in ([], documents[0][:1], documents[3][10:16], [39, 38, 0, 1], [0, 0, 0, 0, 39]):
        found = model.probabilities(before)
        assert found.sum() == pytest.approx(1, abs=1e-9)
        assert found.min() > 0


def test_a_token_that_was_never_met_is_unlikely_and_not_impossible() -> None:
    model = KneserNey([[A, B, A, B]], 4)
    found = model.probabilities([A])
    assert 0 < found[3] < found[B]


def test_documents_do_not_see_one_another() -> None:
    model = KneserNey([[A, B], [C, B]], 3)
    together = model.log_probabilities([[A, B, A], [C, B], [B]])
    assert [len(one) for one in together] == [3, 2, 1]
    assert together[1] == pytest.approx(model.log_probabilities([[C, B]])[0])
    assert together[2] == pytest.approx([math.log(model.probabilities([])[B])])


def test_a_longer_context_helps_where_text_repeats() -> None:
    cycle = [A, B, A, C] * 50
    short, long = KneserNey([cycle], 3, order=2), KneserNey([cycle], 3, order=5)
    assert long.log_probabilities([cycle])[0].mean() > short.log_probabilities([cycle])[0].mean()


def test_nothing_to_count_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="no tokens to count"):
        KneserNey([[], []], 5)
