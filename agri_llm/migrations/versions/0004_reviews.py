"""What experts say of answers: reviews, comparisons, claims of the queue, signed answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the five tables, and the columns that say who signed an answer and how a correction was edited."""
    _make_reviews()
    _make_alternatives()
    _make_comparisons()
    _make_claims()
    _make_signed_answers()
    op.add_column("answers", _text("signed_by", nullable=True))
    op.add_column("answers", _time("signed_until", nullable=True))
    op.add_column("feedback", _text("edited_correction", nullable=True))


def downgrade() -> None:
    """Remove them, with everything in them."""
    for table, column in (("feedback", "edited_correction"), ("answers", "signed_until"), ("answers", "signed_by")):
        with op.batch_alter_table(table) as changed:
            changed.drop_column(column)
    for table in ("signed_answers", "claims", "comparisons", "alternatives", "reviews"):
        op.drop_table(table)


def _id(table: str) -> tuple[sa.Column[str], sa.PrimaryKeyConstraint]:
    return _text("id"), sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}"))


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _belongs_to(table: str, column: str, parent: str, then: str = "CASCADE") -> sa.ForeignKeyConstraint:
    """Rows go when the row they belong to goes."""
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}_{parent}"), ondelete=then)


def _index(table: str, *columns: str, unique: bool = False) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=unique)


def _make_reviews() -> None:
    op.create_table(
        "reviews",
        *_id("reviews"),
        _text("answer_id"),
        _text("reviewer"),
        _json("scores"),
        _json("wrong"),
        _json("citations"),
        _text("correction"),
        _text("comment"),
        sa.Column("seconds", sa.Double(), nullable=True),
        _flag("wants_another"),
        _time("created_at"),
        _belongs_to("reviews", "answer_id", "answers"),
        _belongs_to("reviews", "reviewer", "accounts"),
    )
    _index("reviews", "answer_id", "reviewer", unique=True)
    _index("reviews", "reviewer")
    _index("reviews", "wants_another", "id")


def _make_alternatives() -> None:
    op.create_table(
        "alternatives",
        *_id("alternatives"),
        _text("answer_id"),
        _text("shown_id"),
        _flag("wants_another"),
        _time("created_at"),
        _belongs_to("alternatives", "answer_id", "answers"),
        _belongs_to("alternatives", "shown_id", "answers"),
    )
    _index("alternatives", "answer_id", unique=True)
    _index("alternatives", "shown_id")
    _index("alternatives", "wants_another", "answer_id")


def _make_comparisons() -> None:
    words = "'first', 'second', 'both_good', 'both_bad'"
    op.create_table(
        "comparisons",
        *_id("comparisons"),
        _text("pair"),
        _text("question_id"),
        _text("first"),
        _text("second"),
        _text("preferred"),
        _text("reviewer"),
        _text("comment"),
        _time("created_at"),
        _belongs_to("comparisons", "question_id", "questions"),
        _belongs_to("comparisons", "first", "answers"),
        _belongs_to("comparisons", "second", "answers"),
        _belongs_to("comparisons", "reviewer", "accounts"),
        sa.CheckConstraint(f"preferred IN ({words})", name=op.f("ck_comparisons_preferred_known")),
    )
    _index("comparisons", "pair", "reviewer", unique=True)
    for column in ("question_id", "first", "second", "reviewer"):
        _index("comparisons", column)


def _make_claims() -> None:
    op.create_table(
        "claims",
        *_id("claims"),
        _text("item"),
        _text("answer_id"),
        _text("reviewer"),
        _flag("skipped"),
        _time("expires_at"),
        sa.Column("draft", sa.JSON(), nullable=True),
        _belongs_to("claims", "answer_id", "answers"),
        _belongs_to("claims", "reviewer", "accounts"),
    )
    _index("claims", "item", "reviewer", unique=True)
    _index("claims", "answer_id")
    _index("claims", "reviewer")
    _index("claims", "skipped", "expires_at")


def _make_signed_answers() -> None:
    op.create_table(
        "signed_answers",
        *_id("signed_answers"),
        _text("answer_id", nullable=True),
        _text("signer"),
        _text("asked"),
        _json("question"),
        _text("text"),
        _json("citations"),
        _json("passages"),
        _text("crop", nullable=True),
        _text("region", nullable=True),
        _time("expires_at"),
        _time("withdrawn_at", nullable=True),
        _time("created_at"),
        _belongs_to("signed_answers", "answer_id", "answers", then="SET NULL"),
        _belongs_to("signed_answers", "signer", "accounts"),
    )
    for column in ("answer_id", "signer", "asked"):
        _index("signed_answers", column)
