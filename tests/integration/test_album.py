"""Photos that people let us keep: only with their yes, only for them, once each, and gone when they say so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import inspect, text

from agri_llm import migrations
from agri_llm.album import ACCEPTED, Album
from agri_llm.database import checked_address, make_engine
from agri_llm.errors import BadInput, NotYours
from agri_llm.records import OTHER, Answer, Diagnosis, Photo, Question, new_id
from agri_llm.store import Store

AMINA, BORIS = "visitor:amina", "visitor:boris"
TABLES = ("photo_consents", "photos", "question_photos", "photo_labels")
SEEN = Diagnosis(label="tomato__early_blight", confidence=0.75, certain=False, scope="unknown_plant")
TRUE = "tomato__late_blight"


def photo(marker: str) -> Photo:
    data = b"\xff\xd8" + marker.encode() * 5000  # longer than a page of the database
    return Photo(data=data, sha256=hashlib.sha256(data).hexdigest(), width=40, height=30)


def asked(*markers: str, owner: str = AMINA, store: Store, into: str | None = None) -> tuple[str, Answer]:
    """Store a question with photos; return its conversation and its answer."""
    question = Question(text="What is it?", photos=tuple(map(photo, markers)))
    answer = Answer(question=question, kind="advice", text="Look.", diagnosis=SEEN)
    return store.save_turn(owner=owner, conversation_id=into, answer=answer), answer


def counts(url: str) -> dict[str, int]:
    """How many rows each table has, but those without any."""
    engine = make_engine(checked_address(url))
    with engine.connect() as connection:
        found = {table: int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()) for table in TABLES}
    engine.dispose()
    return {table: rows for table, rows in found.items() if rows}


def test_nothing_of_a_photo_is_stored_until_its_owner_says_yes(store: Store, database_url: str) -> None:
    conversation, _ = asked("leaf", store=store)
    assert not store.album.is_allowed(AMINA)
    assert counts(database_url) == {}
    store.album.allow(AMINA)
    store.album.allow(AMINA)
    _, kept = asked("leaf", "stem", store=store, into=conversation)
    asked("root", store=store, owner=BORIS)
    assert counts(database_url) == {"photo_consents": 1, "photos": 2, "question_photos": 2}
    before, after = store.turns(AMINA, conversation)
    assert before.question.photos == ()
    assert after == kept
    assert store.answer(AMINA, kept.id) == kept


def test_a_photo_is_kept_with_its_place_and_the_diagnosis_that_was_shown(store: Store, database_url: str) -> None:
    _, answer = asked("b", "a", "b", store=store)
    store.album.keep(AMINA, answer)
    store.album.keep(AMINA, answer)
    engine = make_engine(checked_address(database_url))
    with engine.connect() as connection:
        query = text("SELECT photo_sha256, label, confidence, certain, scope FROM question_photos ORDER BY position")
        rows = [tuple(row) for row in connection.execute(query)]
    engine.dispose()
    shown = ("tomato__early_blight", 0.75, False, "unknown_plant")
    assert rows == [(photo(marker).sha256, *shown) for marker in ("b", "a", "b")]
    assert counts(database_url)["photos"] == 2


def test_a_photo_is_stored_under_the_hash_of_what_it_holds(store: Store, database_url: str) -> None:
    _, mine = asked("secret", store=store)
    store.album.keep(AMINA, mine)
    forged = replace(photo("forged"), sha256=photo("secret").sha256)
    answer = Answer(question=Question(text="?", photos=(forged,)), kind="advice", text="Look.")
    conversation = store.save_turn(owner=BORIS, conversation_id=None, answer=answer)
    store.album.keep(BORIS, answer)
    (found,) = store.turns(BORIS, conversation)
    assert found.question.photos == (photo("forged"),)


def test_with_its_conversation_go_a_photo_and_its_label_but_not_a_photo_that_another_one_has(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    conversation, answer = asked("only-here", "shared", store=store)
    other, again = asked("shared", store=store)
    store.album.correct(AMINA, answer, TRUE)
    store.album.keep(AMINA, again)
    assert counts(database_url) == {"photos": 2, "question_photos": 3, "photo_labels": 2}
    store.delete_conversation(AMINA, conversation)
    assert counts(database_url) == {"photos": 1, "question_photos": 1}
    assert store.turns(AMINA, other)[0].question.photos == (photo("shared"),)
    if database_url.startswith("sqlite"):
        files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"shared" in files
        assert b"only-here" not in files
        assert TRUE.encode() not in files
    store.delete_conversation(AMINA, other)
    assert counts(database_url) == {}


def test_two_people_with_the_same_photo_do_not_depend_on_each_other(store: Store, database_url: str) -> None:
    _, hers = asked("same", store=store)
    his_conversation, his = asked("same", store=store, owner=BORIS)
    store.album.correct(AMINA, hers, TRUE)
    store.album.keep(BORIS, his)
    assert counts(database_url)["photos"] == 1
    assert store.forget(AMINA) == 1
    assert counts(database_url) == {"photos": 1, "question_photos": 1}
    assert store.turns(BORIS, his_conversation)[0].question.photos == (photo("same"),)


def test_whoever_takes_their_consent_back_has_no_photo_and_no_correction_left(store: Store, database_url: str) -> None:
    store.album.allow(AMINA)
    conversation, answer = asked("leaf", store=store)
    store.album.correct(AMINA, answer, TRUE)
    store.album.withdraw(AMINA)
    assert counts(database_url) == {}
    assert not store.album.is_allowed(AMINA)
    asked("stem", store=store, into=conversation)
    assert counts(database_url) == {}
    assert len(store.turns(AMINA, conversation)) == 2


def test_the_photos_of_one_question_can_be_taken_out(store: Store, database_url: str) -> None:
    conversation, first = asked("leaf", store=store)
    _, second = asked("stem", store=store, into=conversation)
    for answer in (first, second):
        store.album.correct(AMINA, answer, TRUE)
    store.album.drop(AMINA, first.question.id)
    assert counts(database_url) == {"photos": 1, "question_photos": 1, "photo_labels": 1}
    assert store.album.correction_of(AMINA, first.question.id) is None


# Corrections


def test_a_correction_is_read_back_and_the_same_twice_is_one(store: Store, database_url: str) -> None:
    _, answer = asked("leaf", store=store)
    assert store.album.correction_of(AMINA, answer.question.id) is None
    store.album.correct(AMINA, answer, TRUE, "grey mould below")
    store.album.correct(AMINA, answer, TRUE, "grey mould below")
    assert counts(database_url) == {"photos": 1, "question_photos": 1, "photo_labels": 1}
    found = store.album.correction_of(AMINA, answer.question.id)
    assert found is not None
    assert (found.sha256, found.label, found.comment, found.author) == (photo("leaf").sha256, TRUE, "grey mould below", AMINA)
    assert (found.seen, found.status, found.reviewer) == ("tomato__early_blight", "new", None)


def test_what_was_accepted_stays_so_until_its_author_says_something_else(store: Store) -> None:
    _, answer = asked("leaf", store=store)
    store.album.correct(AMINA, answer, TRUE)
    (new,) = store.album.labels(("new",))
    store.album.review(new.id, "approved", "agronomist")
    store.album.correct(AMINA, answer, TRUE)
    (accepted,) = store.album.labels(ACCEPTED)
    assert (accepted.id, accepted.status, accepted.reviewer) == (new.id, "approved", "agronomist")
    store.album.correct(AMINA, answer, f"tomato__{OTHER}", "frost")
    (changed,) = store.album.labels(("new",))
    assert (changed.id, changed.label, changed.reviewer) == (new.id, f"tomato__{OTHER}", None)
    store.album.review(new.id, "edited", "agronomist", "tomato__healthy")
    (edited,) = store.album.labels(ACCEPTED)
    assert (edited.label, edited.comment, edited.status) == ("tomato__healthy", "frost", "edited")
    assert store.album.photo(edited.sha256) == photo("leaf")


def test_a_correction_or_review_that_cannot_be_used_is_one_sentence(store: Store, database_url: str) -> None:
    _, answer = asked("leaf", store=store)
    without = replace(answer, question=replace(answer.question, photos=()))
    attempts: list[Callable[[], object]] = [
        lambda: store.album.correct(AMINA, without, TRUE),
        lambda: store.album.correct(AMINA, answer, " "),
        lambda: store.album.correct(AMINA, answer, OTHER, " "),
        lambda: store.album.correct(AMINA, answer, TRUE, "x" * 201),
        lambda: store.album.review("nothing", "approved", "agronomist"),
        lambda: store.album.photo("0" * 64),
    ]
    for attempt in attempts:
        with pytest.raises(BadInput) as refused:
            attempt()
        assert str(refused.value).endswith(".")
    assert counts(database_url) == {}


# Owners: each method of the album, as somebody else

FOR_THE_COMMAND = {"labels", "photo", "review"}
ATTEMPTS: dict[str, Callable[[Album, str, Answer], Any]] = {
    "allow": lambda album, owner, answer: album.allow(owner),
    "is_allowed": lambda album, owner, answer: album.is_allowed(owner),
    "withdraw": lambda album, owner, answer: album.withdraw(owner),
    "keep": lambda album, owner, answer: album.keep(owner, answer),
    "drop": lambda album, owner, answer: album.drop(owner, answer.question.id),
    "correct": lambda album, owner, answer: album.correct(owner, answer, "tomato__healthy"),
    "correction_of": lambda album, owner, answer: album.correction_of(owner, answer.question.id),
}


def test_every_method_of_the_album_is_tried_as_somebody_else() -> None:
    public = {name for name, member in vars(Album).items() if callable(member) and not name.startswith("_")}
    assert public == set(ATTEMPTS) | FOR_THE_COMMAND


@pytest.mark.parametrize("method", sorted(ATTEMPTS))
def test_a_stranger_sees_and_changes_no_photo(store: Store, method: str) -> None:
    conversation, answer = asked("leaf", store=store)
    store.album.correct(AMINA, answer, TRUE)
    for stranger in (BORIS, "", "%", "visitor:amin_", new_id()):
        try:
            outcome = ATTEMPTS[method](store.album, stranger, answer)
        except (NotYours, BadInput):  # BadInput: a consent without an owner
            outcome = None
        assert not outcome
        assert store.turns(AMINA, conversation) == [answer]
        said = store.album.correction_of(AMINA, answer.question.id)
        assert said is not None
        assert said.label == TRUE
        assert not store.album.is_allowed(AMINA)


# Many at once, and the tables


def test_a_photo_that_one_deletes_while_another_asks_about_it_is_there_for_the_other(store: Store, database_url: str) -> None:
    store.album.allow(BORIS)

    def come_and_go(_: int) -> None:
        conversation, answer = asked("same", store=store)
        store.album.keep(AMINA, answer)
        store.delete_conversation(AMINA, conversation)

    def ask(_: int) -> str:
        return asked("same", "own", store=store, owner=BORIS)[0]

    with ThreadPoolExecutor(6) as threads:
        gone = [threads.submit(come_and_go, at) for at in range(30)]
        kept = [threads.submit(ask, at) for at in range(10)]
        for each in gone:
            each.result()
        conversations = [each.result() for each in kept]
    for conversation in conversations:
        assert store.turns(BORIS, conversation)[0].question.photos == (photo("same"), photo("own"))
    for conversation in conversations:
        store.delete_conversation(BORIS, conversation)
    assert counts(database_url) == {"photo_consents": 1}


def test_the_tables_of_photos_go_and_come_without_the_rest(store: Store, database_url: str) -> None:
    conversation, answer = asked("leaf", store=store)
    store.album.correct(AMINA, answer, TRUE)
    engine = make_engine(checked_address(database_url))
    with engine.begin() as connection:
        command.downgrade(migrations.config(connection), "0001")
        assert not set(TABLES) & set(inspect(connection).get_table_names())
    engine.dispose()
    assert store.schema_state() == "behind"
    assert store.migrate()[0] == "0002"
    assert counts(database_url) == {}
    assert store.turns(AMINA, conversation)[0].question.photos == ()
