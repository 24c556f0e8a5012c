"""Everything we remember: conversations, questions, answers, votes and photos (`album.py`), each shown to its owner only.

SQLite by default, PostgreSQL for many users. Every method takes the owner's key, works in one short transaction and gives
or takes records; rows never leave. A database that does not answer is StoreUnavailable: people still get answers, nothing
is saved. A SQLite file must lie on a local disk (its write-ahead log does not work on network drives).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, Select, Update, delete, or_, select, text, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from agri_llm import migrations, teachable
from agri_llm.account_tables import TrainingConsentRow
from agri_llm.accounts import Accounts
from agri_llm.album import Album, keep_allowed, letting_go, lock_conversations, of_conversation, photos_of
from agri_llm.consents import Consents
from agri_llm.database import checked_address, copying_tables, errors_for_people, make_engine, not_yours
from agri_llm.errors import BadInput
from agri_llm.judgements import Material, Outcome
from agri_llm.migrations import SchemaState
from agri_llm.outcomes import Outcomes
from agri_llm.photo_tables import ConsentRow, QuestionPhotoRow
from agri_llm.promotions import Promotions
from agri_llm.queue import Queue
from agri_llm.records import Answer, Feedback, Question, new_id, now
from agri_llm.reviews import Reviews
from agri_llm.signed import Signed
from agri_llm.tables import (
    AnswerRow,
    ConversationRow,
    FeedbackRow,
    QuestionRow,
    answer_from,
    answer_row,
    conversation_row,
    feedback_from,
    question_row,
    title_of,
)

LONGEST_SEARCH = 200  # characters; SQLite refuses patterns above 50,000 bytes


@dataclass(frozen=True, kw_only=True)
class ConversationSummary:
    """One line in the list of conversations; `updated_at` is the time of its last turn."""

    id: str
    title: str
    language: str | None
    created_at: datetime
    updated_at: datetime


class Store:
    """The database of one installation; one object is shared by all threads."""

    def __init__(self, url: str) -> None:
        """Prepare for the database at the SQLAlchemy address `url`; the folder of a SQLite file is made.

        Raises SettingsInvalid for an address that cannot work and StoreUnavailable where the folder cannot be made.
        """
        self._url = checked_address(url)
        with errors_for_people(self._url):
            self._engine = make_engine(self._url)
        self._writers = sessionmaker(self._engine)
        self._readers = sessionmaker(self._engine.execution_options(read_only=True))
        self.album = Album(self._writing, self._reading, self._scrub)
        self.accounts = Accounts(self._writing, self._reading)
        self.consents = Consents(self._writing, self._reading)
        self._outcomes = Outcomes(self._writing, self._reading)
        self.reviews = Reviews(self._writing, self._reading)
        self.queue = Queue(self._writing, self._reading)
        self.signed = Signed(self._writing, self._reading)
        self.promotions = Promotions(self._writing, self._reading)

    # The database itself

    def migrate(self) -> list[str]:
        """Bring the tables to the newest schema, all or nothing, and return the revisions applied, in order.

        Raises AgriError where a later release made the tables.
        """
        with errors_for_people(self._url), self._engine.connect() as connection, copying_tables(connection), connection.begin():
            return migrations.upgrade(migrations.config(connection))

    def schema_state(self) -> SchemaState:
        """Say whether the tables are current, behind, empty, or newer than this release knows; only current ones work."""
        with errors_for_people(self._url), self._engine.execution_options(read_only=True).connect() as connection:
            return migrations.state(migrations.config(connection))

    def ping(self) -> None:
        """Ask the database for a sign of life; raises StoreUnavailable."""
        with self._reading() as session:
            session.execute(text("SELECT 1"))

    def backup(self, file: Path) -> None:
        """Write a complete copy of a SQLite database to the new file `file` while people go on working."""
        if self._engine.dialect.name != "sqlite":
            raise BadInput("This database is PostgreSQL", "it has its own tool for backups", "use pg_dump")
        if file.exists():
            raise BadInput(f"{file} exists", "a backup never replaces anything", "name a new file")
        with errors_for_people(self._url), self._engine.connect() as connection:
            connection.connection.cursor().execute("VACUUM INTO ?", (str(file),))

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    # Conversations

    def save_turn(self, *, owner: str, conversation_id: str | None, answer: Answer) -> str:
        """Keep a question with its answer and return the conversation's id; without one a conversation begins.

        It gets the id that the question names, where that is free.

        Saving twice keeps one turn, and the later text as long as the stored one was incomplete. Another answer to a stored
        question joins its conversation. Photos are kept where the owner lets us (`Album.allow`). Raises NotYours.
        """
        moment = now()
        with self._writing() as session:
            asked = session.get(QuestionRow, answer.question.id)
            if asked is not None:
                if asked.owner != owner or conversation_id not in (None, asked.conversation_id):
                    raise not_yours("question", answer.question.id)
                conversation_id = asked.conversation_id
            if conversation_id is None:
                conversation = _begun(session, owner, answer.question, moment)
            else:
                conversation = _own_conversation(session, owner, conversation_id, lock=True)
                conversation.updated_at = moment
            session.flush()
            if asked is None:
                session.add(question_row(owner, conversation.id, answer.question, moment))
                session.flush()
            _keep_answer(session, owner, answer, moment)
            return conversation.id

    def conversations(
        self, owner: str, search: str = "", limit: int = 50, before: str | None = None
    ) -> list[ConversationSummary]:
        """List the owner's conversations, the one with the latest turn first.

        `search` looks in titles, questions and answers without regard to case; `before` is the last id of the page shown
        already. A `before` that is gone or is not the owner's gives an empty list.
        """
        query = select(ConversationRow).where(ConversationRow.owner == owner)
        if search.strip():
            query = _mentioning(query, owner, search.strip()[:LONGEST_SEARCH])
        place = tuple_(ConversationRow.updated_at, ConversationRow.id)
        with self._reading() as session:
            if before is not None:
                last = session.scalar(
                    select(ConversationRow).where(ConversationRow.owner == owner, ConversationRow.id == before)
                )
                if last is None:
                    return []
                query = query.where(place < (last.updated_at, last.id))
            query = query.order_by(ConversationRow.updated_at.desc(), ConversationRow.id.desc()).limit(limit)
            return [_summary(row) for row in session.scalars(query)]

    def turns(self, owner: str, conversation_id: str) -> list[Answer]:
        """Return the answers of a conversation with their questions, oldest first; raises NotYours."""
        with self._reading() as session:
            _own_conversation(session, owner, conversation_id)
            query = (
                _answers_of(owner)
                .where(QuestionRow.conversation_id == conversation_id)
                .order_by(QuestionRow.created_at, QuestionRow.id, AnswerRow.created_at, AnswerRow.id)
            )
            found = session.execute(query).all()
            photos = photos_of(session, [asked.id for _, asked in found])
            return [answer_from(row, asked, photos.get(asked.id, ())) for row, asked in found]

    def answer(self, owner: str, answer_id: str) -> Answer | None:
        """Return one answer of the owner, or None."""
        with self._reading() as session:
            found = session.execute(_answers_of(owner).where(AnswerRow.id == answer_id)).first()
            if found is None:
                return None
            row, asked = found
            return answer_from(row, asked, photos_of(session, [asked.id]).get(asked.id, ()))

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        """Give a conversation another title, cut to the length of a line; raises BadInput for an empty one, NotYours."""
        if not title.strip():
            raise BadInput("The title is empty", "nobody could find the conversation again", "write at least one word")
        change = update(ConversationRow).where(ConversationRow.owner == owner, ConversationRow.id == conversation_id)
        with self._writing() as session:
            if _changed(session, change.values(title=title_of(title))) == 0:
                raise not_yours("conversation", conversation_id)

    def delete_conversation(self, owner: str, conversation_id: str) -> None:
        """Remove a conversation with its questions, answers, votes, and photos no other one has; raises NotYours."""
        own = delete(ConversationRow).where(ConversationRow.owner == owner, ConversationRow.id == conversation_id)
        with self._writing() as session:
            _own_conversation(session, owner, conversation_id, lock=True)
            with letting_go(session, of_conversation(conversation_id)):
                _changed(session, own)
        self._scrub()

    def forget(self, owner: str) -> int:
        """Remove everything the owner ever wrote, also from the files of SQLite; return the number of conversations."""
        with self._writing() as session:
            lock_conversations(session, owner)
            session.execute(delete(ConsentRow).where(ConsentRow.owner == owner))
            session.execute(delete(TrainingConsentRow).where(TrainingConsentRow.owner == owner))
            session.execute(delete(FeedbackRow).where(FeedbackRow.owner == owner))
            with letting_go(session, QuestionPhotoRow.owner == owner):
                conversations = _changed(session, delete(ConversationRow).where(ConversationRow.owner == owner))
        self._scrub()
        return conversations

    # Votes

    def save_feedback(self, owner: str, feedback: Feedback) -> None:
        """Keep the owner's vote on one of their answers; a second vote replaces the first, whose id stays.

        It is always kept as new and unreviewed, whatever the record says: nobody approves their own correction. Raises
        NotYours for an answer of another person and for a vote in another person's name.
        """
        if feedback.author != owner:
            raise not_yours("vote", feedback.id)
        with self._writing() as session:
            seen = select(AnswerRow.id).where(AnswerRow.owner == owner, AnswerRow.id == feedback.answer_id)
            if session.scalar(seen.with_for_update(read=True, key_share=True)) is None:
                raise not_yours("answer", feedback.answer_id)
            session.execute(_vote(self._engine.dialect.name, owner, feedback))

    def feedback_of(self, owner: str, answer_id: str) -> Feedback | None:
        """Return the owner's vote on an answer, or None."""
        query = select(FeedbackRow).where(FeedbackRow.owner == owner, FeedbackRow.answer_id == answer_id)
        with self._reading() as session:
            row = session.scalar(query)
            return None if row is None else feedback_from(row)

    # What became of advice

    def save_outcome(self, owner: str, outcome: Outcome) -> None:
        """Keep what became of the owner's advice; a second word replaces the first. Raises NotYours, BadInput."""
        self._outcomes.save(owner, outcome)

    def outcome_of(self, owner: str, answer_id: str) -> Outcome | None:
        """Return what the owner said became of an answer, or None."""
        return self._outcomes.of(owner, answer_id)

    def awaiting_outcome(self, owner: str, now: datetime, after_days: float = 5) -> Answer | None:
        """Return the owner's newest advice older than so many days of which they said nothing yet, or None."""
        return self._outcomes.awaiting(owner, now, after_days)

    def skip_outcome(self, owner: str, answer_id: str) -> None:
        """Never ask the owner again what became of this answer. Raises NotYours."""
        self._outcomes.skip(owner, answer_id)

    def teachable(self) -> Material:
        """Return what a training may learn from, as it is at one moment: nothing of people who did not agree."""
        with self._reading() as session:
            return teachable.read(session)

    # One transaction, one way to fail

    def _scrub(self) -> None:
        """Take what was deleted out of the write-ahead log of SQLite too."""
        if self._engine.dialect.name == "sqlite":
            with errors_for_people(self._url), self._engine.connect() as connection:
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with errors_for_people(self._url), self._writers.begin() as session:
            yield session

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with errors_for_people(self._url), self._readers.begin() as session:
            yield session


def _own_conversation(session: Session, owner: str, conversation_id: str, lock: bool = False) -> ConversationRow:
    query = select(ConversationRow).where(ConversationRow.owner == owner, ConversationRow.id == conversation_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise not_yours("conversation", conversation_id)
    return row


def _begun(session: Session, owner: str, question: Question, moment: datetime) -> ConversationRow:
    """Return the conversation that a question begins, or began when it was kept and the page never heard of it."""
    there = session.get(ConversationRow, question.conversation) if question.conversation else None
    if there is not None and there.owner == owner:
        there.updated_at = moment
        return there
    free = question.conversation if there is None else ""
    begun = conversation_row(free or new_id(), owner, question, moment)
    session.add(begun)
    return begun


def _keep_answer(session: Session, owner: str, answer: Answer, moment: datetime) -> None:
    stored = session.get(AnswerRow, answer.id)
    if stored is not None and (stored.owner != owner or stored.question_id != answer.question.id):
        raise not_yours("answer", answer.id)
    if stored is None or not stored.complete:
        session.merge(answer_row(owner, answer, moment))
    session.flush()
    keep_allowed(session, owner, answer)


def _answers_of(owner: str) -> Select[AnswerRow, QuestionRow]:
    return (
        select(AnswerRow, QuestionRow)
        .join(QuestionRow, AnswerRow.question_id == QuestionRow.id)
        .where(AnswerRow.owner == owner, QuestionRow.owner == owner)
    )


def _mentioning(query: Select[ConversationRow], owner: str, words: str) -> Select[ConversationRow]:
    """Keep conversations whose title, a question or an answer contains `words` as they stand: % and _ are plain characters."""
    asked = select(QuestionRow.conversation_id).where(
        QuestionRow.owner == owner, QuestionRow.text.icontains(words, autoescape=True)
    )
    answered = (
        select(QuestionRow.conversation_id)
        .join(AnswerRow, AnswerRow.question_id == QuestionRow.id)
        .where(AnswerRow.owner == owner, AnswerRow.text.icontains(words, autoescape=True))
    )
    titled = ConversationRow.title.icontains(words, autoescape=True)
    return query.where(or_(titled, ConversationRow.id.in_(asked), ConversationRow.id.in_(answered)))


def _summary(row: ConversationRow) -> ConversationSummary:
    return ConversationSummary(
        id=row.id, title=row.title, language=row.language, created_at=row.created_at, updated_at=row.updated_at
    )


def _changed(session: Session, statement: Update | Delete) -> int:
    """Run an UPDATE or DELETE and return how many rows it met."""
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def _vote(dialect: str, owner: str, feedback: Feedback) -> postgresql.Insert | sqlite.Insert:
    """Return the statement that adds a vote or replaces the owner's earlier one; two at once cannot make two rows."""
    moment = now()
    said = {
        "rating": feedback.rating,
        "reasons": list(feedback.reasons),
        "correction": feedback.correction,
        "comment": feedback.comment,
        "status": "new",
        "reviewer": None,
        "edited_correction": None,
        "updated_at": moment,
    }
    first = {"id": feedback.id, "owner": owner, "answer_id": feedback.answer_id, "created_at": moment}
    key = ["owner", "answer_id"]
    if dialect == "postgresql":
        return postgresql.insert(FeedbackRow).values(first | said).on_conflict_do_update(index_elements=key, set_=said)
    return sqlite.insert(FeedbackRow).values(first | said).on_conflict_do_update(index_elements=key, set_=said)
