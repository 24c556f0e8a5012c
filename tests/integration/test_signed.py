"""Signed answers: only what the passages carry is signed, only what holds is served, and nothing of a farm is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from reviewing import AMINA, expert, given
from sqlalchemy import text

from agri_llm.errors import BadInput, NotAllowed
from agri_llm.judgements import SignedAnswer
from agri_llm.records import Answer, Question, now
from agri_llm.signed import fits, normal
from agri_llm.store import Store

SAID = "Trap banana weevils with split stems.[1]"


def passes(_: Answer) -> tuple[str, ...]:
    return ()


def signed(store: Store, by: str, shown: Answer, said: str = SAID, days: float = 30, **place: str | None) -> SignedAnswer:
    place = {"crop": None, "region": None} | place
    until = now().replace(microsecond=0) + timedelta(days=days)
    return store.signed.sign(by, shown.id, said, place["crop"], place["region"], until, check=passes)


def asked(words: str = "How do I stop weevils?", **details: str) -> Question:
    return Question(text=words, **details)  # type: ignore[arg-type]


def test_the_same_question_gets_the_signed_answer(store: Store) -> None:
    by = expert(store, "Asha")
    kept = signed(store, by, given(store))
    found = store.signed.serving(asked(" how do I  STOP ｗｅｅｖｉｌｓ"), now())
    assert found == kept
    assert (kept.answer.signed_by, kept.answer.signed_until, kept.answer.text) == ("Asha", kept.expires_at, SAID)
    assert [cited.number for cited in kept.answer.citations] == [1]
    assert store.signed.serving(asked("How do I stop rats?"), now()) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Weevils?", "weevils", True),
        ("香蕉 叶子发黄？", "香蕉叶子发黄", True),
        ("What's wrong — really?", "what s wrong really", True),
        ("0.5 l?", "05 l", False),
        ("at -5 °C", "at 5 °C", False),
        ("10%", "10", False),
        ("weevils", "weevil", False),
    ],
)
def test_only_case_space_punctuation_and_width_are_overlooked(one: str, other: str, same: bool) -> None:
    assert (normal(one) == normal(other)) is same


@pytest.mark.parametrize(
    ("details", "crop", "region", "fit"),
    [
        ({}, None, None, True),
        ({"crop": "Banana"}, "banana", None, True),
        ({"crop": "maize"}, "banana", None, False),
        ({}, "banana", None, False),
        ({"place": "Mbale, Uganda"}, None, "uganda", True),
        ({"place": "Kisumu, Kenya"}, None, "Uganda", False),
        ({}, None, "Uganda", False),
    ],
)
def test_crop_and_region_are_the_same_or_left_open(details: dict[str, str], crop: str, region: str, fit: bool) -> None:
    assert fits(asked(**details), crop, region) is fit


def test_what_ran_out_was_withdrawn_or_belongs_to_a_closed_account_is_not_served(store: Store) -> None:
    by, head = expert(store, "Asha"), expert(store, "Head", "administrator")
    kept = signed(store, by, given(store))
    assert store.signed.serving(asked(), kept.expires_at) is None
    assert store.signed.serving(asked(), kept.expires_at - timedelta(seconds=1)) is not None
    store.accounts.deactivate(head, by)
    assert store.signed.serving(asked(), now()) is None
    store.accounts.activate(head, by)
    store.signed.withdraw(head, kept.id)
    assert store.signed.serving(asked(), now()) is None
    [told] = store.signed.all(head)
    assert told.withdrawn_at is not None


def test_signing_twice_keeps_one_and_another_text_replaces_it(store: Store) -> None:
    by, shown = expert(store), given(store)
    until = now() + timedelta(days=3)
    one, two = (store.signed.sign(by, shown.id, SAID, "banana", None, until, check=passes) for _ in range(2))
    assert one == two
    three = store.signed.sign(by, shown.id, "Burn nothing.[1]", "banana", None, until, check=passes)
    assert [each.withdrawn_at is None for each in store.signed.all(by)] == [True, False]
    assert store.signed.serving(asked(crop="banana"), now()) == three


@pytest.mark.parametrize("until", [timedelta(days=-1), timedelta(days=732)])
def test_an_answer_is_signed_for_two_years_at_most(store: Store, until: timedelta) -> None:
    with pytest.raises(BadInput, match="within two years"):
        store.signed.sign(expert(store), given(store).id, SAID, None, None, now() + until, check=passes)


def test_what_the_passages_do_not_carry_is_not_signed(store: Store) -> None:
    by, shown, until = expert(store), given(store), now() + timedelta(days=3)
    with pytest.raises(BadInput, match=r"not carried by the cited passages: Pray\."):
        store.signed.sign(by, shown.id, "Pray.", None, None, until, check=lambda _: ("Pray.",))
    with pytest.raises(BadInput, match="an empty text"):
        store.signed.sign(by, shown.id, " ", None, None, until, check=passes)
    with pytest.raises(BadInput, match="has 4,001 characters"):
        store.signed.sign(by, shown.id, "x" * 4001, None, None, until, check=passes)
    with pytest.raises(BadInput, match="no such signed answer"):
        store.signed.withdraw(by, "none")
    assert store.signed.all(by) == []


def test_who_has_no_account_or_asked_the_question_signs_nothing(store: Store) -> None:
    by = expert(store)
    for who, shown in ((AMINA, given(store)), (by, given(store, owner=by))):
        with pytest.raises(NotAllowed):
            signed(store, who, shown)
    for attempt in (lambda: store.signed.all(AMINA), lambda: store.signed.withdraw(AMINA, "x")):
        with pytest.raises(NotAllowed):
            attempt()


def test_the_copy_stays_without_the_place_when_the_farmer_is_forgotten(store: Store) -> None:
    by = expert(store)
    question = Question(text="How do I stop weevils?", place="Behind the mill, Mbale", crop="banana")
    shown = given(store, question=question)
    kept = signed(store, by, shown, crop="banana")
    store.consents.allow(AMINA)
    assert store.teachable().signed == (kept,)
    store.forget(AMINA)
    assert store.signed.serving(replace(question, place=None), now()) == kept
    with store._reading() as session:
        row = session.execute(text("SELECT * FROM signed_answers")).one()
    assert "mill" not in str(row)
    assert row.answer_id is None
    assert store.teachable().signed == ()


def test_an_old_chat_tells_who_signed(store: Store) -> None:
    until = datetime.fromisoformat("2027-05-01T00:00:00+00:00")
    shown = given(store, signed_by="Asha", signed_until=until)
    assert store.answer(AMINA, shown.id) == shown


@pytest.mark.parametrize("place", [{"crop": "x" * 10_000}, {"region": "x" * 10_000}], ids=["crop", "region"])
def test_a_crop_or_region_that_no_form_of_ours_sends_is_refused(store: Store, place: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="has 10,000 characters"):
        signed(store, expert(store, "Asha"), given(store), **place)  # type: ignore[arg-type]


def test_a_day_without_a_zone_is_refused_in_a_sentence(store: Store) -> None:
    by, shown = expert(store, "Asha"), given(store)
    with pytest.raises(BadInput, match="has no time zone"):
        store.signed.sign(by, shown.id, SAID, None, None, datetime(2100, 1, 1), check=passes)
