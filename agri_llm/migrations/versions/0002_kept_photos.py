"""Photos that people let us keep, where they belong, and what people say they show."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the four tables of photos."""
    _make_consents_and_photos()
    _make_question_photos()
    _make_photo_labels()


def downgrade() -> None:
    """Remove them, with every photo."""
    for table in ("photo_labels", "question_photos", "photos", "photo_consents"):
        op.drop_table(table)


def _id_and_owner(table: str) -> tuple[SchemaItem, ...]:
    return (
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.CheckConstraint("owner <> ''", name=op.f(f"ck_{table}_owner_given")),
    )


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _make_consents_and_photos() -> None:
    op.create_table("photo_consents", *_id_and_owner("photo_consents"), _time("created_at"))
    op.create_index(op.f("ix_photo_consents_owner"), "photo_consents", ["owner"], unique=True)
    op.create_table(
        "photos",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_photos")),
    )


def _make_question_photos() -> None:
    op.create_table(
        "question_photos",
        *_id_and_owner("question_photos"),
        sa.Column("question_id", sa.Text(), nullable=False),
        sa.Column("photo_sha256", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("certain", sa.Boolean(), nullable=True),
        sa.Column("scope", sa.Text(), nullable=True),
        _time("created_at"),
        sa.ForeignKeyConstraint(
            ["question_id"], ["questions.id"], name=op.f("fk_question_photos_question_id_questions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["photo_sha256"], ["photos.sha256"], name=op.f("fk_question_photos_photo_sha256_photos")),
        sa.CheckConstraint("scope IN ('in', 'unknown_plant', 'not_a_plant')", name=op.f("ck_question_photos_scope_known")),
    )
    op.create_index(
        op.f("ix_question_photos_question_id_position"), "question_photos", ["question_id", "position"], unique=True
    )
    op.create_index(op.f("ix_question_photos_photo_sha256"), "question_photos", ["photo_sha256"])


def _make_photo_labels() -> None:
    op.create_table(
        "photo_labels",
        *_id_and_owner("photo_labels"),
        sa.Column("question_photo_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=True),
        _time("created_at"),
        _time("updated_at"),
        sa.ForeignKeyConstraint(
            ["question_photo_id"],
            ["question_photos.id"],
            name=op.f("fk_photo_labels_question_photo_id_question_photos"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("status IN ('new', 'approved', 'edited', 'rejected')", name=op.f("ck_photo_labels_status_known")),
    )
    op.create_index(
        op.f("ix_photo_labels_question_photo_id_owner"), "photo_labels", ["question_photo_id", "owner"], unique=True
    )
