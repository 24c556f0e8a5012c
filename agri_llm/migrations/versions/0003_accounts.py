"""Accounts with their links and sign-ins, consent to training, and what became of advice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the seven tables."""
    _make_accounts()
    _make_links()
    _make_sign_ins()
    _make_training_consents()
    _make_outcomes()


def downgrade() -> None:
    """Remove them, with everything in them."""
    for table in (
        "outcome_skips",
        "outcomes",
        "training_consents",
        "sign_in_tries",
        "sign_ins",
        "account_links",
        "accounts",
    ):
        op.drop_table(table)


def _id(table: str) -> tuple[sa.Column[str], sa.PrimaryKeyConstraint]:
    return sa.Column("id", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}"))


def _owner(table: str) -> tuple[sa.Column[str], sa.CheckConstraint]:
    return (
        sa.Column("owner", sa.Text(), nullable=False),
        sa.CheckConstraint("owner <> ''", name=op.f(f"ck_{table}_owner_given")),
    )


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _belongs_to(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    """Rows go when the row they belong to goes."""
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}_{parent}"), ondelete="CASCADE")


def _index(table: str, column: str, unique: bool = False) -> None:
    op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=unique)


def _make_accounts() -> None:
    op.create_table(
        "accounts",
        *_id("accounts"),
        _text("name"),
        _text("name_key"),
        _text("role"),
        _text("password"),
        sa.Column("active", sa.Boolean(), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("role IN ('agronomist', 'administrator')", name=op.f("ck_accounts_role_known")),
    )
    _index("accounts", "name_key", unique=True)


def _make_links() -> None:
    op.create_table(
        "account_links",
        *_id("account_links"),
        _text("code_sha256"),
        _text("kind"),
        _text("role"),
        _text("name"),
        _text("account_id", nullable=True),
        _text("invited_by", nullable=True),
        _time("expires_at"),
        _time("created_at"),
        _belongs_to("account_links", "account_id", "accounts"),
        _belongs_to("account_links", "invited_by", "accounts"),
        sa.CheckConstraint("kind IN ('first', 'invitation', 'reset')", name=op.f("ck_account_links_kind_known")),
        sa.CheckConstraint("role IN ('agronomist', 'administrator')", name=op.f("ck_account_links_role_known")),
    )
    _index("account_links", "code_sha256", unique=True)
    _index("account_links", "account_id")
    _index("account_links", "invited_by")


def _make_sign_ins() -> None:
    op.create_table(
        "sign_ins",
        *_id("sign_ins"),
        _text("account_id"),
        _text("token_sha256"),
        _text("ticket_sha256", nullable=True),
        _time("ticket_expires_at", nullable=True),
        _time("expires_at"),
        _time("created_at"),
        _belongs_to("sign_ins", "account_id", "accounts"),
    )
    _index("sign_ins", "account_id")
    _index("sign_ins", "token_sha256", unique=True)
    _index("sign_ins", "ticket_sha256", unique=True)
    op.create_table(
        "sign_in_tries",
        _text("name_sha256"),
        sa.Column("tries", sa.Integer(), nullable=False),
        _time("last_at"),
        sa.PrimaryKeyConstraint("name_sha256", name=op.f("pk_sign_in_tries")),
    )


def _make_training_consents() -> None:
    op.create_table(
        "training_consents",
        *_id("training_consents"),
        *_owner("training_consents"),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        _time("created_at"),
        _time("updated_at"),
    )
    _index("training_consents", "owner", unique=True)


def _make_outcomes() -> None:
    op.create_table(
        "outcomes",
        *_id("outcomes"),
        *_owner("outcomes"),
        _text("answer_id"),
        _text("result"),
        _text("comment"),
        _time("created_at"),
        _time("updated_at"),
        _belongs_to("outcomes", "answer_id", "answers"),
        sa.UniqueConstraint("owner", "answer_id", name=op.f("uq_outcomes_owner_answer_id")),
        sa.CheckConstraint("result IN ('worked', 'partly', 'failed')", name=op.f("ck_outcomes_result_known")),
    )
    _index("outcomes", "answer_id")
    op.create_table(
        "outcome_skips",
        *_id("outcome_skips"),
        *_owner("outcome_skips"),
        _text("answer_id"),
        _time("created_at"),
        _belongs_to("outcome_skips", "answer_id", "answers"),
        sa.UniqueConstraint("owner", "answer_id", name=op.f("uq_outcome_skips_owner_answer_id")),
    )
    _index("outcome_skips", "answer_id")
