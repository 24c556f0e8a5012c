"""The tables of the photos that people let us keep, and how their rows become records and back; only the store uses them.

A photo is a column of its row, so it comes and goes in one transaction with what refers to it. That suits what a question can
bring: at most six photos, each a JPEG of at most 1600 pixels, a few hundred kilobytes. Photos by the million want a place of
their own.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import Double, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from agri_llm.records import Diagnosis, FeedbackStatus, Photo, PhotoLabel, Scope, new_id
from agri_llm.tables import Base, Words, one_of, owner_given


class ConsentRow(Base):
    """That a person lets us keep the photos of all their questions; the row goes when they take it back."""

    __tablename__ = "photo_consents"
    __table_args__ = (owner_given(), Index(None, "owner", unique=True))

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    created_at: Mapped[datetime]


class PhotoRow(Base):
    """A photo by the hash of its content; it belongs to whoever has a `QuestionPhotoRow` for it, and goes with the last."""

    __tablename__ = "photos"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    width: Mapped[int]
    height: Mapped[int]
    created_at: Mapped[datetime]


class QuestionPhotoRow(Base):
    """That a photo belongs to a question, in which place, and the diagnosis that was shown with it."""

    __tablename__ = "question_photos"
    __table_args__ = (owner_given(), one_of("scope", Scope), Index(None, "question_id", "position", unique=True))

    id: Mapped[str] = mapped_column(primary_key=True)
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id", ondelete="CASCADE"))
    photo_sha256: Mapped[str] = mapped_column(ForeignKey("photos.sha256"), index=True)
    owner: Mapped[str]
    position: Mapped[int]
    label: Mapped[str | None]
    confidence: Mapped[float | None] = mapped_column(Double)
    certain: Mapped[bool | None]
    scope: Mapped[Scope | None] = mapped_column(Words)
    created_at: Mapped[datetime]


class PhotoLabelRow(Base):
    """What a person says that a photo of their question shows; `owner` is its author."""

    __tablename__ = "photo_labels"
    __table_args__ = (
        owner_given(),
        one_of("status", FeedbackStatus),
        Index(None, "question_photo_id", "owner", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    question_photo_id: Mapped[str] = mapped_column(ForeignKey("question_photos.id", ondelete="CASCADE"))
    owner: Mapped[str]
    label: Mapped[str]
    comment: Mapped[str]
    status: Mapped[FeedbackStatus] = mapped_column(Words)
    reviewer: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


def photo_values(photo: Photo, moment: datetime) -> dict[str, object]:
    """Return the columns of a photo; its hash is counted here, so that nobody gets another's photo by naming its hash."""
    sha256 = hashlib.sha256(photo.data).hexdigest()
    return {
        "sha256": sha256,
        "data": photo.data,
        "width": photo.width,
        "height": photo.height,
        "created_at": moment,
    }


def link_values(
    owner: str, question_id: str, position: int, sha256: object, found: Diagnosis | None, moment: datetime
) -> dict[str, object]:
    """Return the columns that say where a photo belongs and what was shown with it."""
    return {
        "id": new_id(),
        "question_id": question_id,
        "photo_sha256": sha256,
        "owner": owner,
        "position": position,
        "label": None if found is None else found.label,
        "confidence": None if found is None else found.confidence,
        "certain": None if found is None else found.certain,
        "scope": None if found is None else found.scope,
        "created_at": moment,
    }


def photo_from(row: PhotoRow) -> Photo:
    """Return a photo as a record."""
    return Photo(data=row.data, sha256=row.sha256, width=row.width, height=row.height)


def label_from(row: PhotoLabelRow, of: QuestionPhotoRow) -> PhotoLabel:
    """Return what somebody said of a photo as a record."""
    return PhotoLabel(
        id=row.id,
        sha256=of.photo_sha256,
        label=row.label,
        author=row.owner,
        seen=of.label or "",
        comment=row.comment,
        status=row.status,
        reviewer=row.reviewer,
        created_at=row.created_at,
    )
