"""The index folder: a reader sees the old version or the new one, whatever happens to the writer or to the files."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed_writers import blast, passages

from agri_llm.errors import IndexMismatch, IndexMissing, KnowledgeError
from knowledge_base import builder
from knowledge_base import folder as index_folder
from knowledge_base import index as index_module
from knowledge_base.embedding import Embedder, Vectors, embedded_model_folder
from knowledge_base.folder import current_version, new_version, only_writer, read_manifest
from knowledge_base.index import KnowledgeBase, load_view
from knowledge_base.postings import Postings

OLD, NEW = passages("old"), passages("new")


@pytest.fixture(scope="module")
def known(embedder: Embedder) -> builder.Known:
    """The vectors of both versions, so that the many builds below need no model."""
    every = [*OLD, *NEW, blast()]
    return dict(builder.embed(every, embedder, {}))


@pytest.fixture
def write(embedder: Embedder, known: builder.Known, tmp_path: Path) -> Callable[[Sequence[Any]], Path]:
    def build(chosen: Sequence[Any]) -> Path:
        builder.build(tmp_path / "index", chosen, embedder, known=known)
        return current_version(tmp_path / "index")

    return build


@pytest.fixture
def index(write: Callable[[Sequence[Any]], Path], tmp_path: Path) -> Path:
    """An index folder with two versions: NEW before, OLD now."""
    write(NEW)
    write(OLD)
    return tmp_path / "index"


def killed(how: str, folder: Path, known: builder.Known, work: Path) -> Any:
    """Run killed_writers.py, which prints what readers found after each death."""
    arrays: dict[str, Any] = {}
    for key, (windows, sentences) in known.items():
        arrays |= {f"{key}-windows": windows, f"{key}-sentences": sentences}
    np.savez(work / "vectors.npz", **arrays)
    command = [sys.executable, str(Path(__file__).with_name("killed_writers.py")), str(folder), str(work / "vectors.npz"), how]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_writer_killed_before_any_step_leaves_the_old_version_or_the_new_one(known: builder.Known, tmp_path: Path) -> None:
    deaths = killed("steps", tmp_path / "index", known, tmp_path)
    steps = [death["step"] for death in deaths]
    assert len(steps) > 40
    assert {"open passages.jsonl", "open group.npy", "open manifest.json.new", "open CURRENT.new"} < set(steps)
    swap = steps.index("os.rename CURRENT.new")
    assert {death["found"] for death in deaths[: swap + 1]} == {"old"}
    assert {death["found"] for death in deaths[swap + 1 :]} == {"new"}
    assert any(step.startswith("os.rmdir") for step in steps[swap:])  # the version before the last is on its way out
    assert max(death["versions"] for death in deaths) == 3  # two and the dead one: the next writer clears up


def test_a_writer_killed_in_the_middle_of_a_file_leaves_the_old_version(known: builder.Known, tmp_path: Path) -> None:
    deaths = killed("halves", tmp_path / "index", known, tmp_path)
    assert [(death["step"], death["found"]) for death in deaths] == [
        ("vocabulary.json", "old"),
        ("manifest.json.new", "old"),
        ("CURRENT.new", "old"),
    ]


def test_readers_open_the_index_while_writers_are_killed_at_random_moments(known: builder.Known, tmp_path: Path) -> None:
    told = killed("random", tmp_path / "index", known, tmp_path)
    assert len(told["after"]) == 24
    assert set(told["during"]) | set(told["after"]) <= {"old", "new", "old+blast", "new+blast"}
    assert sum(told["during"].values()) > 24
    assert (told["last"], told["versions"]) == ("new", 2)


def test_a_build_killed_again_and_again_goes_on_where_it_was(known: builder.Known, tmp_path: Path) -> None:
    told = killed("resume", tmp_path / "index", known, tmp_path)
    assert told["kills"] >= 1
    assert (told["held"], told["left"]) == (60, [])
    assert told["texts"] == 60
    assert told["embedded"] <= 120 + 8 * told["kills"]  # a passage has two texts; a kill costs one chunk of four


def files_of(index: Path) -> list[Path]:
    """The files that a reader needs, relative to the index folder."""
    version = current_version(index)
    inside = [path for path in version.rglob("*") if path.is_file()]
    return [path.relative_to(index) for path in (index / "CURRENT", *inside)]


def flip(path: Path, position: int, bits: int = 1) -> bytes:
    """Change one byte of a file and return what was there before."""
    before = path.read_bytes()
    after = bytearray(before)
    after[position] ^= bits
    path.write_bytes(after)
    return before


def test_one_changed_byte_in_any_file_is_noticed(index: Path, embedder: Embedder) -> None:
    names = files_of(index)
    assert len(names) > 10
    for name in names:
        size = (index / name).stat().st_size
        for position in {0, size // 3, size - 1}:
            before = flip(index / name, position)
            with pytest.raises(IndexMismatch, match="cannot be trusted"):
                load_view(index, embedder)
            (index / name).write_bytes(before)
    assert list(load_view(index, embedder).passages) == OLD


def test_no_byte_of_the_manifest_or_the_pointer_can_be_changed(index: Path, embedder: Embedder) -> None:
    for path, step in ((current_version(index) / "manifest.json", 37), (index / "CURRENT", 5)):
        for position in range(0, path.stat().st_size, step):
            for bits in (1, 4, 0x80):
                before = flip(path, position, bits)
                with pytest.raises(IndexMismatch, match="cannot be trusted"):
                    load_view(index, embedder)
                path.write_bytes(before)


def test_a_changed_number_in_the_manifest_is_noticed(index: Path, embedder: Embedder) -> None:
    path = current_version(index) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["embedder"]["name"] = "another"
    path.write_text(json.dumps(manifest))
    with pytest.raises(IndexMismatch, match=r"manifest\.json was changed after it was written"):
        load_view(index, embedder)


def test_a_missing_or_cut_file_is_noticed(index: Path, embedder: Embedder) -> None:
    for name in files_of(index):
        path = index / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(IndexMismatch, match="cannot be trusted"):
            load_view(index, embedder)
        path.unlink()
        with pytest.raises(IndexMissing if path.name == "CURRENT" else IndexMismatch):
            load_view(index, embedder)
        path.write_bytes(whole)


def test_an_index_of_another_format_is_refused(index: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_folder, "FORMAT", 7)
    with pytest.raises(IndexMismatch, match="it has format 2, this program reads 7"):
        load_view(index, embedder)


@pytest.mark.parametrize(
    "name", ["..", ".", "", "\n", "../outside", "version-x/../../outside", "/etc", "outside", "version-\0"]
)
def test_a_pointer_that_leads_elsewhere_is_refused(index: Path, embedder: Embedder, name: str) -> None:
    version = current_version(index)
    for place in (index.parent, index.parent / "outside", index / "outside", index):
        shutil.copytree(version, place, dirs_exist_ok=True)  # whole versions, so that only the pointer is at fault
    (index / "CURRENT").write_text(name)
    with pytest.raises(IndexMismatch, match="cannot be trusted"):
        load_view(index, embedder)


def test_a_damaged_pointer_does_not_stop_a_new_build(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path]
) -> None:
    (index / "CURRENT").write_bytes(b"\xff\xfe..")
    write(NEW)
    assert list(load_view(index, embedder).passages) == NEW


def test_no_index_is_told_in_one_sentence(tmp_path: Path, embedder: Embedder) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(IndexMissing, match=rf"There is no index in {place}: .*; build one with `agri index build`\."):
            KnowledgeBase(place, embedder)


def test_an_index_of_another_embedder_is_refused_with_both_names(index: Path, embedder: Embedder) -> None:
    other = Embedder(str(embedded_model_folder()))
    with pytest.raises(IndexMismatch) as refused:
        KnowledgeBase(index, other)
    assert "built with all-MiniLM-L6-v2" in str(refused.value)
    assert f"not with {other.name}" in str(refused.value)
    with pytest.raises(IndexMismatch):
        builder.add(index, NEW, other)


def test_an_index_of_another_tokenizer_is_refused(index: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "TOKENIZER_VERSION", "words-of-tomorrow")
    with pytest.raises(IndexMismatch, match=r" and words-\d+.*, not with .* and words-of-tomorrow"):
        load_view(index, embedder)


@pytest.fixture
def other_writer(index: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the index until it is killed."""
    hold = "import fcntl, sys; lock = open(sys.argv[1]); fcntl.flock(lock, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(index / "writer.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_second_writer_is_refused_until_the_first_is_gone(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path], other_writer: subprocess.Popen[str]
) -> None:
    before = current_version(index)
    for work in (
        lambda: write(NEW),
        lambda: builder.add(index, NEW, embedder),
        lambda: builder.remove(index, ["rust"], embedder),
    ):
        with pytest.raises(KnowledgeError, match=rf"Another process is writing the index in {index}: .*; wait"):
            work()
    assert current_version(index) == before
    assert list(load_view(index, embedder).passages) == OLD  # reading needs no lock
    other_writer.kill()
    other_writer.wait()
    write(NEW)
    assert list(load_view(index, embedder).passages) == NEW


def test_a_second_thread_is_refused_like_a_second_process(index: Path, write: Callable[[Sequence[Any]], Path]) -> None:
    refused: list[KnowledgeError] = []

    def second() -> None:
        try:
            write(NEW)
        except KnowledgeError as error:
            refused.append(error)

    with only_writer(index), only_writer(index):  # the holder may enter again
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1
    write(NEW)


def test_a_writer_that_fails_leaves_the_index_as_it_was(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Postings, folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(path.name for path in index.iterdir())
    monkeypatch.setattr(Postings, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write(NEW)
    assert sorted(path.name for path in index.iterdir()) == before
    assert list(load_view(index, embedder).passages) == OLD
    monkeypatch.undo()
    write(NEW)


def test_a_body_that_raises_leaves_no_version(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_version(tmp_path / "index", {}) as version:
            (version / "passages.jsonl").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["writer.lock"]


def test_the_version_before_is_kept_and_older_ones_are_deleted(index: Path, write: Callable[[Sequence[Any]], Path]) -> None:
    second, third = write(NEW), write(OLD)
    assert sorted(index.glob("version-*")) == sorted([second, third])
    assert read_manifest(second)["passages"] == 3  # whole, so that the pointer can be set back to it
    (index / "CURRENT").write_text(second.name)
    assert current_version(index) == second


def test_the_manifest_names_every_file_of_a_version(index: Path) -> None:
    version = current_version(index)
    manifest = read_manifest(version)
    inside = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == inside - {"manifest.json"}
    assert manifest["embedder"]["dimension"] == 384
    assert not [name for name in inside if name.endswith((".pkl", ".pickle", ".pt", ".bin"))]


def test_an_open_knowledge_base_follows_a_new_version(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path]
) -> None:
    base = KnowledgeBase(index, embedder)
    assert "old" in base.search("what does the label say")[0].passage.text
    before = base.view
    assert base.view is before  # nothing is loaded again while nothing has changed
    write(NEW)
    assert "new" in base.search("what does the label say")[0].passage.text
    assert base.view.hash != before.hash


def test_a_search_under_way_ends_with_the_version_it_began_with(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path]
) -> None:
    """Between the two halves of the search, writers finish twice and delete the files that the search has open."""

    class Interrupted(Embedder):
        def questions(self, texts: Sequence[str]) -> Vectors:
            write(NEW)
            write(NEW)
            assert not base._view.version.exists()
            return embedder.questions(texts)

    base = KnowledgeBase(index, Interrupted())
    began = base.view
    hits = base.search("what does the label say")
    assert "old" in hits[0].passage.text
    assert base._view is began
    assert len(hits[0].sentences) == 1
    assert list(base.view.passages) == NEW


def test_a_version_that_a_reader_is_opening_is_kept_until_a_later_writer(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def read_then_write(version: Path, **options: Any) -> dict[str, Any]:
        manifest = read_manifest(version, **options)
        opened.append(version)
        if len(opened) == 1:
            write(NEW)
            write(NEW)
            assert version.exists()
        return manifest

    monkeypatch.setattr(index_folder, "read_manifest", read_then_write)
    assert list(load_view(index, embedder).passages) == OLD
    monkeypatch.undo()
    write(NEW)
    assert not opened[0].exists()
    assert len(list(index.glob("version-*"))) == 2


def test_a_reader_whose_version_is_deleted_before_it_opens_it_opens_the_next_one(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []

    def look_then_write(folder: Path) -> Path:
        version = current_version(folder)
        looked.append(version)
        if len(looked) == 1:
            monkeypatch.undo()
            write(NEW)
            write(NEW)
            assert not version.exists()
        return version

    monkeypatch.setattr(index_folder, "current_version", look_then_write)
    assert list(load_view(index, embedder).passages) == NEW


def test_a_version_can_be_built_beside_a_reader_in_every_thread(
    index: Path, embedder: Embedder, write: Callable[[Sequence[Any]], Path]
) -> None:
    base = KnowledgeBase(index, embedder)
    wrong: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = {hit.passage.text for hit in base.search("rust label")}
            if found not in ({each.text for each in OLD}, {each.text for each in NEW}):
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        write(NEW)
        write(OLD)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
