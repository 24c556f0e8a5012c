"""What scaling laws say, against figures of their papers."""

from __future__ import annotations

import math

import pytest

from training import laws
from training.laws import BESIROGLU, HOFFMANN, KAPLAN, Parametric


def test_hoffmanns_loss_is_that_of_chinchilla_and_gopher() -> None:
    """Table 1 and equation 10 of the paper: 70 B on 1.4 T against 280 B on 300 B tokens; the smaller model is better."""
    chinchilla, gopher = HOFFMANN.loss(70e9, 1.4e12), HOFFMANN.loss(280e9, 300e9)
    assert chinchilla < gopher
    assert chinchilla == pytest.approx(1.94, abs=0.01)
    assert gopher == pytest.approx(1.99, abs=0.01)


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU])
@pytest.mark.parametrize("size", [1e7, 1e9, 7e10])
def test_what_a_size_deserves_is_the_best_split_of_its_compute(law: Parametric, size: float) -> None:
    tokens = law.deserved(size)
    best = law.loss(size, tokens)
    for factor in (0.8, 0.95, 1.05, 1.25):
        assert law.loss(size * factor, tokens / factor) > best


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU, KAPLAN])
def test_size_and_tokens_are_two_sides_of_one_law(law: laws.Law) -> None:
    assert law.supported(law.deserved(3e9)) == pytest.approx(3e9)


def test_the_replication_agrees_with_twenty_tokens_a_parameter_at_chinchilla_size() -> None:
    """Besiroglu et al., section 3: about 20 at the compute of Chinchilla, where the first fit gave about 70."""
    assert 15 < BESIROGLU.deserved(70e9) / 70e9 < 30
    assert 50 < HOFFMANN.deserved(70e9) / 70e9 < 110


def test_kaplan_gives_the_constants_of_its_table_at_one_petaflop_day() -> None:
    assert KAPLAN.deserved(1.3e9) == pytest.approx(2e10)
    assert KAPLAN.deserved(1.3e10) / KAPLAN.deserved(1.3e9) == pytest.approx(10 ** (0.27 / 0.73))
    assert 2.2 < KAPLAN.loss(1.5e9, 2e10) < 2.9  # figure 9 of the paper


def test_repeated_tokens_are_worth_less_each_time() -> None:
    once = 1e6
    assert laws.effective(once, once) == once
    assert laws.effective(once, once / 2) == once / 2
    assert laws.effective(0, 0) == 0
    four = laws.effective(once, laws.HARMLESS_EPOCHS * once) / once
    assert 3.6 < four < 4  # all but new
    worth = [laws.effective(once, epochs * once) for epochs in (1, 2, 8, 40, 400)]
    assert worth == sorted(worth)
    assert worth[-1] == pytest.approx(once * (1 + laws.REPETITIONS), rel=0.01)  # no more can be had
    assert laws.effective(once, once * (1 + laws.REPETITIONS)) / once == pytest.approx(1 + laws.REPETITIONS * (1 - 1 / math.e))


def test_a_judgement_names_every_law() -> None:
    found = laws.judged(7_000_000_000, 6_500_000_000, 2e6, 6e6)
    assert set(found.deserves) == set(found.supports)
    assert found.deserves["Hoffmann 2022, 20 tokens a parameter"] == 140e9
    assert found.effective < 6e6
    assert all(size < 7e9 for size in found.supports.values())
    assert found.least == pytest.approx(5e3 * 6.5e9**0.74)


def test_a_law_is_silent_about_tokens_it_was_not_fitted_on() -> None:
    few, enough = laws.judged(7_000_000_000, 6_500_000_000, 2e6, 2e6), laws.judged(7_000_000_000, 6_500_000_000, 1e10, 1e10)
    assert all(few.outside(name) for name in few.deserves)
    assert not any(enough.outside(name) for name in enough.deserves)
