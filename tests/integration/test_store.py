"""The store on real databases: nothing is lost, nothing is shown to the wrong person, every release can be upgraded."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, exc, insert, text
from sqlalchemy import inspect as inspect_database

from agri_llm import migrations
from agri_llm.database import checked_address, copying_tables, make_engine
from agri_llm.errors import AgriError, BadInput, NotYours, SettingsInvalid, StoreUnavailable
from agri_llm.judgements import Outcome
from agri_llm.records import (
    Answer,
    Citation,
    Diagnosis,
    Feedback,
    FeedbackStatus,
    Kind,
    Passage,
    Photo,
    Question,
    Rating,
    new_id,
)
from agri_llm.store import Store
from agri_llm.tables import Base, ConversationRow

if TYPE_CHECKING:
    from conftest import PostgresServer

REVISIONS = sorted(file.name[:4] for file in Path(migrations.__file__).parent.glob("versions/0*.py"))
AMINA, BORIS = "visitor:amina", "visitor:boris"


def passage(**details: Any) -> Passage:
    details.setdefault("id", "fao-12-3")
    return Passage(document_id="fao-12", title="Bananas", text="Remove the first hand. Burn nothing.", **details)


def turn(asked: str = "How do I stop weevils?", said: str = "Trap them.[1]", **details: Any) -> Answer:
    shown = passage()
    details.setdefault("citations", (Citation(number=1, passage=shown, quote="Burn nothing."),))
    details.setdefault("passages", (shown, passage(id="fao-12-4")))
    details.setdefault("kind", "advice")
    return Answer(question=Question(text=asked, crop="banana"), text=said, **details)


def vote(answer: Answer, author: str = AMINA, rating: Rating = "up", **details: Any) -> Feedback:
    return Feedback(answer_id=answer.id, rating=rating, author=author, **details)


def saved(store: Store, answer: Answer, owner: str = AMINA, conversation_id: str | None = None) -> str:
    return store.save_turn(owner=owner, conversation_id=conversation_id, answer=answer)


@contextmanager
def inside(url: str, copying: bool = False) -> Iterator[Connection]:
    """A transaction beside the store, to look at the tables or to prepare them."""
    engine = make_engine(checked_address(url))
    with engine.connect() as connection:
        if copying:
            with copying_tables(connection), connection.begin():
                yield connection
        else:
            with connection.begin():
                yield connection
    engine.dispose()


def rows(url: str, table: str) -> int:
    with inside(url) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


# What is stored is what is read


def test_a_turn_is_read_back_exactly_as_it_was_saved(store: Store) -> None:
    shown = passage(
        heading="Pests > Weevil",
        page=4,
        page_label="iv",
        url="https://example.org/12",
        licence="CC-BY-4.0",
        region=("UG", "KE"),
        crop=("banana",),
        topic=("pest",),
        language="sw",
        published="2021",
        sources=("a", "b"),
    )
    question = Question(text="香蕉叶子发黄?\n½ 10² 🌱", place="Mbale", crop="banana", stage="flowering", language="zh")
    answer = Answer(
        question=question,
        kind="advice",
        text="Remove it.[1]",
        citations=(Citation(number=1, passage=shown, quote="Remove the first hand."),),
        diagnosis=Diagnosis(label="weevil", confidence=0.1 + 0.2, certain=False, alternatives=(("wilt", 0.25), ("rust", 0.05))),
        missing=("place", "stage"),
        passages=(passage(id="other"), shown),
        messages=({"role": "system", "content": "Be brief."}, {"role": "user", "content": 'a "quoted" \\ 中文'}),
        model="composer",
        adapter="run-7",
        index_hash="i" * 64,
        prompt_hash="p" * 64,
        timings_ms={"search": 12.345678901234, "write": 1e-9},
        complete=False,
    )
    conversation = saved(store, answer)
    assert store.turns(AMINA, conversation) == [answer]
    assert store.answer(AMINA, answer.id) == answer


def test_an_answer_with_nothing_but_a_text_is_read_back(store: Store) -> None:
    answer = Answer(question=Question(text="?"), kind="refusal", text="Ask the office.")
    saved(store, answer)
    assert store.answer(AMINA, answer.id) == answer


def test_without_consent_photos_are_not_stored_and_heat_maps_and_the_question_before_never(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    seen = Diagnosis(label="rust", confidence=0.9, certain=True, heatmap=b"HEATMAP-MARKER")
    photo = Photo(data=b"PHOTO-MARKER", sha256="0", width=40, height=40)
    question = Question(text="What is it?", photos=(photo,), follows=Question(text="FOLLOWS-MARKER"))
    answer = replace(turn(), question=question, diagnosis=seen)
    saved(store, answer)
    found = store.answer(AMINA, answer.id)
    assert found is not None
    assert (found.question.photos, found.question.follows) == ((), None)
    assert found.diagnosis == replace(seen, heatmap=None)
    if database_url.startswith("sqlite"):
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"What is it?" in stored
        assert b"MARKER" not in stored


def test_a_cited_passage_is_kept_even_when_it_is_not_among_those_shown(store: Store) -> None:
    answer = turn(
        citations=(Citation(number=2, passage=passage(id="elsewhere"), quote="Burn nothing."),), passages=(passage(),)
    )
    saved(store, answer)
    assert store.answer(AMINA, answer.id) == answer


def test_a_passage_stored_by_another_release_is_shown_with_what_it_has(store: Store, database_url: str) -> None:
    answer = turn()
    saved(store, answer)
    stored = [{"id": "fao-12-3", "document_id": "fao-12", "title": "Bananas", "text": "Burn nothing.", "colour": "red"}]
    with inside(database_url) as connection:
        connection.execute(text("UPDATE answers SET passages = :passages"), {"passages": json.dumps(stored)})
    found = store.answer(AMINA, answer.id)
    assert found is not None
    assert found.citations[0].passage.heading == ""


def test_characters_that_no_database_holds_do_not_cost_the_turn(store: Store) -> None:
    answer = turn(asked="yellow\0leaves \ud83d", messages=({"role": "user", "content": "yellow\0leaves \ud83d"},))
    saved(store, answer)
    found = store.answer(AMINA, answer.id)
    assert found is not None
    assert found.question.text == "yellow\ufffdleaves \ufffd"
    assert found.messages == answer.messages
    assert store.conversations(AMINA, "yellow\0leaves") != []


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_database_knows_every_kind_of_answer(store: Store, kind: Kind) -> None:
    answer = turn(kind=kind)
    saved(store, answer)
    assert store.answer(AMINA, answer.id) == answer


def test_a_kind_rating_or_status_unknown_to_the_records_is_refused(store: Store, database_url: str) -> None:
    answer = turn()
    with pytest.raises(BadInput, match="refused"):
        saved(store, replace(answer, kind="guess"))  # type: ignore[arg-type]
    saved(store, answer)
    with pytest.raises(BadInput, match="refused"):
        store.save_feedback(AMINA, vote(answer, rating="meh"))  # type: ignore[arg-type]
    store.save_feedback(AMINA, vote(answer))
    for status in get_args(FeedbackStatus):
        with inside(database_url) as connection:
            connection.execute(text("UPDATE feedback SET status = :status"), {"status": status})
    with pytest.raises(exc.IntegrityError), inside(database_url) as connection:
        connection.execute(text("UPDATE feedback SET status = 'blessed'"))


def test_times_come_back_aware_and_in_utc(store: Store, database_url: str) -> None:
    before = datetime.now(UTC)
    saved(store, turn())
    [summary] = store.conversations(AMINA)
    assert before <= summary.created_at <= summary.updated_at <= datetime.now(UTC)
    assert summary.created_at.utcoffset() == timedelta(0)
    in_delhi = datetime(2026, 5, 1, 5, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    values = {"id": new_id(), "owner": BORIS, "title": "t", "created_at": in_delhi, "updated_at": in_delhi}
    with inside(database_url) as connection:
        connection.execute(insert(ConversationRow).values(values))
    [summary] = store.conversations(BORIS)
    assert summary.created_at == in_delhi
    assert summary.created_at.isoformat() == "2026-04-30T23:30:00+00:00"


def test_a_time_without_a_zone_is_refused(store: Store, database_url: str) -> None:
    naive = datetime(2026, 5, 1)
    values = {"id": new_id(), "owner": AMINA, "title": "t", "created_at": naive, "updated_at": naive}
    with pytest.raises(exc.StatementError, match="no time zone"), inside(database_url) as connection:
        connection.execute(insert(ConversationRow).values(values))


# Conversations


def test_turns_come_oldest_first_and_conversations_newest_first(store: Store) -> None:
    first, second, third = turn("one?"), turn("two?"), turn("three?")
    older = saved(store, first)
    newer = saved(store, turn("other?"))
    assert [line.id for line in store.conversations(AMINA)] == [newer, older]
    for answer in (second, third):
        assert saved(store, answer, conversation_id=older) == older
    assert store.turns(AMINA, older) == [first, second, third]
    assert [line.id for line in store.conversations(AMINA)] == [older, newer]


def test_the_list_is_read_page_by_page_without_gap_or_repeat(store: Store) -> None:
    made = [saved(store, turn(f"question {number}")) for number in range(7)]
    seen: list[str] = []
    while page := store.conversations(AMINA, limit=3, before=seen[-1] if seen else None):
        seen += [line.id for line in page]
    assert seen == made[::-1]
    assert store.conversations(AMINA, before="gone") == []


def test_a_conversation_is_named_after_the_first_words_of_its_question(store: Store) -> None:
    saved(store, turn("  Why are\nmy maize leaves striped?  "))
    saved(store, turn("word " * 40))
    long, short = (line.title for line in store.conversations(AMINA))
    assert short == "Why are my maize leaves striped?"
    assert len(long) <= 60
    assert long.endswith("word…")


def test_a_conversation_can_be_renamed_but_not_to_nothing(store: Store) -> None:
    conversation = saved(store, turn())
    store.rename(AMINA, conversation, " Weevils in the\tlower field ")
    assert [line.title for line in store.conversations(AMINA)] == ["Weevils in the lower field"]
    with pytest.raises(BadInput, match="empty"):
        store.rename(AMINA, conversation, " \n")


def test_a_turn_saved_twice_is_kept_once(store: Store) -> None:
    answer = turn()
    conversation = saved(store, answer)
    assert saved(store, answer) == conversation
    assert saved(store, replace(answer, text="changed behind the vote"), conversation_id=conversation) == conversation
    assert store.turns(AMINA, conversation) == [answer]


def test_an_answer_never_moves_to_another_question_or_conversation(store: Store) -> None:
    part = turn(complete=False)
    conversation, other = saved(store, part), saved(store, turn())
    with pytest.raises(NotYours, match="answer"):
        saved(store, replace(part, question=Question(text="Another?")), conversation_id=other)
    with pytest.raises(NotYours, match="question"):
        saved(store, part, conversation_id=other)
    assert store.turns(AMINA, conversation) == [part]
    assert len(store.turns(AMINA, other)) == 1


def test_an_answer_that_was_cut_off_is_replaced_by_its_whole_text(store: Store) -> None:
    part = turn(said="Trap", complete=False)
    conversation = saved(store, part)
    whole = replace(part, text="Trap them.[1]", complete=True)
    saved(store, whole, conversation_id=conversation)
    assert store.turns(AMINA, conversation) == [whole]


def test_a_second_answer_to_a_question_stands_beside_the_first(store: Store) -> None:
    first, later = turn(said="First."), turn("And then?")
    again = replace(first, id=new_id(), text="Second.")
    conversation = saved(store, first)
    saved(store, later, conversation_id=conversation)
    assert saved(store, again) == conversation
    assert store.turns(AMINA, conversation) == [first, again, later]


def test_search_looks_in_titles_questions_and_answers_without_regard_to_case(store: Store) -> None:
    asked = saved(store, turn("x " * 40 + "Sigatoka", "Prune."))
    answered = saved(store, turn("What now?", "Use ÉPINARD mulch."))
    titled = saved(store, turn("Old title", "Nothing."))
    store.rename(AMINA, titled, "香蕉象鼻虫")
    chinese = saved(store, turn("我的香蕉叶子发黄怎么办?", "剪掉病叶。"))

    def found(words: str) -> list[str]:
        return [line.id for line in store.conversations(AMINA, words)]

    assert found("sigaTOKA") == [asked]
    assert found("épinard") == [answered]
    assert found("香蕉") == [chinese, titled]
    assert found("病叶") == [chinese]
    assert found("  ") == [chinese, titled, answered, asked]
    assert found("no such words") == []
    assert found("w" * 100_000) == []


@pytest.mark.parametrize(("words", "expected"), [("50%", 1), ("%", 1), ("a_b", 1), ("_", 1), ("/", 1), ("\\", 1), ("'", 1)])
def test_signs_with_a_meaning_for_the_database_are_searched_as_they_stand(store: Store, words: str, expected: int) -> None:
    saved(store, turn("shade of 50% with a_b or N/P and \\ in the farmer's field", "ok"))
    saved(store, turn("50 shades", "axb"))
    assert len(store.conversations(AMINA, words)) == expected


def test_deleting_a_conversation_takes_everything_in_it_and_nothing_else(store: Store, database_url: str) -> None:
    gone, kept = turn(), turn()
    conversation, other = saved(store, gone), saved(store, kept)
    for answer in (gone, kept):
        store.save_feedback(AMINA, vote(answer))
    store.delete_conversation(AMINA, conversation)
    assert [rows(database_url, table) for table in ("conversations", "questions", "answers", "feedback")] == [1, 1, 1, 1]
    assert store.turns(AMINA, other) == [kept]
    assert store.feedback_of(AMINA, gone.id) is None


def test_forgetting_a_person_leaves_no_trace_of_them_in_the_files(store: Store, database_url: str, tmp_path: Path) -> None:
    for number in range(20):
        answer = turn(f"Amina-planted-{number}", "Amina-planted " * 300)
        saved(store, answer)
        store.save_feedback(AMINA, vote(answer, comment="Amina-planted"))
    of_boris = saved(store, turn("Boris-planted"), owner=BORIS)
    assert store.forget(AMINA) == 20
    assert [rows(database_url, table) for table in ("conversations", "questions", "answers", "feedback")] == [1, 1, 1, 0]
    assert len(store.turns(BORIS, of_boris)) == 1
    if database_url.startswith("sqlite"):
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"Boris-planted" in stored
        assert b"Amina-planted" not in stored


# Votes


def test_a_vote_is_read_back_as_it_was_given(store: Store) -> None:
    answer = turn()
    saved(store, answer)
    assert store.feedback_of(AMINA, answer.id) is None
    given = vote(answer, rating="down", reasons=("wrong", "太晚"), correction="Use ash.", comment="See 2.")
    store.save_feedback(AMINA, given)
    assert store.feedback_of(AMINA, answer.id) == given


def test_a_second_vote_replaces_the_first_and_keeps_its_id(store: Store, database_url: str) -> None:
    answer = turn()
    saved(store, answer)
    first, second = vote(answer), vote(answer, rating="down", comment="It rotted.")
    store.save_feedback(AMINA, first)
    store.save_feedback(AMINA, second)
    assert store.feedback_of(AMINA, answer.id) == replace(second, id=first.id)
    assert rows(database_url, "feedback") == 1


def test_nobody_approves_their_own_correction(store: Store, database_url: str) -> None:
    answer = turn()
    saved(store, answer)
    store.save_feedback(AMINA, vote(answer, correction="Burn it.", status="approved", reviewer="me"))
    assert store.feedback_of(AMINA, answer.id) == replace(_present(store, answer), status="new", reviewer=None)
    with inside(database_url) as connection:
        connection.execute(text("UPDATE feedback SET status = 'approved', reviewer = 'agronomist'"))
    assert _present(store, answer).status == "approved"
    store.save_feedback(AMINA, vote(answer, correction="Drink it."))
    assert (_present(store, answer).status, _present(store, answer).reviewer) == ("new", None)


def _present(store: Store, answer: Answer) -> Feedback:
    feedback = store.feedback_of(AMINA, answer.id)
    assert feedback is not None
    return feedback


def test_a_vote_with_the_id_of_another_vote_changes_nothing(store: Store) -> None:
    mine, theirs = turn(), turn()
    saved(store, mine)
    saved(store, theirs, owner=BORIS)
    original = vote(theirs, author=BORIS)
    store.save_feedback(BORIS, original)
    with pytest.raises(BadInput, match="id in use"):
        store.save_feedback(AMINA, replace(vote(mine, rating="down"), id=original.id))
    assert store.feedback_of(BORIS, theirs.id) == original


def test_nobody_votes_in_the_name_of_another(store: Store) -> None:
    answer = turn()
    saved(store, answer)
    with pytest.raises(NotYours, match="vote"):
        store.save_feedback(AMINA, vote(answer, author=BORIS))
    assert store.feedback_of(AMINA, answer.id) is None


# Owners: each public method, as somebody else

STRANGERS = [BORIS, "agronomist", "admin", "", "%", "visitor:amin_", "VISITOR:AMINA", "visitor:amina ", "deleted"]
WITHOUT_OWNER = {"migrate", "schema_state", "ping", "backup", "close", "teachable"}
Attempt = Callable[[Store, str, str, Answer], object]


def forge_turn(store: Store, owner: str, conversation: str, answer: Answer) -> None:
    """Three ways into somebody's conversation: by its id, by a question's id, by an answer's id."""
    with pytest.raises(NotYours) as refused:
        saved(store, replace(answer, text="forged"), owner)
    assert conversation not in str(refused.value)
    with pytest.raises((NotYours, BadInput)):  # BadInput: a nameless owner may not save anything at all
        saved(store, replace(answer, question=Question(text="mine"), text="forged"), owner)
    saved(store, turn("forged"), owner, conversation)


def forge_vote(store: Store, owner: str, _conversation: str, answer: Answer) -> None:
    """In the owner's name, then in the stranger's own."""
    with pytest.raises(NotYours):
        store.save_feedback(owner, vote(answer, author=AMINA, rating="down"))
    store.save_feedback(owner, vote(answer, author=owner, rating="down"))


REFUSED = "refused"
MATRIX: dict[str, tuple[Attempt, object]] = {
    "save_turn": (forge_turn, REFUSED),
    "save_feedback": (forge_vote, REFUSED),
    "feedback_of": (lambda store, owner, conversation, answer: store.feedback_of(owner, answer.id), None),
    "conversations": (
        lambda store, owner, conversation, answer: [*store.conversations(owner), *store.conversations(owner, "weevil")],
        [],
    ),
    "turns": (lambda store, owner, conversation, answer: store.turns(owner, conversation), REFUSED),
    "rename": (lambda store, owner, conversation, answer: store.rename(owner, conversation, "forged"), REFUSED),
    "delete_conversation": (lambda store, owner, conversation, answer: store.delete_conversation(owner, conversation), REFUSED),
    "answer": (lambda store, owner, conversation, answer: store.answer(owner, answer.id), None),
    "forget": (lambda store, owner, conversation, answer: store.forget(owner), 0),
    "save_outcome": (
        lambda store, owner, conversation, answer: store.save_outcome(
            owner, Outcome(answer_id=answer.id, result="failed", author=owner)
        ),
        REFUSED,
    ),
    "outcome_of": (lambda store, owner, conversation, answer: store.outcome_of(owner, answer.id), None),
    "skip_outcome": (lambda store, owner, conversation, answer: store.skip_outcome(owner, answer.id), REFUSED),
    "awaiting_outcome": (
        lambda store, owner, conversation, answer: store.awaiting_outcome(owner, datetime.now(UTC), after_days=-1),
        None,
    ),
}


def public_methods() -> dict[str, Callable[..., Any]]:
    return {name: member for name, member in vars(Store).items() if callable(member) and not name.startswith("_")}


def test_every_method_with_an_owner_stands_in_the_matrix() -> None:
    for name, method in public_methods().items():
        has_owner = "owner" in inspect.signature(method).parameters
        assert (name in MATRIX) == has_owner, f"Store.{name} needs a row in MATRIX"
        assert (name in WITHOUT_OWNER) != has_owner, f"Store.{name} shows or changes rows without asking for whom"
    assert set(MATRIX) | WITHOUT_OWNER == set(public_methods())


def everything(store: Store) -> tuple[object, ...]:
    """All that Amina can see."""
    lines = store.conversations(AMINA)
    talks = [store.turns(AMINA, line.id) for line in lines]
    votes = [store.feedback_of(AMINA, answer.id) for talk in talks for answer in talk]
    outcomes = [store.outcome_of(AMINA, answer.id) for talk in talks for answer in talk]
    return lines, talks, votes, outcomes, store.awaiting_outcome(AMINA, datetime.now(UTC), after_days=-1)


@pytest.mark.parametrize("method", sorted(public_methods().keys() - WITHOUT_OWNER))
def test_a_stranger_sees_and_changes_nothing(store: Store, method: str) -> None:
    answer = turn()
    conversation = saved(store, answer)
    store.save_feedback(AMINA, vote(answer))
    store.save_outcome(AMINA, Outcome(answer_id=answer.id, result="worked", author=AMINA))
    before = everything(store)
    attempt, expected = MATRIX[method]
    for stranger in STRANGERS:
        try:
            outcome = attempt(store, stranger, conversation, answer)
        except NotYours:
            outcome = REFUSED
        assert outcome == expected, stranger
        assert everything(store) == before, stranger


def test_a_conversation_of_another_and_one_that_never_was_are_refused_alike(store: Store) -> None:
    theirs, never = saved(store, turn(), owner=BORIS), new_id()
    sentences = []
    for conversation in (theirs, never):
        with pytest.raises(NotYours) as refused:
            store.turns(AMINA, conversation)
        sentences.append(str(refused.value).replace(conversation, "ID"))
    assert sentences[0] == sentences[1]


def test_a_row_without_an_owner_is_refused(store: Store) -> None:
    with pytest.raises(BadInput, match="owner"):
        saved(store, turn(), owner="")


# Many at once


def test_six_threads_lose_no_turn(store: Store) -> None:
    conversation = saved(store, turn("first"))

    def write(thread: int) -> None:
        for number in range(50):
            saved(store, turn(f"{thread}-{number}"), conversation_id=conversation)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(6)))
    asked = [answer.question.text for answer in store.turns(AMINA, conversation)]
    assert sorted(asked) == sorted(["first", *(f"{thread}-{number}" for thread in range(6) for number in range(50))])


def test_six_threads_that_read_before_they_write_lose_nothing_on_sqlite(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    store.migrate()
    conversation = saved(store, turn())
    store.rename(AMINA, conversation, "0")

    def count(_thread: int) -> None:
        for _ in range(50):
            with store._writing() as session:
                row = session.get(ConversationRow, conversation)
                assert row is not None
                row.title = str(int(row.title) + 1)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(count, range(6)))
    assert [line.title for line in store.conversations(AMINA)] == ["300"]


def test_a_reader_does_not_wait_for_a_writer(store: Store) -> None:
    conversation = saved(store, turn())
    with store._writing() as session:
        session.get(ConversationRow, conversation)
        with ThreadPoolExecutor(1) as thread:
            assert len(thread.submit(store.turns, AMINA, conversation).result(timeout=5)) == 1


def test_a_turn_for_a_conversation_that_is_just_being_deleted_is_refused(store: Store) -> None:
    conversation = saved(store, turn())
    with ThreadPoolExecutor(1) as thread:
        with store._writing() as session:
            session.execute(delete(ConversationRow))
            saving = thread.submit(saved, store, turn(), AMINA, conversation)
            time.sleep(0.3)  # long enough for the other thread to reach the row
        with pytest.raises(NotYours):
            saving.result(timeout=15)


def test_votes_given_at_once_make_one_row_for_each_person(store: Store, database_url: str) -> None:
    answers = {AMINA: turn(), BORIS: turn()}
    for owner, answer in answers.items():
        saved(store, answer, owner=owner)

    def click(number: int) -> None:
        owner = (AMINA, BORIS)[number % 2]
        store.save_feedback(owner, vote(answers[owner], author=owner, rating="down", comment=f"click {number}"))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(click, range(60)))
    assert rows(database_url, "feedback") == 2
    for owner, answer in answers.items():
        feedback = store.feedback_of(owner, answer.id)
        assert feedback is not None
        assert feedback.comment.startswith("click")


def test_two_servers_that_start_at_once_make_the_tables_once(database_url: str) -> None:
    stores = [Store(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(Store.migrate, stores))
    versions = Path(migrations.__file__).parent.glob("versions/0*.py")
    assert sorted(map(len, applied)) == [0, 0, 0, len(list(versions))]
    assert {store.schema_state() for store in stores} == {"current"}
    for store in stores:
        store.close()


# Migrations


def test_an_empty_database_is_brought_to_the_newest_schema_once(database_url: str) -> None:
    store = Store(database_url)
    assert store.schema_state() == "empty"
    assert store.migrate() == REVISIONS
    assert store.schema_state() == "current"
    assert store.migrate() == []
    store.close()


def test_models_and_migrations_agree(store: Store, database_url: str) -> None:
    with inside(database_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        looking = inspect_database(connection)
        for table in Base.metadata.sorted_tables:
            modelled = {str(rule.name) for rule in table.constraints} | {str(index.name) for index in table.indexes}
            stored = {
                str(rule["name"])
                for rules in (
                    looking.get_check_constraints(table.name),
                    looking.get_unique_constraints(table.name),
                    looking.get_foreign_keys(table.name),
                    [looking.get_pk_constraint(table.name)],
                    [index for index in looking.get_indexes(table.name) if not index.get("duplicates_constraint")],
                )
                for rule in rules
            }
            assert stored == modelled


def test_every_foreign_key_has_an_index() -> None:
    for table in Base.metadata.sorted_tables:
        first_columns = {index.columns[0].name for index in table.indexes}
        for key in table.foreign_keys:
            assert key.parent.name in first_columns, f"{table.name}.{key.parent.name}"


def test_down_to_nothing_and_up_again(store: Store, database_url: str) -> None:
    saved(store, turn())
    with inside(database_url) as connection:
        command.downgrade(migrations.config(connection), "base")
        assert set(inspect_database(connection).get_table_names()) == {"alembic_version"}
    assert store.schema_state() == "empty"
    assert store.migrate() == REVISIONS
    conversation = saved(store, turn())
    assert len(store.turns(AMINA, conversation)) == 1


def test_the_revisions_form_one_line(database_url: str) -> None:
    with inside(database_url) as connection:
        scripts = ScriptDirectory.from_config(migrations.config(connection))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


ROWS_OF_0001 = (
    "INSERT INTO conversations (id, owner, title, language, created_at, updated_at)"
    " VALUES ('c1', 'visitor:amina', 'Weevils', 'en', :moment, :moment)",
    "INSERT INTO questions (id, conversation_id, owner, text, place, crop, stage, language, created_at)"
    " VALUES ('q1', 'c1', 'visitor:amina', 'How do I stop weevils?', 'Mbale', 'banana', NULL, 'en', :moment)",
    "INSERT INTO answers (id, question_id, owner, kind, text, citations, passages, missing, messages, diagnosis, model,"
    " adapter, index_hash, prompt_hash, timings_ms, complete, created_at)"
    " VALUES ('a1', 'q1', 'visitor:amina', 'advice', 'Trap them.[1]', :citations,"
    " :passages, '[]', '[]', NULL, 'composer', NULL, 'i', 'p', :timings, true, :moment)",
    "INSERT INTO feedback (id, answer_id, owner, rating, reasons, correction, comment, status, reviewer, created_at,"
    " updated_at) VALUES ('f1', 'a1', 'visitor:amina', 'up', '[]', '', 'Good.', 'new', NULL, :moment, :moment)",
)
VALUES_OF_0001 = {
    "moment": "2026-01-02 03:04:05.000006",
    "citations": '[{"number": 1, "passage_id": "p1", "quote": "Trap"}]',
    "passages": '[{"id": "p1", "document_id": "d1", "title": "T", "text": "Trap weevils.", "region": ["UG"]}]',
    "timings": '{"search": 1.5}',
}


def fill_0001(url: str) -> None:
    """Make the database that the first release left behind, with a row in each table."""
    with inside(url) as connection:
        command.upgrade(migrations.config(connection), "0001")
        for statement in ROWS_OF_0001:
            used = {name: value for name, value in VALUES_OF_0001.items() if f":{name}" in statement}
            connection.execute(text(statement), used)


def test_rows_written_under_the_first_schema_are_read_after_the_upgrade(database_url: str) -> None:
    fill_0001(database_url)
    store = Store(database_url)
    store.migrate()
    assert store.schema_state() == "current"
    [answer] = store.turns(AMINA, "c1")
    trap = Passage(id="p1", document_id="d1", title="T", text="Trap weevils.", region=("UG",))
    assert answer.question == Question(id="q1", text="How do I stop weevils?", place="Mbale", crop="banana", language="en")
    assert answer.citations == (Citation(number=1, passage=trap, quote="Trap"),)
    assert store.feedback_of(AMINA, "a1") == Feedback(id="f1", answer_id="a1", rating="up", author=AMINA, comment="Good.")
    store.close()


def later_revision(folder: Path, change: str) -> Path:
    """Write the revision 9999 of a later release, which makes `change`."""
    folder.mkdir()
    (folder / "9999_later.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        'revision = "9999"\ndown_revision = "' + REVISIONS[-1] + '"\nbranch_labels = None\ndepends_on = None\n\n\n'
        f"def upgrade():\n    {change}\n\n\ndef downgrade():\n    pass\n"
    )
    return folder


COPY_CONVERSATIONS = (
    "with op.batch_alter_table('conversations', recreate='auto') as table:\n"
    "        table.add_column(sa.Column('pinned', sa.Boolean(), nullable=False, server_default=sa.false()))\n"
    "        table.alter_column('title', type_=sa.String(200))"
)


def test_a_change_that_copies_a_table_keeps_the_rows_that_belong_to_it(database_url: str, tmp_path: Path) -> None:
    fill_0001(database_url)
    versions = later_revision(tmp_path / "later", COPY_CONVERSATIONS)
    with inside(database_url, copying=True) as connection:
        assert migrations.upgrade(migrations.config(connection, versions)) == [*REVISIONS[1:], "9999"]
    assert [rows(database_url, table) for table in ("conversations", "questions", "answers", "feedback")] == [1, 1, 1, 1]
    with inside(database_url) as connection:
        rules = inspect_database(connection).get_check_constraints("conversations")
        assert [rule["name"] for rule in rules] == ["ck_conversations_owner_given"]


def test_tables_of_a_later_release_are_refused_and_left_alone(store: Store, database_url: str, tmp_path: Path) -> None:
    versions = later_revision(tmp_path / "later", COPY_CONVERSATIONS)
    with inside(database_url, copying=True) as connection:
        migrations.upgrade(migrations.config(connection, versions))
    assert store.schema_state() == "newer"
    with pytest.raises(AgriError, match="schema 9999: a later release of this program made it"):
        store.migrate()
    with inside(database_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_tables_of_an_earlier_release_are_called_behind(store: Store, database_url: str, tmp_path: Path) -> None:
    versions = later_revision(tmp_path / "later", "pass")
    with inside(database_url) as connection:
        assert migrations.state(migrations.config(connection, versions)) == "behind"


def test_a_failing_upgrade_changes_nothing(store: Store, database_url: str, tmp_path: Path) -> None:
    saved(store, turn())
    versions = later_revision(tmp_path / "later", "op.drop_table('feedback')\n    op.execute('SELECT * FROM nowhere')")
    with pytest.raises(exc.DBAPIError, match="nowhere"), inside(database_url, copying=True) as connection:
        migrations.upgrade(migrations.config(connection, versions))
    assert store.schema_state() == "current"
    assert rows(database_url, "feedback") == 0


def test_an_upgrade_that_would_orphan_rows_is_undone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'agri.sqlite3'}"
    fill_0001(url)
    versions = later_revision(tmp_path / "later", "op.execute('DELETE FROM conversations')")
    with pytest.raises(AgriError, match="whose conversations is gone"), inside(url, copying=True) as connection:
        migrations.upgrade(migrations.config(connection, versions))
    assert rows(url, "conversations") == 1


def test_foreign_keys_are_watched_again_after_an_upgrade(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    store.migrate()
    store.migrate()
    answer = turn()
    store.delete_conversation(AMINA, saved(store, answer))
    assert store.answer(AMINA, answer.id) is None
    assert rows(f"sqlite:///{tmp_path / 'agri.sqlite3'}", "answers") == 0


# What goes wrong outside


def test_a_stopped_server_is_one_sentence_and_the_store_recovers(postgres: PostgresServer) -> None:
    store = Store(postgres.new_database())
    store.migrate()
    answer = turn()
    conversation = saved(store, answer)
    postgres.stop()
    try:
        for attempt in (store.ping, store.migrate, store.schema_state, lambda: store.turns(AMINA, conversation)):
            with pytest.raises(StoreUnavailable, match="questions are still answered"):
                attempt()
        with pytest.raises(StoreUnavailable):
            saved(store, turn())
    finally:
        postgres.start()
    store.ping()
    assert store.turns(AMINA, conversation) == [answer]
    store.close()


def test_an_address_where_nobody_listens_is_named_without_its_password() -> None:
    store = Store("postgresql://agri:open-sesame@127.0.0.1:1/agri?application_name=open-sesame")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/agri") as down:
        store.ping()
    assert "sesame" not in str(down.value)


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "agri.sqlite3"
    file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        Store(f"sqlite:///{file}").ping()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"agri\.sqlite3"):
        Store(f"sqlite:///{tmp_path / 'file' / 'agri.sqlite3'}")


def test_tables_that_were_never_made_are_one_sentence(database_url: str) -> None:
    store = Store(database_url)
    with pytest.raises(StoreUnavailable, match="conversations"):
        store.conversations(AMINA)
    store.close()


def test_the_folder_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'new' / 'folder' / 'agri.sqlite3'}").migrate()
    assert (tmp_path / "new" / "folder" / "agri.sqlite3").exists()


def test_a_database_in_memory_serves_a_test(tmp_path: Path) -> None:
    store = Store("sqlite://")
    store.migrate()
    answer = turn()
    assert store.turns(AMINA, saved(store, answer)) == [answer]


@pytest.mark.parametrize("url", ["", "agri.sqlite3", "mysql://u:sesame@h/d", "postgresql://u:sesa@me:x@h/d", "oracle://h"])
def test_an_address_that_cannot_work_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="AGRI_DATABASE_URL") as refused:
        Store(url)
    assert "sesa" not in str(refused.value)


def test_what_people_wrote_is_in_no_error(store: Store) -> None:
    with pytest.raises(BadInput) as refused:
        saved(store, turn("my secret illness"), owner="")
    assert "secret" not in str(refused.value)
    assert "secret" not in str(refused.value.__cause__).split("DETAIL")[0]


def test_sqlite_is_set_up_so_that_no_write_is_lost(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    expected = {"journal_mode": "wal", "busy_timeout": 10_000, "synchronous": 1, "foreign_keys": 1, "secure_delete": 1}
    with store._reading() as session:
        found = {name: session.execute(text(f"PRAGMA {name}")).scalar_one() for name in expected}
    assert found == expected


# Backups


def test_a_backup_taken_while_people_work_can_be_restored(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    store.migrate()
    answer = turn()
    conversation = saved(store, answer)
    with store._reading() as session:
        session.execute(text("SELECT count(*) FROM answers"))
        store.backup(tmp_path / "copy.sqlite3")
    store.delete_conversation(AMINA, conversation)
    restored = Store(f"sqlite:///{tmp_path / 'copy.sqlite3'}")
    assert restored.schema_state() == "current"
    assert restored.turns(AMINA, conversation) == [answer]


def test_a_backup_never_replaces_a_file(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    store.migrate()
    with pytest.raises(BadInput, match="exists"):
        store.backup(tmp_path / "agri.sqlite3")


def test_a_postgresql_backup_is_left_to_its_own_tool(postgres: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="pg_dump"):
        Store(postgres.new_database()).backup(tmp_path / "copy")
