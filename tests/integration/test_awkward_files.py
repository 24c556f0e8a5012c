"""Files that break programs end in passages or in one sentence; nothing in them is run, and the others are read."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from awkward_files import CASES, MAIZE, Awkward, endless_pages, pdf, write

from agri_llm.errors import AgriError, DocumentUnreadable
from agri_llm.names import shown
from agri_llm.records import Passage
from knowledge_base import files, texts
from knowledge_base.documents import Document
from knowledge_base.languages import with_languages
from knowledge_base.passages import cut
from knowledge_base.reading import Limits, Reader, read_all, read_passages
from ui import wiring
from ui.commands import indexing
from ui.commands.places import FolderPlace

LIMITS = Limits(memory_bytes=1024**3, computing_seconds=4, waiting_seconds=20)
SECRET = "TOP-SECRET-OF-THE-HOUSE"


@dataclass
class Bait:
    """What a file must not reach: a web server that remembers who asked, a file to be made, a file with a secret."""

    port: int
    mark: Path
    secret: Path
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bait]:
    folder = tmp_path_factory.mktemp("bait")
    (folder / "secret.txt").write_text(SECRET, encoding="utf-8")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            bait.asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    bait = Bait(port=server.server_port, mark=folder / "made", secret=folder / "secret.txt")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield bait
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """One worker for all files, so that each also shows that those before did it no harm."""
    with Reader(LIMITS) as one:
        yield one


def passages(parts: list[Document | DocumentUnreadable]) -> list[Passage]:
    return [passage for part in parts if isinstance(part, Document) for passage in cut(part)]


def sentence(parts: list[Document | DocumentUnreadable]) -> DocumentUnreadable:
    (error,) = parts
    assert isinstance(error, DocumentUnreadable)
    assert error.what
    assert error.why
    assert error.next_step
    return error


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_awkward_file_ends_in_passages_or_one_sentence(case: Awkward, reader: Reader, bait: Bait, tmp_path: Path) -> None:
    path = write(case, tmp_path, PORT=str(bait.port), MARK=str(bait.mark), SECRET=str(bait.secret))
    parts = reader.read(path, shown(path.name))
    if case.refused:
        error = sentence(parts)
        assert shown(path.name) in str(error)
        assert str(tmp_path) not in str(error)
        assert case.refused in str(error)
        return
    found = passages(parts)
    text = " ".join(" ".join(passage.text.split()) for passage in found)
    for words in case.holds:
        assert " ".join(words.split()) in text
    for words in (*case.lacks, SECRET):
        assert words not in text
    assert all(shown(passage.title) == passage.title for passage in found)
    documents = with_languages([part for part in parts if isinstance(part, Document)])
    assert {document.language for document in documents} == {case.language}
    assert not bait.mark.exists()
    assert bait.asked == []


def test_the_web_server_would_have_noticed(bait: Bait) -> None:
    import urllib.request

    with pytest.raises(OSError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{bait.port}/script", timeout=5)
    assert bait.asked == ["/script"]
    bait.asked.clear()


# What the worker can do to us, and we to it


def test_a_file_that_never_ends_is_given_up_and_the_next_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(endless_pages())
    (tmp_path / "b.txt").write_text(MAIZE, encoding="utf-8")
    started = time.monotonic()
    first, second = read_all([tmp_path], Limits(computing_seconds=1))
    assert "a.pdf takes more than 1 seconds of computing" in str(first)
    assert isinstance(second, Document)
    assert time.monotonic() - started < 15


def test_the_clock_ends_what_the_limit_on_computing_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(endless_pages())
    (error,) = read_all([tmp_path], Limits(waiting_seconds=1.5))
    assert "a.pdf takes more than 1.5 seconds" in str(error)


def test_a_file_that_needs_too_much_memory_is_given_up_and_the_next_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json.dumps({"text": MAIZE * 300}).encode() * 10_000)
    (tmp_path / "b.txt").write_text(MAIZE, encoding="utf-8")
    first, second = read_all([tmp_path], Limits(memory_bytes=120 * 1024**2))
    assert "a.jsonl takes more than 120 MB of memory" in str(first)
    assert isinstance(second, Document)


def test_a_file_that_answers_too_much_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Maize wants sun.\n" * 100_000, encoding="utf-8")
    (error,) = read_all([tmp_path], Limits(answer_bytes=1024**2))
    assert "more than 1 MB of text" in str(error)


def worker_of(reader: Reader) -> psutil.Process:
    assert reader._worker is not None
    return psutil.Process(reader._worker.pid)


@pytest.mark.parametrize("blow", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_costs_one_file(tmp_path: Path, blow: signal.Signals) -> None:
    hard, easy = tmp_path / "a.pdf", tmp_path / "b.txt"
    hard.write_bytes(endless_pages())
    easy.write_text(MAIZE, encoding="utf-8")
    with Reader(Limits()) as reader:
        reader.read(easy, "b.txt")
        before = worker_of(reader)
        threading.Timer(0.5, before.send_signal, [blow]).start()
        error = sentence(reader.read(hard, "a.pdf"))
        assert "a.pdf" in error.what
        assert blow.name in error.what
        assert len(passages(reader.read(easy, "b.txt"))) == 1
        assert worker_of(reader).pid != before.pid


def test_a_worker_that_died_between_two_files_is_replaced_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text(MAIZE, encoding="utf-8")
    with Reader(Limits()) as reader:
        reader.read(path, "b.txt")
        worker_of(reader).kill()
        time.sleep(0.2)
        assert len(passages(reader.read(path, "b.txt"))) == 1


def test_no_worker_stays_behind(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text(MAIZE, encoding="utf-8")
    with Reader(Limits()) as reader:
        reader.read(path, "b.txt")
        worker = worker_of(reader)
    assert not worker.is_running()


def test_the_worker_knows_no_secrets_and_cannot_write_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGRI_SECRET", SECRET)
    monkeypatch.setenv("AGRI_DATABASE_URL", f"postgresql://agri:{SECRET}@db/agri")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    path = tmp_path / "b.txt"
    path.write_text(MAIZE, encoding="utf-8")
    with Reader(LIMITS) as reader:
        reader.read(path, "b.txt")
        worker = worker_of(reader)
        assert SECRET not in " ".join([*worker.environ().values(), *worker.cmdline()])
        assert set(worker.environ()) <= {"LC_ALL", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LD_LIBRARY_PATH", "TZ"}
        limits = {name: worker.rlimit(getattr(psutil, f"RLIMIT_{name}"))[1] for name in ("AS", "CORE", "FSIZE", "NPROC")}
        assert limits == {"AS": LIMITS.memory_bytes, "CORE": 0, "FSIZE": 0, "NPROC": 0}
        assert worker.rlimit(psutil.RLIMIT_CPU)[0] <= LIMITS.computing_seconds + 5


def test_a_module_beside_the_documents_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json.py", "yaml.py", "pypdf.py", "sitecustomize.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'made')!r}, 'w')\nraise SystemExit\n", encoding="utf-8")
    (tmp_path / "a.pdf").write_bytes(pdf([MAIZE]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert MAIZE in passages(list(read_all([Path("a.pdf")])))[0].text
    assert not (tmp_path / "made").exists()


# Names and places


def test_links_pipes_and_sockets_in_a_folder_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "real.pdf").mkdir(parents=True)
    (folder / "real.pdf" / "inside.txt").write_text(MAIZE, encoding="utf-8")
    (tmp_path / "outside.txt").write_text("Outside.", encoding="utf-8")
    (folder / "out.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "dangling.txt").symlink_to(tmp_path / "nothing.txt")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.txt")
    (folder / "photo.JPG").write_bytes(b"\xff\xd8")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(folder / "socket.txt"))
        (document,) = read_all([folder])
    assert isinstance(document, Document)
    assert document.path == "real.pdf/inside.txt"


def test_a_pipe_a_device_or_a_broken_link_that_is_named_is_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nothing.txt")
    for name in ("pipe.txt", "loop.txt", "dangling.txt"):
        assert name in str(sentence(list(read_all([tmp_path / name]))))
    with Reader(LIMITS) as reader:
        assert "not a plain file" in str(sentence(reader.read(tmp_path / "pipe.txt", "pipe.txt")))


def test_a_link_that_a_person_names_is_followed_and_one_swapped_in_later_is_not(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text(MAIZE, encoding="utf-8")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    (document,) = read_all([tmp_path / "link.txt"])
    assert isinstance(document, Document)
    assert document.path == "link.txt"
    with Reader(LIMITS) as reader:
        assert "cannot be opened" in str(sentence(reader.read(tmp_path / "link.txt", "link.txt")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_one_may_not_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(MAIZE, encoding="utf-8")
    path.chmod(0)
    assert "permission denied" in str(sentence(list(read_all([path]))))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 30_000_000)  # takes tens of milliseconds to read twice
    stopped = threading.Event()

    def write_on() -> None:
        with path.open("ab", buffering=0) as stream:
            while not stopped.wait(0.001):
                stream.write(b"a")

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        with pytest.raises(DocumentUnreadable, match=r"a\.txt changed while it was read"):
            files.content(path, "a.txt")
    finally:
        stopped.set()
        writer.join()
    assert len(files.content(path, "a.txt")) > 30_000_000


def test_a_file_that_disappears_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    (tmp_path / "a.txt").write_text(MAIZE, encoding="utf-8")
    path.write_text(MAIZE, encoding="utf-8")
    parts = read_all([tmp_path / "a.txt", path])
    next(parts)
    path.unlink()
    assert "b.txt cannot be opened" in str(sentence(list(parts)))


def test_one_document_under_two_names_gives_its_passages_once(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"{MAIZE} Sow it when the first rains have come.", encoding="utf-8")
    found, faults = read_passages([tmp_path])
    assert ([passage.document_id for passage in found], faults) == (["a"], [])


def test_languages_of_rows_are_told_apart(tmp_path: Path) -> None:
    rows = [
        "Mahindi huhitaji udongo wenye rutuba na mvua ya kutosha. Panda mbegu bora mapema.",
        "गेहूँ में रतुआ रोग पत्तियों पर पीले धब्बे बनाता है और उपज घटाता है।" * 2,
        "Aplique el fertilizante antes de la lluvia y siembre el maíz a tiempo.",
        "Adubação do milho: aplique o calcário dois meses antes do plantio da cultura.",
        "Maize wants sun and loose soil, and it should be sown when the first rains come.",
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    assert [part.language for part in read_all([tmp_path]) if isinstance(part, Document)] == ["sw", "hi", "es", "pt", "en"]


# Sizes


def test_a_text_of_200_mb_is_refused_before_it_is_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as stream:
        for _ in range(200):
            stream.write(b"Maize wants sun\n" * 65_536)
    started = time.monotonic()
    assert f"{texts.MAX_TEXT_BYTES // 1024**2} MB" in str(sentence(list(read_all([path]))))
    assert time.monotonic() - started < 10


def test_a_text_just_below_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("玉米喜光。\n" * (texts.MAX_TEXT_BYTES // 16), encoding="utf-8")
    (document,) = read_all([path])
    assert isinstance(document, Document)
    assert document.language == "zh"


def test_rows_of_200_mb_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as stream:
        for number in range(190):
            stream.write(b'{"id": "%d", "text": "' % number + b"Maize wants sun " * 65_000 + b'"}\n')
    assert sum(isinstance(part, Document) for part in read_all([path])) == 190


def test_ten_thousand_small_files_are_quick(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05}.txt").write_text(f"Plot {number} was sown with maize on the first day.", encoding="utf-8")
    started = time.monotonic()
    assert sum(isinstance(part, Document) for part in read_all([tmp_path])) == 10_000
    seconds = time.monotonic() - started
    record_property("seconds", seconds)
    assert seconds < 60


def test_an_index_is_built_from_a_folder_of_them_and_the_faults_are_told_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    slow = ("pages of 400 million", "line of a million", "word of a million", "CSV with a very long")
    cases = [case for case in CASES.values() if not case.what.startswith(slow)]
    for number, case in enumerate(cases):
        (folder / str(number)).mkdir(parents=True)
        write(case, folder / str(number))
    told: list[AgriError] = []
    place = FolderPlace(folder=tmp_path / "index", embedder=wiring.embedder())
    written = indexing.build(place, [folder], told.append)
    refused = [case for case in cases if case.refused and case.name not in ("a.jpg", "...txt")]  # those are skipped
    assert written.unreadable == len(refused) + 3  # and three broken lines among sound ones
    assert written.documents > 20  # most of them say the same
    assert len(told) == 21
    assert f"{written.unreadable - 20} more files or rows cannot be read" in str(told[-1])
    assert all(str(tmp_path) not in str(error) for error in told)
