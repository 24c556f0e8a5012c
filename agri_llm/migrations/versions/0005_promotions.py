"""Decisions about which adapter writes the answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "promotions",
        _text("id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("kind"),
        _text("adapter", nullable=True),
        _text("sha256"),
        sa.Column("share", sa.Double(), nullable=False),
        _text("run"),
        _text("by"),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
        sa.CheckConstraint(
            "kind IN ('promoted', 'rolled_back', 'canary', 'canary_stopped')", name=op.f("ck_promotions_kind_known")
        ),
    )
    op.create_index(op.f("ix_promotions_number"), "promotions", ["number"], unique=True)


def downgrade() -> None:
    """Remove it, with every decision."""
    op.drop_table("promotions")


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)
