"""Consent to training and what became of advice, on real databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from test_store import AMINA, BORIS, inside, rows, saved, turn

from agri_llm.errors import BadInput, NotYours
from agri_llm.judgements import Outcome
from agri_llm.records import Answer
from agri_llm.store import Store


def outcome(answer: Answer, author: str = AMINA) -> Outcome:
    return Outcome(answer_id=answer.id, result="worked", author=author)


def aged(url: str, answer: Answer, days: float) -> None:
    """Let an answer have been given so many days ago."""
    moment = datetime.now(UTC) - timedelta(days=days)
    with inside(url) as connection:
        values = {"id": answer.id, "moment": moment if connection.dialect.name == "postgresql" else moment.isoformat(" ")[:26]}
        connection.execute(text("UPDATE answers SET created_at = :moment WHERE id = :id"), values)


def test_nobody_is_learned_from_before_they_said_yes(store: Store) -> None:
    assert (store.consents.asked(AMINA), store.consents.is_allowed(AMINA)) == (False, False)
    store.consents.decline(AMINA)
    assert (store.consents.asked(AMINA), store.consents.is_allowed(AMINA)) == (True, False)
    store.consents.allow(AMINA)
    assert (store.consents.asked(AMINA), store.consents.is_allowed(AMINA)) == (True, True)
    store.consents.withdraw(AMINA)
    assert (store.consents.asked(AMINA), store.consents.is_allowed(AMINA)) == (True, False)
    assert not store.consents.asked(BORIS)


def test_a_yes_said_twice_at_once_is_kept_once(store: Store, database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(store.consents.allow, [AMINA] * 8))
    assert rows(database_url, "training_consents") == 1


def test_a_consent_without_an_owner_is_refused(store: Store) -> None:
    with pytest.raises(BadInput, match="owner"):
        store.consents.allow("")


def test_who_is_forgotten_is_asked_again(store: Store, database_url: str) -> None:
    answer = turn()
    saved(store, answer)
    store.consents.allow(AMINA)
    store.consents.allow(BORIS)
    store.save_outcome(AMINA, outcome(answer))
    store.forget(AMINA)
    assert not store.consents.asked(AMINA)
    assert store.consents.is_allowed(BORIS)
    assert rows(database_url, "outcomes") == 0
    store.consents.forget(BORIS)
    assert not store.consents.asked(BORIS)


def test_an_outcome_is_read_back_and_a_second_replaces_it(store: Store, database_url: str) -> None:
    answer = turn()
    saved(store, answer)
    assert store.outcome_of(AMINA, answer.id) is None
    first = outcome(answer)
    store.save_outcome(AMINA, first)
    assert store.outcome_of(AMINA, answer.id) == first
    store.save_outcome(AMINA, replace(outcome(answer), result="failed", comment="Rain."))
    assert store.outcome_of(AMINA, answer.id) == replace(first, result="failed", comment="Rain.")
    assert rows(database_url, "outcomes") == 1


def test_an_outcome_of_the_wrong_kind_length_or_person_is_refused(store: Store) -> None:
    answer = turn()
    saved(store, answer)
    with pytest.raises(BadInput, match="refused"):
        store.save_outcome(AMINA, replace(outcome(answer), result="perhaps"))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="100000 characters"):
        store.save_outcome(AMINA, replace(outcome(answer), comment="x" * 100_000))
    with pytest.raises(NotYours, match="outcome"):
        store.save_outcome(BORIS, outcome(answer))
    with pytest.raises(NotYours, match="answer"):
        store.save_outcome(BORIS, outcome(answer, BORIS))
    with pytest.raises(NotYours, match="answer"):
        store.skip_outcome(BORIS, answer.id)


def test_people_are_asked_about_the_newest_old_advice_and_once(store: Store, database_url: str) -> None:
    moment = datetime.now(UTC)
    new, old, older = turn("new?"), turn("old?"), turn("older?")
    question_back, part = turn(kind="clarification"), turn(complete=False)
    for answer, days in ((new, 1.0), (old, 6.0), (older, 9.0), (question_back, 7.0), (part, 7.0)):
        saved(store, answer)
        aged(database_url, answer, days)
    assert store.awaiting_outcome(AMINA, moment) == old
    assert store.awaiting_outcome(AMINA, moment, after_days=0.5) == new
    assert store.awaiting_outcome(BORIS, moment) is None
    store.skip_outcome(AMINA, old.id)
    store.skip_outcome(AMINA, old.id)
    assert store.awaiting_outcome(AMINA, moment) == older
    store.save_outcome(AMINA, outcome(older))
    assert store.awaiting_outcome(AMINA, moment) is None
