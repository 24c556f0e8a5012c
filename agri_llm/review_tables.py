"""The tables of what experts say of answers and which they sign, and how rows become records; only the store uses them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from agri_llm.judgements import Comparison, Preferred, Review
from agri_llm.tables import Base, Words, one_of


class ReviewRow(Base):
    """What one expert thinks of one answer; `wants_another` says that somebody else should look at this answer too."""

    __tablename__ = "reviews"
    __table_args__ = (Index(None, "answer_id", "reviewer", unique=True), Index(None, "wants_another", "id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"))
    reviewer: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    scores: Mapped[dict[str, int]] = mapped_column(JSON)
    wrong: Mapped[list[list[int]]] = mapped_column(JSON)
    citations: Mapped[dict[str, str]] = mapped_column(JSON)  # JSON has no numbers as keys
    correction: Mapped[str]
    comment: Mapped[str]
    seconds: Mapped[float | None] = mapped_column(Double)
    wants_another: Mapped[bool]
    created_at: Mapped[datetime]


class AlternativeRow(Base):
    """A second answer to a stored question, made to be compared with the one that was shown."""

    __tablename__ = "alternatives"
    __table_args__ = (Index(None, "wants_another", "answer_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True, unique=True)
    shown_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    wants_another: Mapped[bool]
    created_at: Mapped[datetime]


class ComparisonRow(Base):
    """Which of two answers one expert prefers; `pair` names the two in a fixed order, however they were shown."""

    __tablename__ = "comparisons"
    __table_args__ = (one_of("preferred", Preferred), Index(None, "pair", "reviewer", unique=True))

    id: Mapped[str] = mapped_column(primary_key=True)
    pair: Mapped[str]
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id", ondelete="CASCADE"), index=True)
    first: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    second: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    preferred: Mapped[Preferred] = mapped_column(Words)
    reviewer: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    comment: Mapped[str]
    created_at: Mapped[datetime]


class ClaimRow(Base):
    """That an expert has an item of the queue before them, or does not want it; `item` is an answer's id or a pair.

    `draft` is what they typed so far; a claim with one outlives its time, but keeps nobody else away then.
    """

    __tablename__ = "claims"
    __table_args__ = (Index(None, "item", "reviewer", unique=True), Index(None, "skipped", "expires_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[str]
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    reviewer: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    skipped: Mapped[bool]
    expires_at: Mapped[datetime]
    draft: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class SignedRow(Base):
    """An answer that an expert vouches for: a copy of theirs, which stays when the farmer's answer goes.

    `asked` is a hash of the question without regard to case, space, punctuation and width.
    """

    __tablename__ = "signed_answers"
    __table_args__ = (Index(None, "asked"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    answer_id: Mapped[str | None] = mapped_column(ForeignKey("answers.id", ondelete="SET NULL"), index=True)
    signer: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    asked: Mapped[str]
    question: Mapped[dict[str, Any]] = mapped_column(JSON)  # text and language; the place is left out
    text: Mapped[str]
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    passages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    crop: Mapped[str | None]
    region: Mapped[str | None]
    expires_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


def pair_of(first: str, second: str) -> str:
    """Return the name of two answers that is the same whichever was shown first."""
    return " ".join(sorted((first, second)))


def review_values(review: Review) -> dict[str, Any]:
    """Return the columns of a review, without whether another is wanted."""
    return {
        "id": review.id,
        "answer_id": review.answer_id,
        "reviewer": review.reviewer,
        "scores": dict(review.scores),
        "wrong": [list(span) for span in review.wrong],
        "citations": {str(number): verdict for number, verdict in review.citations.items()},
        "correction": review.correction,
        "comment": review.comment,
        "seconds": review.seconds,
        "created_at": review.created_at,
    }


def review_from(row: ReviewRow) -> Review:
    """Return a review as a record."""
    return Review(
        id=row.id,
        answer_id=row.answer_id,
        reviewer=row.reviewer,
        scores=row.scores,  # type: ignore[arg-type]  # its keys were checked when it was stored
        wrong=tuple((start, end) for start, end in row.wrong),
        citations={int(number): verdict for number, verdict in row.citations.items()},  # type: ignore[misc]
        correction=row.correction,
        comment=row.comment,
        seconds=row.seconds,
        created_at=row.created_at,
    )


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """Return the columns of a comparison."""
    return {
        "id": comparison.id,
        "pair": pair_of(comparison.first, comparison.second),
        "question_id": comparison.question_id,
        "first": comparison.first,
        "second": comparison.second,
        "preferred": comparison.preferred,
        "reviewer": comparison.reviewer,
        "comment": comparison.comment,
        "created_at": comparison.created_at,
    }


def comparison_from(row: ComparisonRow) -> Comparison:
    """Return a comparison as a record."""
    return Comparison(
        id=row.id,
        question_id=row.question_id,
        first=row.first,
        second=row.second,
        preferred=row.preferred,
        reviewer=row.reviewer,
        comment=row.comment,
        created_at=row.created_at,
    )
