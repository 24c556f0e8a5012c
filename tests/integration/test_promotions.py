"""Decisions about adapters, on both databases: what is in use, going back, canaries, two at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from agri_llm import canary
from agri_llm.errors import BadInput
from agri_llm.judgements import Outcome, Promotion
from agri_llm.records import Answer, Feedback, Question, Rating, new_id, now
from agri_llm.store import Store


def promotion(adapter: str, **more: object) -> Promotion:
    return Promotion(**{"kind": "promoted", "adapter": adapter, "by": "admin", "sha256": f"hash of {adapter}", **more})


def test_nothing_is_in_use_until_something_is_promoted(store: Store) -> None:
    assert store.promotions.current() is None
    made = promotion("runs/a", reasons=("better",), verdict={"promote": True})
    store.promotions.promote(made)
    assert store.promotions.current() == made
    store.promotions.promote(made)  # a retry after a lost connection
    assert store.promotions.history() == [made]


def test_going_back_is_a_decision_of_its_own_and_keeps_the_hash(store: Store) -> None:
    for adapter in ("runs/a", "runs/b"):
        store.promotions.promote(promotion(adapter))
    back = store.promotions.roll_back("admin", "runs/a", ("farmers complained",))
    assert (back.kind, back.sha256) == ("rolled_back", "hash of runs/a")
    assert store.promotions.current() == back
    assert [each.adapter for each in store.promotions.history()] == ["runs/a", "runs/b", "runs/a"]
    with pytest.raises(BadInput, match="runs/a is in use"):
        store.promotions.roll_back("admin", "runs/a")
    with pytest.raises(BadInput, match="runs/c was never in use"):
        store.promotions.roll_back("admin", "runs/c")
    assert store.promotions.roll_back("admin", None).adapter is None


def test_a_canary_runs_until_it_is_stopped_or_something_is_promoted(store: Store) -> None:
    store.promotions.promote(promotion("runs/a"))
    for share in (0.0, 0.6):
        with pytest.raises(BadInput, match="a canary is a small part"):
            store.promotions.begin_canary(promotion("runs/b", kind="canary", share=share))
    store.promotions.begin_canary(promotion("runs/b", kind="canary", share=0.1))
    running = store.promotions.canary()
    assert running is not None
    assert running.share == pytest.approx(0.1)
    with pytest.raises(BadInput, match="A canary of runs/b runs"):
        store.promotions.begin_canary(promotion("runs/c", kind="canary", share=0.1))
    stopped = store.promotions.stop_canary("admin", ("it harmed",))
    assert stopped is not None
    assert store.promotions.canary() is None
    assert store.promotions.stop_canary("admin", ()) is None
    store.promotions.begin_canary(promotion("runs/b", kind="canary", share=0.1))
    store.promotions.promote(promotion("runs/b"))
    assert store.promotions.canary() is None
    current = store.promotions.current()
    assert current is not None
    assert current.adapter == "runs/b"


def test_decisions_made_at_once_all_count_in_one_order(store: Store) -> None:
    made = [promotion(f"runs/{number}") for number in range(12)]
    with ThreadPoolExecutor(6) as people:
        list(people.map(store.promotions.promote, made))
    kept = store.promotions.history()
    assert {each.id for each in kept} == {each.id for each in made}
    assert store.promotions.current() == kept[0]


def test_votes_are_told_by_the_adapter_that_wrote_the_answer(store: Store) -> None:
    began = now() - timedelta(minutes=1)
    for number, (adapter, rating) in enumerate((("runs/a", "up"), ("runs/b", "down"), (None, "up"))):
        answer = Answer(question=Question(text=f"Question {number}"), kind="refusal", text="Ask.", adapter=adapter)
        store.save_turn(owner="ann", conversation_id=None, answer=answer)
        store.save_feedback("ann", Feedback(answer_id=answer.id, rating=rating, author="ann"))  # type: ignore[arg-type]
    assert [(adapter, harmed) for adapter, _, harmed in store.promotions.votes_by_adapter(began)] == [
        ("runs/a", False),
        ("runs/b", True),
        (None, False),
    ]
    assert store.promotions.votes_by_adapter(now() + timedelta(minutes=1)) == []


def told(store: Store, adapter: str | None, rating: Rating | None, *, model: str = "tiny") -> Answer:
    """Keep an answer in a conversation of its own, with a vote where one is given."""
    question = Question(text="What helps against rust?", conversation=new_id())
    answer = Answer(question=question, kind="advice", text="Ask.", adapter=adapter, model=model)
    assert store.save_turn(owner="ann", conversation_id=None, answer=answer) == question.conversation
    if rating:
        store.save_feedback("ann", Feedback(answer_id=answer.id, rating=rating, author="ann"))
    return answer


def test_advice_that_failed_is_harm_and_a_signed_answer_is_of_no_adapter(store: Store) -> None:
    began = now() - timedelta(minutes=1)
    told(store, "a", "up")
    failed, worked = told(store, "b", None), told(store, "b", None)
    store.save_outcome("ann", Outcome(answer_id=failed.id, result="failed", author="ann"))
    store.save_outcome("ann", Outcome(answer_id=worked.id, result="partly", author="ann"))
    told(store, "b", "down", model="signed")
    assert [(adapter, harmed) for adapter, _, harmed in store.promotions.votes_by_adapter(began)] == [
        ("a", False),
        ("b", True),
        ("b", False),
    ]


def test_a_canary_that_harms_is_stopped_once_with_the_reason_and_one_that_does_not_goes_on(store: Store) -> None:
    promotions = store.promotions
    promotions.promote(promotion("/runs/old/adapter"))
    assert canary.settle(promotions) is None
    promotions.begin_canary(promotion("/runs/new/adapter", kind="canary", share=0.1))
    for _ in range(4):
        told(store, "old", "down")
    told(store, "new", "up")
    assert canary.settle(promotions) is None
    found = canary.running(promotions)
    assert found is not None
    assert (found[1].voted, found[1].harmed, found[1].harm_shown) == (5, 4, False)
    for _ in range(6):
        told(store, "new", "down")
    with ThreadPoolExecutor(4) as programs:
        stops = [stop for stop in programs.map(lambda _: canary.settle(promotions), range(4)) if stop]
    assert len(stops) == 1
    assert stops[0].reasons[0].startswith("Harm is shown: 6 of the 10 harmed conversations are of new")
    assert promotions.canary() is None
    assert [each.kind for each in promotions.history()] == ["canary_stopped", "canary", "promoted"]


def test_votes_on_answers_before_a_canary_say_nothing_about_it_nor_do_they_stop_another(store: Store) -> None:
    promotions = store.promotions
    for _ in range(8):
        told(store, "new", "down")
    promotions.begin_canary(promotion("/runs/new/adapter", kind="canary", share=0.1))
    assert canary.settle(promotions) is None
    first = promotions.canary()
    assert first is not None
    promotions.stop_canary("admin", ())
    promotions.begin_canary(promotion("/runs/new/adapter", kind="canary", share=0.1))
    assert promotions.stop_canary("a late look", (), only=first.id) is None
    assert promotions.canary() is not None


def test_a_conversation_gets_the_id_that_its_first_question_names_unless_another_person_has_it(store: Store) -> None:
    first = told(store, None, None)
    named = first.question.conversation
    second = Answer(question=Question(text="And maize?", conversation=named), kind="advice", text="Ask.")
    assert store.save_turn(owner="ann", conversation_id=None, answer=second) == named, "kept, and the page never heard of it"
    stranger = Answer(question=Question(text="And rye?", conversation=named), kind="advice", text="Ask.")
    assert store.save_turn(owner="bob", conversation_id=None, answer=stranger) != named
    assert [turn.id for turn in store.turns("ann", named)] == [first.id, second.id]
