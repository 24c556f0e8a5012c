"""How to reach the database: SQLite set up so that no write is lost, PostgreSQL, and one sentence for every failure."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, exc, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

from agri_llm.errors import BadInput, NotYours, SettingsInvalid, StoreUnavailable

SQLITE_WAIT_MILLISECONDS = 10_000  # how long a writer waits for the one before it
Transaction = Callable[[], AbstractContextManager[Session]]  # how the parts of the store read and write


def checked_address(url: str) -> URL:
    """Return the address with our PostgreSQL driver in it; the message never repeats it, for it may hold a password."""
    next_step = "write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    try:
        address = make_url(url)
    except (exc.ArgumentError, ValueError):  # ValueError: the port is not a number
        raise SettingsInvalid("AGRI_DATABASE_URL is not a database address", "nothing can be saved", next_step) from None
    if address.drivername in ("postgresql", "postgresql+psycopg"):
        return address.set(drivername="postgresql+psycopg")
    if address.drivername in ("sqlite", "sqlite+pysqlite"):
        return address
    raise SettingsInvalid(f"AGRI_DATABASE_URL begins with {address.drivername}", "only two databases are tested", next_step)


def make_engine(url: URL) -> Engine:
    """Return an engine whose errors and logs never show what people wrote."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    try:
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    except ImportError as error:
        raise SettingsInvalid(
            "The PostgreSQL driver psycopg is not installed",
            "the database cannot be reached",
            'run pip install "agri[postgres]"',
        ) from error


def _sqlite_engine(url: URL) -> Engine:
    """A file has a pool of connections; a database in memory exists in a single one and is for one thread."""
    if url.database in (None, "", ":memory:"):
        engine = create_engine(url, hide_parameters=True, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own transactions lose writes without an error
    for pragma in (
        f"busy_timeout={SQLITE_WAIT_MILLISECONDS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "secure_delete=ON",  # deleted text is overwritten in the file
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own knows the letters a to z only


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its turn before it reads: upgrading a reading transaction fails when another wrote in between."""
    reading = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _lower(words: str | float | bytes | None) -> str | float | bytes | None:
    return words.lower() if isinstance(words, str) else words


@contextmanager
def copying_tables(connection: Connection) -> Iterator[None]:
    """Let SQLite replace a table by its changed copy: with foreign keys on, dropping the old one deletes all it contains."""
    if connection.dialect.name != "sqlite":
        yield
        return
    cursor = connection.connection.cursor()  # outside a transaction, where alone this setting takes effect
    cursor.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        cursor.execute("PRAGMA foreign_keys=ON")


@contextmanager
def errors_for_people(url: URL) -> Iterator[None]:
    """Turn what a database or its driver raises into a sentence; the address is named without its password."""
    try:
        yield
    except (exc.IntegrityError, exc.DataError) as error:
        raise BadInput(
            "The database refused a record",
            "it breaks one of its rules (an unknown kind, rating or owner, or an id in use)",
            "check where the record comes from",
        ) from error
    except (exc.DBAPIError, exc.TimeoutError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise StoreUnavailable(
            f"The database {url.set(query={}).render_as_string(hide_password=True)} cannot be used ({reason})",
            "nothing can be saved or read there",
            "check that it runs and that AGRI_DATABASE_URL names it; questions are still answered",
        ) from error


def not_yours(what: str, its_id: str) -> NotYours:
    """Return the error for what belongs to another person, or to nobody: which of the two is not said."""
    return NotYours(
        f"The {what} {its_id} is not among yours", "people see and change only their own", "open one from your own list"
    )


def insert_into(session: Session, table: type[DeclarativeBase]) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can say what happens where the row is there already."""
    return postgresql.insert(table) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(table)
