"""The first four tables behind the store, and how their rows become records and back; only `agri_llm.store` uses them.

Every row has a UUIDv7 id, an owner and UTC times. Names of constraints follow one convention, so that a later release can
find and change them. Photos are kept in tables of their own (`photo_tables.py`), heat maps not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, get_args

from sqlalchemy import JSON, CheckConstraint, DateTime, Dialect, ForeignKey, Index, MetaData, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from agri_llm.records import Answer, Citation, Diagnosis, Feedback, FeedbackStatus, Kind, Passage, Photo, Question, Rating

TITLE_LENGTH = 60  # characters of the first question that name a conversation


class UtcTime(TypeDecorator[datetime]):
    """A moment, stored in UTC and always returned aware; SQLite alone would return it without its time zone.

    Raises ValueError for a time without a zone: nobody can tell which moment it is.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no time zone, so the moment is unknown; pass an aware time such as records.now().")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text as people wrote it; what no database can hold (NUL, half a surrogate pair) becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Base(DeclarativeBase):
    """The parent of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        str: Words(),
        datetime: UtcTime(),
    }


def one_of(column: str, allowed: object) -> CheckConstraint:
    """The database itself refuses a word that the records do not know."""
    words = ", ".join(f"'{word}'" for word in get_args(allowed))
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")


def owner_given() -> CheckConstraint:
    """A row without an owner would belong to everybody who has no name."""
    return CheckConstraint("owner <> ''", name="owner_given")


class ConversationRow(Base):
    """Questions and answers that belong together; `updated_at` is the time of the last turn."""

    __tablename__ = "conversations"
    __table_args__ = (owner_given(), Index(None, "owner", "updated_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    title: Mapped[str]
    language: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class QuestionRow(Base):
    """What a person asked, without the photo."""

    __tablename__ = "questions"
    __table_args__ = (owner_given(),)

    id: Mapped[str] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), index=True)
    owner: Mapped[str]
    text: Mapped[str]
    place: Mapped[str | None]
    crop: Mapped[str | None]
    stage: Mapped[str | None]
    language: Mapped[str | None]
    created_at: Mapped[datetime]


class AnswerRow(Base):
    """What the person got, with the passages as they were shown, so that it can be read after the index has changed."""

    __tablename__ = "answers"
    __table_args__ = (owner_given(), one_of("kind", Kind))

    id: Mapped[str] = mapped_column(primary_key=True)
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id", ondelete="CASCADE"), index=True)
    owner: Mapped[str]
    kind: Mapped[Kind] = mapped_column(Words)
    text: Mapped[str]
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # number, passage_id, quote
    passages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # whole passages; `seen` is false for one only cited
    missing: Mapped[list[str]] = mapped_column(JSON)
    messages: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    diagnosis: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    model: Mapped[str]
    adapter: Mapped[str | None]
    index_hash: Mapped[str]
    prompt_hash: Mapped[str]
    timings_ms: Mapped[dict[str, float]] = mapped_column(JSON)
    complete: Mapped[bool]
    signed_by: Mapped[str | None]
    signed_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class FeedbackRow(Base):
    """One vote of one person on one answer; `owner` is its author."""

    __tablename__ = "feedback"
    __table_args__ = (
        owner_given(),
        UniqueConstraint("owner", "answer_id"),
        one_of("rating", Rating),
        one_of("status", FeedbackStatus),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    owner: Mapped[str]
    rating: Mapped[Rating] = mapped_column(Words)
    reasons: Mapped[list[str]] = mapped_column(JSON)
    correction: Mapped[str]
    comment: Mapped[str]
    status: Mapped[FeedbackStatus] = mapped_column(Words)
    reviewer: Mapped[str | None]
    edited_correction: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


def title_of(text: str) -> str:
    """Return the first words of a question on one line, as the name of a conversation."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"


def conversation_row(new_id: str, owner: str, question: Question, moment: datetime) -> ConversationRow:
    """Return the row of a conversation that begins with `question`."""
    title = title_of(question.text)
    return ConversationRow(
        id=new_id, owner=owner, title=title, language=question.language, created_at=moment, updated_at=moment
    )


def question_row(owner: str, conversation_id: str, question: Question, moment: datetime) -> QuestionRow:
    """Return the row of a question; the photo and the question before it are left out."""
    return QuestionRow(
        id=question.id,
        conversation_id=conversation_id,
        owner=owner,
        text=question.text,
        place=question.place,
        crop=question.crop,
        stage=question.stage,
        language=question.language,
        created_at=moment,
    )


def answer_row(owner: str, answer: Answer, moment: datetime) -> AnswerRow:
    """Return the row of an answer, with every passage that its reader may want to check."""
    return AnswerRow(
        id=answer.id,
        question_id=answer.question.id,
        owner=owner,
        kind=answer.kind,
        text=answer.text,
        citations=[{"number": c.number, "passage_id": c.passage.id, "quote": c.quote} for c in answer.citations],
        passages=_passages_as_json(answer),
        missing=list(answer.missing),
        messages=[dict(message) for message in answer.messages],
        diagnosis=_diagnosis_as_json(answer.diagnosis),
        model=answer.model,
        adapter=answer.adapter,
        index_hash=answer.index_hash,
        prompt_hash=answer.prompt_hash,
        timings_ms=dict(answer.timings_ms),
        complete=answer.complete,
        signed_by=answer.signed_by or None,
        signed_until=answer.signed_until,
        created_at=moment,
    )


def answer_from(row: AnswerRow, asked: QuestionRow, photos: tuple[Photo, ...] = ()) -> Answer:
    """Return the answer as its reader got it, with the photos that were kept of its question."""
    passages = {stored["id"]: passage_from(stored) for stored in row.passages}
    question = Question(
        id=asked.id,
        text=asked.text,
        place=asked.place,
        crop=asked.crop,
        stage=asked.stage,
        language=asked.language,
        photos=photos,
    )
    return Answer(
        id=row.id,
        question=question,
        kind=row.kind,
        text=row.text,
        citations=tuple(
            Citation(number=cited["number"], passage=passages[cited["passage_id"]], quote=cited["quote"])
            for cited in row.citations
        ),
        diagnosis=_diagnosis_from(row.diagnosis),
        missing=tuple(row.missing),
        passages=tuple(passages[stored["id"]] for stored in row.passages if stored.get("seen", True)),
        messages=tuple(row.messages),
        model=row.model,
        adapter=row.adapter,
        index_hash=row.index_hash,
        prompt_hash=row.prompt_hash,
        timings_ms=row.timings_ms,
        complete=row.complete,
        signed_by=row.signed_by or "",
        signed_until=row.signed_until,
    )


def feedback_from(row: FeedbackRow) -> Feedback:
    """Return the vote as a record."""
    return Feedback(
        id=row.id,
        answer_id=row.answer_id,
        rating=row.rating,
        author=row.owner,
        reasons=tuple(row.reasons),
        correction=row.correction,
        comment=row.comment,
        status=row.status,
        reviewer=row.reviewer,
    )


def _passages_as_json(answer: Answer) -> list[dict[str, Any]]:
    seen = {passage.id for passage in answer.passages}
    only_cited = {c.passage.id: c.passage for c in answer.citations if c.passage.id not in seen}
    return [{**asdict(passage), "seen": passage.id in seen} for passage in (*answer.passages, *only_cited.values())]


def passage_from(stored: Mapping[str, Any]) -> Passage:
    """Return a passage as it was shown. A detail that an earlier release stored and this one does not know is left out."""
    known = {field.name for field in fields(Passage)}
    details: dict[str, Any] = {}
    for name, value in stored.items():
        if name in known:
            details[name] = tuple(value) if isinstance(value, list) else value
    return Passage(**details)


def _diagnosis_as_json(diagnosis: Diagnosis | None) -> dict[str, Any] | None:
    if diagnosis is None:
        return None
    return {
        "label": diagnosis.label,
        "confidence": diagnosis.confidence,
        "certain": diagnosis.certain,
        "scope": diagnosis.scope,
        "quality": diagnosis.quality,
        "alternatives": [list(alternative) for alternative in diagnosis.alternatives],
    }


def _diagnosis_from(stored: Mapping[str, Any] | None) -> Diagnosis | None:
    if stored is None:
        return None
    alternatives = tuple((label, share) for label, share in stored["alternatives"])
    return Diagnosis(
        label=stored["label"],
        confidence=stored["confidence"],
        certain=stored["certain"],
        scope=stored.get("scope", "in"),  # the first release did not store these two
        quality=stored.get("quality", "good"),
        alternatives=alternatives,
    )
