"""How an index lies in PostgreSQL: its tables, how to reach them, and one sentence for everything that can go wrong.

    agri_index.pointer   one row: the version in use and its manifest; whoever reads it sees the rest of the same moment
    agri_index_<n>       a version: passages, windows, words, groups; a build writes the next one, and the one before is kept

Passages are numbered from 0 in the order in which they came; a number is never given twice within a version.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    exc,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.schema import CreateSchema, CreateTable

from agri_llm.database import make_engine
from agri_llm.errors import AgriError, IndexMissing, KnowledgeError, SettingsInvalid

try:
    from pgvector.sqlalchemy import HALFVEC
except ImportError as error:
    raise SettingsInvalid(
        "The package pgvector is not installed", "an index in PostgreSQL cannot be read", 'run pip install "agri[postgres]"'
    ) from error

SCHEMA = "agri_index"
WRITER = int.from_bytes(b"agriindx")  # number of the advisory lock that a writer holds; of this database alone
OLDEST_PGVECTOR = (0, 8)  # the first whose approximate search goes on until a filter let enough through

pointer = Table(
    "pointer",
    MetaData(schema=SCHEMA),
    Column("only", Boolean, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("manifest", JSON, nullable=False),
)

# Of each version; `at_version` says in which schema they are.
versioned = MetaData()
groups = Table(
    "groups",  # what a filter looks at, once for all passages that have the same
    versioned,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("crop", ARRAY(Text), nullable=False),
    Column("region", ARRAY(Text), nullable=False),
    Column("language", Text, nullable=False),
    Column("translation", Boolean, nullable=False),
)
passages = Table(
    "passages",
    versioned,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("document_id", Text, nullable=False, index=True),
    Column("group_id", Integer, nullable=False),
    Column("record", Text, nullable=False),  # JSON, written and read as it stands
    Column("words", Integer, nullable=False),  # how many it has
    Column("key", LargeBinary, nullable=False),  # names what was embedded
    Column("sentences", LargeBinary, nullable=False),  # (sentences, dimensions) one signed byte each, times the scale
    Column("scales", LargeBinary, nullable=False),  # (sentences,) float32
)
windows = Table(
    "windows",
    versioned,
    Column("passage", BigInteger, primary_key=True, autoincrement=False),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("group_id", Integer, nullable=False, index=True),
    Column("vector", HALFVEC(), nullable=False),  # of unit length
)
words = Table(
    "words",  # in which passages a word stands, and how often; passages that were removed may still be named
    versioned,
    Column("word", Text, primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),  # number of the first passage written with it
    Column("passages", LargeBinary, nullable=False),  # ascending numbers, uint32
    Column("counts", LargeBinary, nullable=False),  # uint16
)


def schema_of(version: int) -> str:
    """Name the schema of a version."""
    return f"{SCHEMA}_{version}"


def at_version(connection: Connection, version: int) -> Connection:
    """Let the tables of `versioned` mean those of a version from now on."""
    return connection.execution_options(schema_translate_map={None: schema_of(version)})


class Database:
    """A PostgreSQL database that holds an index or shall hold one; closed after use."""

    def __init__(self, url: str) -> None:
        """Take a SQLAlchemy address; nothing is reached before the first use.

        Raises SettingsInvalid, which never repeats the address: it may hold a password.
        """
        try:
            self._url = make_url(url)
        except (exc.ArgumentError, ValueError):
            raise _unusable_address("is not a database address") from None
        if self._url.drivername not in ("postgresql", "postgresql+psycopg"):
            raise _unusable_address(f"begins with {self._url.drivername}")
        self._url = self._url.set(drivername="postgresql+psycopg")
        self.engine = make_engine(self._url)
        self.name = self._url.set(query={}).render_as_string(hide_password=True)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that sees one moment and changes nothing."""
        with self._errors(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction to the only writer; what it wrote is seen when it ends well, and never otherwise.

        A second writer is refused with KnowledgeError; a killed one holds nothing.
        """
        with self._errors(), self.engine.begin() as connection:
            if not connection.scalar(select(func.pg_try_advisory_xact_lock(WRITER))):
                raise KnowledgeError(
                    f"Another process is writing the index in {self.name}",
                    "two writers would lose each other's work",
                    "wait until it has finished, then try again",
                )
            yield connection

    def prepare(self, connection: Connection) -> None:
        """Make sure that vectors can be kept and that the pointer has its table. Raises KnowledgeError without pgvector."""
        installed = select(text("extversion")).select_from(text("pg_extension")).where(text("extname = 'vector'"))
        found = connection.scalar(installed)
        if found is None:
            try:
                with connection.begin_nested():
                    connection.execute(text("CREATE EXTENSION vector"))
            except exc.DBAPIError as error:
                raise self._without_pgvector("has no extension named vector") from error
            found = connection.scalar(installed)
        if tuple(int(part) for part in str(found).split(".")[:2]) < OLDEST_PGVECTOR:
            raise self._without_pgvector(f"has pgvector {found}")
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
        connection.execute(CreateTable(pointer, if_not_exists=True))

    def _without_pgvector(self, found: str) -> KnowledgeError:
        return KnowledgeError(
            f"The database {self.name} {found}",
            "it cannot compare meanings without pgvector 0.8 or newer",
            "ask its administrator to install pgvector on the server and to run CREATE EXTENSION vector (or, where it is old,"
            " ALTER EXTENSION vector UPDATE) in this database",
        )

    def missing(self) -> IndexMissing:
        """Say that there is no index."""
        return IndexMissing(f"There is no index in {self.name}", "nothing can be searched", "build one with `agri index build`")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the database or its driver raises into a sentence."""
        try:
            yield
        except AgriError:
            raise
        except (exc.DBAPIError, exc.TimeoutError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            if getattr(cause, "sqlstate", None) in ("42P01", "3F000"):  # no such table, no such schema
                raise self.missing() from error
            reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
            raise KnowledgeError(
                f"The index database {self.name} cannot be used ({reason})",
                "nothing in it can be searched or changed",
                "check that it runs, that AGRI_INDEX_DATABASE names it and that its user may make schemas in it",
            ) from error


def _unusable_address(found: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"AGRI_INDEX_DATABASE {found}",
        "an index outside a folder lies in PostgreSQL",
        "write postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, or leave it empty for a folder",
    )
