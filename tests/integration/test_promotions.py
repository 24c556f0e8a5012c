"""Decisions about adapters, on both databases: what is in use, going back, canaries, two at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from agri_llm.errors import BadInput
from agri_llm.judgements import Promotion
from agri_llm.records import Answer, Feedback, Question, now
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
