"""The tables of who signs in, of what people agree to, and of what became of advice; only the store uses them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from agri_llm.judgements import Account, Outcome, Result, Role
from agri_llm.tables import Base, Words, one_of, owner_given

LinkKind = Literal["first", "invitation", "reset"]


class AccountRow(Base):
    """Somebody who signs in; `name_key` is the name without regard to case and width, `password` an argon2 hash."""

    __tablename__ = "accounts"
    __table_args__ = (one_of("role", Role),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(index=True, unique=True)
    role: Mapped[Role] = mapped_column(Words)
    password: Mapped[str]
    active: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class LinkRow(Base):
    """A one-time link, of which only the hash is known; the row goes when it is used.

    `account_id` is set for a new password, `invited_by` names the administrator who made the link.
    """

    __tablename__ = "account_links"
    __table_args__ = (one_of("kind", LinkKind), one_of("role", Role))

    id: Mapped[str] = mapped_column(primary_key=True)
    code_sha256: Mapped[str] = mapped_column(index=True, unique=True)
    kind: Mapped[LinkKind] = mapped_column(Words)
    role: Mapped[Role] = mapped_column(Words)
    name: Mapped[str]
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    invited_by: Mapped[str | None] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]


class SignInRow(Base):
    """That somebody is signed in with one browser; `ticket_sha256` is set while the browser fetches its cookie."""

    __tablename__ = "sign_ins"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(index=True, unique=True)
    ticket_sha256: Mapped[str | None] = mapped_column(index=True, unique=True)
    ticket_expires_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]


class TriesRow(Base):
    """How often somebody tried to sign in by a name, known or not, since the last time it worked."""

    __tablename__ = "sign_in_tries"

    name_sha256: Mapped[str] = mapped_column(primary_key=True)
    tries: Mapped[int]
    last_at: Mapped[datetime]


class TrainingConsentRow(Base):
    """What a person answered when asked whether a training may learn from what they wrote."""

    __tablename__ = "training_consents"
    __table_args__ = (owner_given(), Index(None, "owner", unique=True))

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    allowed: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class OutcomeRow(Base):
    """What became of advice, as its owner said days later."""

    __tablename__ = "outcomes"
    __table_args__ = (owner_given(), UniqueConstraint("owner", "answer_id"), one_of("result", Result))

    id: Mapped[str] = mapped_column(primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    owner: Mapped[str]
    result: Mapped[Result] = mapped_column(Words)
    comment: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class OutcomeSkipRow(Base):
    """That a person did not want to say what became of advice; they are not asked again."""

    __tablename__ = "outcome_skips"
    __table_args__ = (owner_given(), UniqueConstraint("owner", "answer_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    owner: Mapped[str]
    created_at: Mapped[datetime]


def account_from(row: AccountRow) -> Account:
    """Return an account as a record, without its password."""
    return Account(id=row.id, name=row.name, role=row.role, active=row.active, created_at=row.created_at)


def outcome_from(row: OutcomeRow) -> Outcome:
    """Return an outcome as a record."""
    return Outcome(
        id=row.id,
        answer_id=row.answer_id,
        result=row.result,
        author=row.owner,
        comment=row.comment,
        created_at=row.created_at,
    )
