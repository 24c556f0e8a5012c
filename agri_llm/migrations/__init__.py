"""How the database grows from one release to the next, without losing a row."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from agri_llm.errors import AgriError

SchemaState = Literal["current", "behind", "newer", "empty"]

_ONE_AT_A_TIME = 4_283_611_907  # any fixed number: the PostgreSQL lock for which two starting servers compete


def config(connection: Connection, *more_versions: Path) -> Config:
    """Return what Alembic needs to find our revisions, those in the folders `more_versions`, and the database.

    With it `alembic.command` runs inside the transaction of `connection`; there is no alembic.ini.
    """
    here = Path(__file__).parent
    folders = "\n".join(str(folder) for folder in (here / "versions", *more_versions))
    settings = Config()
    settings.set_main_option("script_location", str(here).replace("%", "%%"))
    settings.set_main_option("path_separator", "newline")
    settings.set_main_option("version_locations", folders.replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def state(settings: Config) -> SchemaState:
    """Say how the tables in the database compare with those this release knows."""
    known = ScriptDirectory.from_config(settings)
    present = set(MigrationContext.configure(settings.attributes["connection"]).get_current_heads())
    if not present:
        return "empty"
    if present - {script.revision for script in known.walk_revisions()}:
        return "newer"
    return "current" if present == set(known.get_heads()) else "behind"


def upgrade(settings: Config) -> list[str]:
    """Bring the database to the newest revision and return the revisions applied, in order.

    Raises AgriError where a later release has changed the database, or where a row would point nowhere afterwards.
    """
    connection: Connection = settings.attributes["connection"]
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    if state(settings) == "newer":
        raise AgriError(
            f"The database has the schema {', '.join(MigrationContext.configure(connection).get_current_heads())}",
            "a later release of this program made it, and this one could damage it",
            "start the later release, or restore the backup made before it was installed",
        )
    scripts = ScriptDirectory.from_config(settings)
    present = MigrationContext.configure(connection).get_current_heads()
    missing = [script.revision for script in scripts.iterate_revisions("heads", present or "base")]
    command.upgrade(settings, "head")
    _refuse_lost_rows(connection)
    return missing[::-1]


def _refuse_lost_rows(connection: Connection) -> None:
    """SQLite does not watch foreign keys while tables are copied, so they are checked before the change is kept."""
    if connection.dialect.name != "sqlite":
        return
    lost = connection.execute(text("PRAGMA foreign_key_check")).first()
    if lost is not None:
        raise AgriError(
            f"The table {lost[0]} would hold a row whose {lost[2]} is gone",
            "the new schema would lose what people wrote, so nothing was changed",
            "keep the database file as it is and report this sentence",
        )
