"""What Alembic runs for every command: it works on the connection handed to it, inside that connection's transaction."""

from __future__ import annotations

from alembic import context

from agri_llm import account_tables, photo_tables, promotion_tables, review_tables  # noqa: F401 - tables of Base.metadata
from agri_llm.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most things: Alembic copies the table instead
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
