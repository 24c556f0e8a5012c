"""Real databases for the tests: a SQLite file, and a PostgreSQL server started for this run and thrown away after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agri_llm.store import Store


class PostgresServer:
    """A PostgreSQL server in a temporary folder, reached through a socket in that folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.account = _account()
        if self.account is not None:
            shutil.chown(folder, self.account, None)
        self._run("initdb", "--auth=trust", "--username=agri", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self._run("pg_ctl", "start", "--wait", f"--options={options}", f"--log={self.folder / 'log'}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://agri@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database and return its SQLAlchemy address."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(f"host={self.folder} user=agri dbname=postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        """Run a PostgreSQL program; its output goes to a file because the server it starts keeps a pipe open for ever."""
        command = [str(self.programs / program), f"--pgdata={self.folder / 'data'}", *arguments]
        with tempfile.TemporaryFile() as output:
            status = subprocess.run(
                command, cwd=self.folder, user=self.account, stdout=output, stderr=output, timeout=60, check=False
            ).returncode
            output.seek(0)
            assert status == 0, output.read().decode()


def _account() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as the account its package made, or as nobody."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL programs of this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).resolve().parent if on_path else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = _programs()
    if programs is None:
        sentence = "PostgreSQL's programs (initdb, pg_ctl) are not installed, so nothing was tried on PostgreSQL."
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    folder = Path(tempfile.mkdtemp(prefix="agri-pg-"))
    try:
        server = PostgresServer(programs, folder)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database; a test that asks for it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'agri.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store with all its tables and nothing in them."""
    store = Store(database_url)
    store.migrate()
    yield store
    store.close()
