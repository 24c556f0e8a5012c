"""The queue of experts: what teaches most first, one item for one person, blind to the model, every fifth for two."""

from __future__ import annotations

from datetime import timedelta

import pytest
from reviewing import AMINA, answer, expert, given, review

from agri_llm.errors import BadInput, NotAllowed
from agri_llm.judgements import Comparison
from agri_llm.queue import HELD
from agri_llm.ranking import Candidate, ranked
from agri_llm.records import Answer, Feedback, Question, new_id, now
from agri_llm.reviews import wants_two
from agri_llm.store import Store


def for_so_many(store: Store, people: int, **details: str) -> Answer:
    """An answer that wants one or two reviewers, which its id decides."""
    its_id = new_id()
    while wants_two(its_id) != (people == 2):
        its_id = new_id()
    return given(store, id=its_id, **details)


def voted_down(store: Store, shown: Answer, *reasons: str, correction: str = "") -> None:
    store.save_feedback(
        AMINA, Feedback(answer_id=shown.id, rating="down", author=AMINA, reasons=reasons, correction=correction)
    )


def drained(store: Store, by: str) -> list[str]:
    """Take and review everything; return the strongest reason of each."""
    found = []
    while (item := store.queue.take(by, now())) is not None:
        found.append(item.why[0])
        store.reviews.submit(review(item.answer.id, by))
    return found


def test_what_teaches_most_comes_first(store: Store) -> None:
    for _ in range(3):
        for_so_many(store, 1, asked="When do I prune?")
    drained(store, expert(store))
    one, two, three = expert(store), expert(store), expert(store)
    for_so_many(store, 1, asked="When do I prune?")
    for_so_many(store, 1, asked="When do I weed?", crop="teff")
    for_so_many(store, 1, asked="Is it wilt?", kind="refusal")
    for_so_many(store, 1, asked="Which pesticide do I spray?")
    disputed = for_so_many(store, 2, asked="Why do they wilt?")
    store.reviews.submit(review(disputed.id, one, 1))
    store.reviews.submit(review(disputed.id, two, 5))
    voted_down(store, for_so_many(store, 1, asked="What now?"), "too_long")
    voted_down(store, for_so_many(store, 1, asked="And now?"), "unsafe")
    assert drained(store, three) == ["unsafe", "down", "disagreement", "safety", "uncertain", "topic", "new"]


def test_reasons_alone_decide_the_order_and_then_age() -> None:
    old, new, bad = (
        Candidate(item=item, answer_id=item, question="When?", text="x", kind="advice", crop="maize", down=down)
        for item, down in (("1", False), ("2", False), ("0", True))
    )
    assert [each.item for each, _ in ranked([old, bad, new], {"maize": 9})] == ["0", "2", "1"]


def test_nothing_tells_the_model_or_the_farmer(store: Store) -> None:
    by, shown = expert(store), given(store, timings_ms={"write": 1.0}, messages=({"role": "user", "content": "secret-prompt"},))
    voted_down(store, shown, "unsafe", correction="Use traps.")
    item = store.queue.take(by, now())
    assert item is not None
    assert "secret" not in repr(item)
    assert "run-7" not in repr(item)
    assert "amina" not in repr(item)
    assert item.answer.citations == shown.citations
    [said] = item.said
    assert (said.reasons, said.correction) == (("unsafe",), "Use traps.")


def test_experts_see_no_names_numbers_or_villages_of_a_farmer(store: Store) -> None:
    before = Question(text="My name is Amina Wanjiru. My bananas wilt.", place="Kiptere village, Kericho, Kenya")
    asked = Question(text="Call me at 0722 123 456: how do I stop weevils?", place=before.place, crop="banana", follows=before)
    by, shown = expert(store), given(store, question=asked)
    voted_down(store, shown, "wrong", correction="Ask my neighbour, amina@example.org.")
    item = store.queue.take(by, now())
    assert item is not None
    said = repr((item.answer.question, item.said))
    for private in ("Wanjiru", "0722", "amina@", "Kiptere"):
        assert private not in said
    assert item.answer.question.place == "Kericho, Kenya"
    assert "how do I stop weevils?" in item.answer.question.text
    kept = store.answer(AMINA, shown.id)
    assert kept is not None
    assert "0722" in kept.question.text, "what the farmer sees stays as it was written"


def test_an_item_is_held_for_one_person_for_half_an_hour(store: Store) -> None:
    one, two, moment = expert(store), expert(store), now()
    shown = for_so_many(store, 1)
    first = store.queue.take(one, moment)
    assert first is not None
    assert first.answer.id == shown.id
    assert store.queue.take(one, moment) == first  # a page that loads again
    assert store.queue.take(two, moment + HELD - timedelta(seconds=1)) is None
    later = store.queue.take(two, moment + HELD)
    assert later is not None
    assert later.answer.id == shown.id


def test_every_fifth_goes_to_two_different_people(store: Store) -> None:
    one, two, three = expert(store), expert(store), expert(store)
    for_so_many(store, 2)
    taken = [store.queue.take(by, now()) for by in (one, two, three)]
    assert [item is not None for item in taken] == [True, True, False]
    for by, item in zip((one, two), taken, strict=False):
        assert item is not None
        store.reviews.submit(review(item.answer.id, by))
    assert store.queue.take(one, now()) is None
    assert store.queue.take(three, now()) is None


def test_what_was_skipped_goes_to_others(store: Store) -> None:
    one, two = expert(store), expert(store)
    for_so_many(store, 1)
    item = store.queue.take(one, now())
    assert item is not None
    store.queue.skip(one, item)
    store.queue.skip(one, item)
    assert store.queue.take(one, now()) is None
    assert store.queue.take(two, now()) is not None


def test_ones_own_and_signed_and_unfinished_answers_are_not_offered(store: Store) -> None:
    by = expert(store)
    given(store, owner=by)
    given(store, signed_by="Asha", signed_until=now())
    given(store, complete=False)
    assert store.queue.take(by, now()) is None
    assert store.queue.waiting(by).total == 0


def test_two_answers_are_compared_in_an_order_of_chance(store: Store) -> None:
    people = [expert(store) for _ in range(12)]
    shown = given(store)
    other = answer(question=shown.question, text="Burn nothing.[1]")
    store.reviews.add_alternative(other)
    firsts = set()
    for by in people:
        while (item := store.queue.take(by, now())) is not None and item.kind == "review":
            store.queue.skip(by, item)
        if item is None:
            continue
        assert item.second is not None
        firsts.add(item.answer.id)
        assert "secret" not in repr(item)
        assert store.queue.take(by, now()) == item
        store.queue.skip(by, item)
    assert firsts == {shown.id, other.id}


def test_a_pair_that_was_compared_is_done(store: Store) -> None:
    one, two, three = expert(store), expert(store), expert(store)
    shown = given(store)
    other = answer(question=shown.question, text="Burn nothing.[1]")
    store.reviews.add_alternative(other)
    for by in (one, two):
        said = Comparison(question_id=shown.question.id, first=shown.id, second=other.id, preferred="first", reviewer=by)
        store.reviews.compare(said)
    while (item := store.queue.take(three, now())) is not None:
        assert item.kind == "review"
        store.queue.skip(three, item)


def test_what_waits_is_counted_by_its_strongest_reason(store: Store) -> None:
    by = expert(store)
    given(store, asked="When do I prune?")
    voted_down(store, given(store), "unsafe")
    found = store.queue.waiting(by)
    assert (found.total, found.by_reason) == (2, {"topic": 1, "unsafe": 1})


def test_an_item_that_is_deleted_while_it_is_held_makes_room(store: Store) -> None:
    by = expert(store)
    given(store)
    item = store.queue.take(by, now())
    assert item is not None
    store.forget(AMINA)
    store.queue.skip(by, item)
    assert store.queue.take(by, now()) is None


def test_who_has_no_account_gets_nothing(store: Store) -> None:
    item = None
    given(store)
    for attempt in (lambda: store.queue.take(AMINA, now()), lambda: store.queue.waiting(AMINA)):
        with pytest.raises(NotAllowed):
            item = attempt()
    assert item is None


# What was typed


def test_what_was_typed_outlives_the_time_for_which_an_item_is_held(store: Store) -> None:
    mine = expert(store)
    shown = for_so_many(store, 1)
    item = store.queue.take(mine, now())
    assert item is not None
    store.queue.keep_draft(mine, item, {"correction": "half a sen"})
    later = store.queue.take(mine, now() + 3 * HELD)
    assert later is not None
    assert (later.answer.id, later.draft) == (shown.id, {"correction": "half a sen"})


def test_a_draft_keeps_nobody_else_away_once_its_time_is_over_and_is_there_when_they_let_go(store: Store) -> None:
    mine, other = expert(store), expert(store)
    for_so_many(store, 1)
    item = store.queue.take(mine, now())
    assert item is not None
    store.queue.keep_draft(mine, item, {"comment": "mine"})
    theirs = store.queue.take(other, now() + 2 * HELD)
    assert theirs is not None
    assert theirs.draft == {}
    assert store.queue.take(mine, now() + 2 * HELD) is None
    store.queue.skip(other, theirs)
    again = store.queue.take(mine, now() + 2 * HELD)
    assert again is not None
    assert again.draft == {"comment": "mine"}


def test_a_draft_goes_with_the_review_and_with_the_answer(store: Store) -> None:
    mine = expert(store)
    shown = for_so_many(store, 1)
    item = store.queue.take(mine, now())
    assert item is not None
    store.queue.keep_draft(mine, item, {"comment": "typed"})
    store.reviews.submit(review(shown.id, mine))
    store.queue.keep_draft(mine, item, {"comment": "too late"})
    assert store.queue.take(mine, now()) is None
    with pytest.raises(BadInput, match="40,000 are the most"):
        store.queue.keep_draft(mine, item, {"comment": "x" * 50_000})


def test_own_corrections_that_do_not_pass_come_back_and_those_of_others_do_not(store: Store) -> None:
    mine, other = expert(store), expert(store)
    wrong, right = given(store), given(store)
    store.reviews.submit(review(wrong.id, mine, correction="Burn them."))
    store.reviews.submit(review(right.id, mine, correction="Trap them.[1]"))
    store.reviews.submit(review(wrong.id, other, correction="Burn them all."))
    ((item, said),) = store.queue.given_back(mine, lambda answer, text: "Burn" not in text)
    assert (item.answer.id, item.answer.model, item.why, said.correction) == (wrong.id, "", ("returned",), "Burn them.")


def test_what_was_done_today_counts_reviews_and_comparisons_of_one_person(store: Store) -> None:
    mine, other, begun = expert(store), expert(store), now()
    shown = given(store)
    store.reviews.submit(review(shown.id, mine))
    store.reviews.submit(review(shown.id, other))
    second = answer(question=shown.question, text="Use split stems as traps.[1]")
    assert store.reviews.add_alternative(second)
    said = Comparison(question_id=shown.question.id, first=shown.id, second=second.id, preferred="first", reviewer=mine)
    store.reviews.compare(said)
    assert (store.reviews.done_since(mine, begun), store.reviews.done_since(other, begun)) == (2, 1)
    assert store.reviews.done_since(mine, now()) == 0
    assert [each.id for each in store.reviews.compared(other)] == [said.id]
