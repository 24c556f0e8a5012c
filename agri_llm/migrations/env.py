"""What Alembic runs for every command: it works on the connection handed to it, inside that connection's transaction."""

from __future__ import annotations

from alembic import context

from agri_llm import photo_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=photo_tables.PhotoRow.metadata,
    render_as_batch=True,  # SQLite cannot alter most things: Alembic copies the table instead
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
