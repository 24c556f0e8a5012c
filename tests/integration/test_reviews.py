"""What experts say of answers: kept once, refused in one sentence, gone with the answer, and never without consent."""

from __future__ import annotations

from typing import Any

import pytest
from reviewing import AMINA, answer, expert, given, review

from agri_llm.errors import AgriError, BadInput, NotAllowed
from agri_llm.judgements import CRITERIA, Comparison, Outcome
from agri_llm.records import Feedback, new_id
from agri_llm.reviews import wants_two
from agri_llm.store import Store


def compared(store: Store) -> tuple[Any, Any]:
    """An answer and a second one to the same question."""
    shown = given(store)
    other = answer(question=shown.question, text="Burn nothing.[1]")
    assert store.reviews.add_alternative(other)
    return shown, other


def test_a_review_is_read_back_as_it_was_sent(store: Store) -> None:
    by, shown = expert(store), given(store)
    sent = review(
        shown.id, by, 2, wrong=((0, 4), (5, 11)), citations={1: "does_not"}, correction="Better.", comment="½ 好", seconds=12.5
    )
    store.reviews.submit(sent)
    assert store.reviews.of_answer(by, shown.id) == [sent]


def test_a_review_sent_twice_is_one_and_a_later_one_counts(store: Store) -> None:
    by, shown = expert(store), given(store)
    first, second = review(shown.id, by, 2), review(shown.id, by, 5)
    for sent in (first, first, second, first):  # the last is a repeated older one
        store.reviews.submit(sent)
    assert store.reviews.of_answer(by, shown.id) == [second]


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"scores": dict.fromkeys(CRITERIA, 6)}, "the score for correctness is 6|scores go from 1 to 5"),
        ({"scores": dict.fromkeys(CRITERIA, 0)}, "scores go from 1 to 5"),
        ({"scores": dict.fromkeys(CRITERIA, True)}, "scores go from 1 to 5"),
        ({"scores": {"safety": 3}}, "each criterion needs one"),
        ({"wrong": ((0, 1),) * 5000}, "5,000 marked places"),
        ({"wrong": ((3, 900),)}, "3–900 is not in the answer"),
        ({"wrong": ((5, 5),)}, "5–5 is not in the answer"),
        ({"wrong": ((-1, 5),)}, "is not in the answer"),
        ({"citations": {7: "supports"}}, r"Citation \[7\] is not in the answer"),
        ({"citations": {1: "perhaps"}}, "no word for a citation"),
        ({"correction": "x" * 100_000}, "The correction has 100,000 characters"),
        ({"comment": "x" * 4001}, "The comment has 4,001 characters"),
        ({"seconds": float("nan")}, "no length of time"),
    ],
)
def test_a_review_that_cannot_be_is_one_sentence(store: Store, details: dict[str, Any], said: str) -> None:
    by, shown = expert(store), given(store)
    with pytest.raises(BadInput, match=said):
        store.reviews.submit(review(shown.id, by, **details))
    assert store.reviews.of_answer(by, shown.id) == []


def test_an_answer_that_does_not_exist_cannot_be_reviewed(store: Store) -> None:
    with pytest.raises(BadInput, match="There is no such answer"):
        store.reviews.submit(review(new_id(), expert(store)))


def test_nobody_judges_their_own(store: Store) -> None:
    by = expert(store)
    own = given(store, owner=by)
    other = answer(question=own.question, text="Burn nothing.[1]")
    store.reviews.add_alternative(other)
    store.save_feedback(by, Feedback(answer_id=own.id, rating="down", author=by, correction="Mine.", id="f-own"))
    attempts = (
        lambda: store.reviews.submit(review(own.id, by)),
        lambda: store.reviews.compare(
            Comparison(question_id=own.question.id, first=own.id, second=other.id, preferred="first", reviewer=by)
        ),
        lambda: store.reviews.decide_correction(by, "f-own", "approved"),
    )
    for attempt in attempts:
        with pytest.raises(NotAllowed, match="nobody judges their own"):
            attempt()


@pytest.mark.parametrize("who", [AMINA, "", "nobody"])
def test_who_has_no_account_may_do_nothing(store: Store, who: str) -> None:
    shown, other = compared(store)
    pair = Comparison(question_id=shown.question.id, first=shown.id, second=other.id, preferred="first", reviewer=who)
    attempts = (
        lambda: store.reviews.submit(review(shown.id, who)),
        lambda: store.reviews.of_answer(who, shown.id),
        lambda: store.reviews.said(who),
        lambda: store.reviews.compare(pair),
        lambda: store.reviews.decide_correction(who, "f", "approved"),
    )
    for attempt in attempts:
        with pytest.raises(NotAllowed):
            attempt()


def test_a_comparison_is_kept_once_whichever_side_the_answers_stood(store: Store) -> None:
    by, (shown, other) = expert(store), compared(store)
    store.consents.allow(AMINA)
    asked = shown.question.id
    first = Comparison(question_id=asked, first=shown.id, second=other.id, preferred="first", reviewer=by)
    turned = Comparison(question_id=asked, first=other.id, second=shown.id, preferred="both_bad", reviewer=by)
    for sent in (first, first, turned, first):
        store.reviews.compare(sent)
    assert store.teachable().comparisons == (turned,)


def test_answers_to_different_questions_cannot_be_compared(store: Store) -> None:
    by, one, two = expert(store), given(store), given(store)
    said = Comparison(question_id=one.question.id, first=one.id, second=two.id, preferred="first", reviewer=by)
    with pytest.raises(BadInput, match="not to the question"):
        store.reviews.compare(said)
    with pytest.raises(BadInput, match="the same one"):
        store.reviews.compare(Comparison(question_id="q", first="a", second="a", preferred="first", reviewer=by))


def test_the_farmer_never_meets_the_second_answer(store: Store) -> None:
    shown, other = compared(store)
    [line] = store.conversations(AMINA)
    assert store.turns(AMINA, line.id) == [shown]
    assert store.answer(AMINA, other.id) is None
    assert store.conversations(AMINA, "Burn nothing") == []
    assert store.reviews.add_alternative(other)  # sent again
    assert not store.reviews.add_alternative(answer(question=shown.question, text=shown.text + " "))  # says the same


@pytest.mark.parametrize("way", ["conversation", "person"])
def test_what_was_said_goes_with_the_answer(store: Store, way: str) -> None:
    by, (shown, other) = expert(store), compared(store)
    store.consents.allow(AMINA)
    store.reviews.submit(review(shown.id, by))
    store.reviews.compare(
        Comparison(question_id=shown.question.id, first=shown.id, second=other.id, preferred="first", reviewer=by)
    )
    [line] = store.conversations(AMINA)
    if way == "conversation":
        store.delete_conversation(AMINA, line.id)
    else:
        store.forget(AMINA)
    assert store.reviews.said(by) == []
    store.consents.allow(AMINA)
    assert store.teachable().comparisons == ()
    assert store.teachable().answers == {}


def test_a_farmers_correction_is_decided_and_learned_as_edited(store: Store) -> None:
    by, shown = expert(store), given(store)
    store.consents.allow(AMINA)
    said = Feedback(answer_id=shown.id, rating="down", author=AMINA, correction="Trap them.")
    store.save_feedback(AMINA, said)
    store.reviews.decide_correction(by, said.id, "edited", "Trap banana weevils.")
    [vote] = store.teachable().votes
    assert (vote.status, vote.correction, vote.reviewer) == ("edited", "Trap banana weevils.", by)
    own = store.feedback_of(AMINA, shown.id)
    assert own is not None
    assert own.correction == "Trap them."
    for status, text, why in (("new", "", "no decision"), ("edited", " ", "comes with its text"), ("approved", "x", "without")):
        with pytest.raises(BadInput, match=why):
            store.reviews.decide_correction(by, said.id, status, text)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no such correction"):
        store.reviews.decide_correction(by, new_id(), "approved")


def test_only_what_people_agreed_to_may_teach(store: Store) -> None:
    by, gone = expert(store, "asha"), expert(store, "gone")
    for owner in (AMINA, "visitor:boris"):
        shown = given(store, owner=owner)
        store.reviews.submit(review(shown.id, by))
        store.reviews.submit(review(shown.id, gone))
        store.save_feedback(owner, Feedback(answer_id=shown.id, rating="up", author=owner))
        store.save_outcome(owner, Outcome(answer_id=shown.id, result="worked", author=owner))
    assert store.teachable().answers == {}
    store.consents.allow(AMINA)
    head = expert(store, "head", "administrator")
    store.accounts.deactivate(head, gone)
    found = store.teachable()
    assert len(found.answers) == len(found.votes) == len(found.outcomes) == 1
    assert {each.reviewer for each in found.reviews} == {by, gone}
    assert set(found.experts) == {by, head}
    store.consents.withdraw(AMINA)
    empty = store.teachable()
    assert (empty.answers, empty.votes, empty.reviews) == ({}, (), ())


def test_every_fifth_item_wants_two() -> None:
    assert 0.18 < sum(wants_two(new_id()) for _ in range(20_000)) / 20_000 < 0.22


def test_errors_have_three_parts(store: Store) -> None:
    with pytest.raises(AgriError) as refused:
        store.reviews.submit(review(new_id(), expert(store)))
    assert all((refused.value.what, refused.value.why, refused.value.next_step))
