"""Fifty people at once on PostgreSQL, ten on SQLite: nothing is lost, nothing doubled; and the queue with many answers."""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from reviewing import AMINA, answer, expert, given, review

from agri_llm.judgements import Review
from agri_llm.queue import Item
from agri_llm.records import new_id, now
from agri_llm.reviews import wants_two
from agri_llm.store import Store
from agri_llm.tables import AnswerRow, QuestionRow, answer_row, conversation_row, question_row

EACH = 4  # items that one person reviews


def people_of(url: str) -> int:
    return 10 if url.startswith("sqlite") else 50


def test_many_people_review_at_once(store: Store, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    people = [expert(store) for _ in range(people_of(database_url))]
    answers = [given(store, asked=f"When do I prune {at}?").id for at in range(len(people) * EACH)]
    waits: list[float] = []

    def work(by: str) -> list[Review]:
        done = []
        for _ in range(EACH):
            began = time.perf_counter()
            item = store.queue.take(by, now())
            if item is None:
                break
            said = review(item.answer.id, by)
            for _ in range(2):  # the second is a retry after a lost connection
                store.reviews.submit(said)
            waits.append(time.perf_counter() - began)
            done.append(said)
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(len(people)) as threads:
        sent = [said for done in threads.map(work, people) for said in done]
    seconds = time.perf_counter() - began
    kept = store.reviews.said(people[0])
    assert sorted(kept, key=lambda each: each.id) == sorted(sent, key=lambda each: each.id)
    times = Counter(each.answer_id for each in kept)
    assert all(count <= 1 + wants_two(answer_id) for answer_id, count in times.items())
    assert set(times) <= set(answers)
    assert len(sent) == len(people) * EACH
    with capsys.disabled():
        slow = sorted(waits)[int(0.95 * len(waits))]
        print(f"\n{len(people)} people: {len(sent)} reviews, {seconds:.1f} s; take and two submits: 95 % in {slow:.2f} s")  # noqa: T201


def test_the_same_review_sent_at_once_is_one(store: Store, database_url: str) -> None:
    by, shown = expert(store), given(store)
    said = review(shown.id, by)
    with ThreadPoolExecutor(people_of(database_url)) as threads:
        list(threads.map(lambda _: store.reviews.submit(said), range(people_of(database_url))))
    assert store.reviews.of_answer(by, shown.id) == [said]


def test_one_item_is_taken_by_one_person(store: Store, database_url: str) -> None:
    people = [expert(store) for _ in range(people_of(database_url))]
    its_id = new_id()
    while wants_two(its_id):
        its_id = new_id()
    given(store, id=its_id)
    with ThreadPoolExecutor(len(people)) as threads:
        taken: list[Item | None] = list(threads.map(lambda by: store.queue.take(by, now()), people))
    assert sum(item is not None for item in taken) == 1


def test_the_queue_stays_fast_with_many_answers(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    many = int(os.environ.get("AGRI_MANY_ANSWERS", "2000"))
    by, moment = expert(store), now()
    with store._writing() as session:
        session.add(conversation_row("c", AMINA, answer().question, moment))
        session.flush()
        for start in range(0, many, 1000):
            made = [answer(f"When do I prune {start + at}?") for at in range(min(1000, many - start))]
            asked = [question_row(AMINA, "c", each.question, moment) for each in made]
            rows = [answer_row(AMINA, each, moment) for each in made]
            for table, batch in ((QuestionRow, asked), (AnswerRow, rows)):
                columns = table.__table__.columns.keys()
                session.execute(table.__table__.insert(), [{name: getattr(row, name) for name in columns} for row in batch])  # type: ignore[attr-defined]
    waits = []
    for _ in range(5):
        began = time.perf_counter()
        item = store.queue.take(by, now())
        waits.append(time.perf_counter() - began)
        assert item is not None
        store.reviews.submit(review(item.answer.id, by))
    with capsys.disabled():
        print(f"\n{many:,} answers: an item within {max(waits):.3f} s")  # noqa: T201
    assert max(waits) < 5  # seconds; not a measurement, only against a scan that grows with the square
