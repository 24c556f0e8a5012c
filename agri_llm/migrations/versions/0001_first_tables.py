"""Conversations, questions, answers and feedback."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the four tables."""
    _make_conversations_and_questions()
    _make_answers()
    _make_feedback()


def downgrade() -> None:
    """Remove them, with everything in them."""
    for table in ("feedback", "answers", "questions", "conversations"):
        op.drop_table(table)


def _id_and_owner(table: str) -> tuple[SchemaItem, ...]:
    """Every row has an id and belongs to somebody."""
    return (
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.CheckConstraint("owner <> ''", name=op.f(f"ck_{table}_owner_given")),
    )


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _belongs_to(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    """Rows go when the row they belong to goes."""
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}_{parent}"), ondelete="CASCADE")


def _make_conversations_and_questions() -> None:
    op.create_table(
        "conversations",
        *_id_and_owner("conversations"),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        _time("created_at"),
        _time("updated_at"),
    )
    op.create_index("ix_conversations_owner_updated_at", "conversations", ["owner", "updated_at"])
    op.create_table(
        "questions",
        *_id_and_owner("questions"),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("crop", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        _time("created_at"),
        _belongs_to("questions", "conversation_id", "conversations"),
    )
    op.create_index(op.f("ix_questions_conversation_id"), "questions", ["conversation_id"])


def _make_answers() -> None:
    op.create_table(
        "answers",
        *_id_and_owner("answers"),
        sa.Column("question_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("citations", sa.JSON(), nullable=False),
        sa.Column("passages", sa.JSON(), nullable=False),
        sa.Column("missing", sa.JSON(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("diagnosis", sa.JSON(), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=True),
        sa.Column("index_hash", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.Text(), nullable=False),
        sa.Column("timings_ms", sa.JSON(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        _time("created_at"),
        _belongs_to("answers", "question_id", "questions"),
        sa.CheckConstraint("kind IN ('advice', 'clarification', 'refusal')", name=op.f("ck_answers_kind_known")),
    )
    op.create_index(op.f("ix_answers_question_id"), "answers", ["question_id"])


def _make_feedback() -> None:
    op.create_table(
        "feedback",
        *_id_and_owner("feedback"),
        sa.Column("answer_id", sa.Text(), nullable=False),
        sa.Column("rating", sa.Text(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("correction", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=True),
        _time("created_at"),
        _time("updated_at"),
        _belongs_to("feedback", "answer_id", "answers"),
        sa.UniqueConstraint("owner", "answer_id", name=op.f("uq_feedback_owner_answer_id")),
        sa.CheckConstraint("rating IN ('up', 'down')", name=op.f("ck_feedback_rating_known")),
        sa.CheckConstraint("status IN ('new', 'approved', 'edited', 'rejected')", name=op.f("ck_feedback_status_known")),
    )
    op.create_index(op.f("ix_feedback_answer_id"), "feedback", ["answer_id"])
