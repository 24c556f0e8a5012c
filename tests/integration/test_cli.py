"""The `agri` command as people run it: what it prints where, and how it ends."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import regex as re

from agri_llm import vision
from agri_llm.errors import BadInput
from agri_llm.settings import Settings
from agri_llm.store import Store
from knowledge_base.shipped import VECTORS
from ui import cli, wiring
from ui.commands import doctor, quiet, serving

HEAVY = ("torch", "transformers", "sqlalchemy", "streamlit", "faiss", "numpy", "pandas", "sentence_transformers", "pydantic")
ANSWER_KEYS = {
    "id",
    "question_id",
    "kind",
    "text",
    "citations",
    "diagnosis",
    "model",
    "note",
    "adapter",
    "prompt_hash",
    "timings_ms",
}
CITATION_KEYS = {"number", "document_id", "title", "page", "url", "quote"}
HIT_KEYS = {"passage_id", "document_id", "title", "page", "score", "text"}
OKRA = """---
id: okra-yellow-vein
title: Okra yellow vein
crops: [okra]
---
# Okra yellow vein

## What you see

Veins of okra leaves turn yellow. Fruits of the sick okra stay small and pale.

## What to do now

Pull out okra plants with yellow veins and bury them away from the field.
"""
LENTIL = """---
id: lentil-wilt
title: Lentil wilt
crops: [lentil]
---
# Lentil wilt

## What you see

Young lentil plants droop in patches and dry up within a week.
"""
ROWS = [
    {"id": "row-1", "title": "Taro", "text": "Taro leaf blight makes brown rings on taro leaves after rainy nights."},
    {"id": "row-2", "title": "Yam", "text": "Yam tubers rot in the store where the air is damp and warm."},
]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, object]]:
        """The JSON objects on standard output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Agri = Callable[..., Ended]
Process = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the index of the shipped sheets is built once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def surroundings(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings but the home, an empty working folder, and afterwards the environment as it was."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGRI_")}
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(os.environ, {**kept, "AGRI_HOME": str(home)}, clear=True):
        yield


@pytest.fixture
def agri(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Agri:
    """The command in this process, from its arguments to its exit status; the embedder stays loaded between calls."""

    def run(*arguments: object, given: str = "") -> Ended:
        parts = (wiring.settings, wiring.store, wiring.knowledge_base, wiring.language_model, wiring.assistant)
        for part in (*parts, wiring.photo_model):
            part.cache_clear()
        monkeypatch.setattr(sys, "argv", ["agri", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        capsys.readouterr()
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        return Ended(int(end.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def process() -> Iterator[Process]:
    """Start the real command, its three streams being pipes; what still runs after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ui.cli", *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def sentences(err: str) -> list[str]:
    """The lines on standard error but the one about settings."""
    return [line for line in err.splitlines() if not line.startswith("Settings: ")]


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Markdown files, a file of JSON lines, and a damaged PDF."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "okra.md").write_text(OKRA, encoding="utf-8")
    (folder / "lentil.md").write_text(LENTIL, encoding="utf-8")
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    return folder


@pytest.fixture
def index(agri: Agri, documents: Path, tmp_path: Path) -> Path:
    """A small index that a test may change."""
    agri("index", "build", "--index", tmp_path / "index", documents)
    return tmp_path / "index"


# The program itself


def test_help_comes_at_once_and_loads_nothing_heavy() -> None:
    code = f"import ui.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
    waits = []
    for _ in range(3):
        began = time.perf_counter()
        shown = subprocess.run([sys.executable, "-m", "ui.cli", "--help"], capture_output=True, text=True, check=True)
        waits.append(time.perf_counter() - began)
        assert "doctor" in shown.stdout
    assert min(waits) < 1.5, f"agri --help took {min(waits):.2f} s"


@pytest.mark.parametrize(
    "command",
    ["ask", "search", "serve", "migrate", "settings", "doctor", "vectors"]
    + [f"index {part}" for part in ("build", "add", "remove", "list")]
    + ["accounts link", "accounts list"],
)
def test_every_command_has_help(agri: Agri, command: str) -> None:
    ended = agri(*command.split(), "--help")
    assert ended.status == 0
    assert f"agri {command}" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "why?", "--batch", "-"],
        ["ask", "why?", "--photo", "/nowhere.jpg"],
        ["search", "rust", "-k", "0"],
        ["index", "remove"],
        ["serve", "--port", "70000"],
        ["fly"],
    ],
)
def test_wrong_usage_ends_with_2(agri: Agri, arguments: list[str]) -> None:
    ended = agri(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert "Traceback" not in ended.err


def test_a_setting_that_cannot_work_is_named_in_one_sentence(agri: Agri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGRI_PORT", "soon")
    ended = agri("migrate")
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 1
    assert "AGRI_PORT" in ended.err
    assert "soon" in ended.err


def test_an_error_nobody_expected_is_one_sentence_and_a_log(
    agri: Agri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_store: Store) -> list[str]:
        raise RuntimeError("the wheel came off")

    monkeypatch.setattr(Store, "migrate", broken)
    monkeypatch.setenv("AGRI_HOME", str(tmp_path))
    ended = agri("migrate")
    assert ended.status == 1
    (sentence,) = sentences(ended.err)
    assert "please report" in sentence
    (log,) = (tmp_path / "logs").iterdir()
    assert str(log) in sentence
    assert "the wheel came off" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


# Settings, database, doctor


def test_settings_say_where_they_come_from_and_cover_secrets(agri: Agri, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("AGRI_EXPERT=Mr Okello\nAGRI_SECRET=0123456789abcdef0123456789abcdef\n", encoding="utf-8")
    monkeypatch.setenv("AGRI_DATABASE_URL", "postgresql://agri:opensesame@db/agri")
    monkeypatch.setenv("AGRI_ENDPOINT_URL", "https://me:opensesame@models.example/v1")
    ended = agri("settings")
    origins = {line.split()[0]: line.split()[-1] for line in ended.out.splitlines()}
    assert ended.status == 0
    assert (origins["AGRI_EXPERT"], origins["AGRI_DATABASE_URL"], origins["AGRI_PORT"]) == (".env", "environment", "default")
    assert "Mr Okello" in ended.out
    assert "opensesame" not in ended.out
    assert "0123456789abcdef" not in ended.out


def test_migrate_names_what_it_applied_and_then_has_nothing_to_do(
    agri: Agri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGRI_HOME", str(tmp_path))
    assert "0001" in agri("migrate").out
    again = agri("migrate")
    assert (again.status, again.out) == (0, "The database has the newest schema already.\n")
    assert again.err == f"Settings: AGRI_HOME={tmp_path} (environment)\n"


def test_the_doctor_finds_nothing_wrong_in_a_new_home_and_leaves_it_empty(
    agri: Agri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGRI_HOME", str(tmp_path))
    ended = agri("doctor")
    assert ended.status == 0, ended.out
    parts = {line.split(":")[0].split(maxsplit=1)[1]: line.split()[0] for line in ended.out.splitlines()}
    assert parts["settings"] == parts["embedder"] == parts["model"] == parts["photo model"] == parts["faiss"] == "ok"
    assert parts["database"] == parts["index"] == "note"
    assert "photo model: shipped, 52 labels, photos of 224 × 224 pixels, tells what it never learned" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_calls_an_unknown_setting_and_a_lost_database_problems(
    agri: Agri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGRI_WRITR", "local")
    (tmp_path / "agri.sqlite3").write_text("this is no database")
    monkeypatch.setenv("AGRI_DATABASE_URL", f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    ended = agri("doctor")
    problems = [line for line in ended.out.splitlines() if line.startswith("problem")]
    assert ended.status == 1
    assert len(problems) == 2
    assert "AGRI_WRITR" in problems[0]
    assert "agri.sqlite3" in problems[1]


@pytest.mark.parametrize(
    ("change", "state", "says"),
    [("scope.json", "note", "what it never learned is not told"), ("photo.json", "problem", "beside the weights"),
     ("model.safetensors", "problem", "cannot be loaded")],
)  # fmt: skip
def test_the_doctor_looks_into_the_folder_of_a_photo_model(
    change: str, state: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(vision.SHIPPED, tmp_path / "model"))
    if change == "scope.json":
        (folder / change).unlink()
    else:
        (folder / change).write_text("{", encoding="utf-8")
    monkeypatch.setattr(wiring, "photo_model", lambda: vision.PhotoModel(folder))
    finding = next(each for each in doctor.examine() if each.part == "photo model")
    assert finding.state == state
    assert says in finding.value
    assert finding.remedy


def test_the_doctor_finds_two_packages_that_own_the_module_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faiss_gpu-9.9.dist-info").mkdir()
    (tmp_path / "faiss_gpu-9.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: faiss-gpu\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = doctor._faiss()
    assert finding.state == "problem"
    assert "faiss-gpu 9.9" in finding.value
    assert "faiss-cpu" in finding.value


# The index


def test_a_damaged_file_is_named_and_the_rest_is_indexed(agri: Agri, documents: Path, tmp_path: Path) -> None:
    built = agri("index", "build", "--index", tmp_path / "new", documents)
    assert built.status == 1
    (sentence,) = sentences(built.err)
    assert sentence.startswith("broken.pdf")
    assert "Indexed 4 documents" in built.out
    listed = agri("index", "list", "--json", "--index", tmp_path / "new")
    assert listed.status == 0
    assert [row["id"] for row in listed.rows] == ["lentil-wilt", "okra-yellow-vein", "row-1", "row-2"]
    assert listed.rows[1] == {
        "id": "okra-yellow-vein",
        "title": "Okra yellow vein",
        "crops": ["okra"],
        "topics": [],
        "language": "en",
        "passages": 2,
    }


def test_where_nothing_is_readable_the_old_index_stays(agri: Agri, documents: Path, index: Path) -> None:
    before = (index / "CURRENT").read_text()
    for command in ("build", "add"):
        ended = agri("index", command, "--index", index, documents / "broken.pdf")
        assert (ended.status, ended.out) == (1, "")
        assert len(sentences(ended.err)) == 2
    assert (index / "CURRENT").read_text() == before


def test_documents_are_added_replaced_and_removed(agri: Agri, index: Path, tmp_path: Path) -> None:
    changed = tmp_path / "lentil.md"
    changed.write_text(LENTIL.replace("Lentil wilt", "Wilt of lentil"), encoding="utf-8")
    assert agri("index", "add", changed, "--index", index).out == f"Added 1 document, 1 passage, in {index}.\n"
    table = agri("index", "list", "--index", index).out
    assert "Wilt of lentil" in table
    assert table.count("lentil-wilt") == 1
    assert agri("index", "remove", "lentil-wilt", "row-1", "--index", index).status == 0
    left = agri("index", "list", "--json", "--index", index)
    assert [row["id"] for row in left.rows] == ["okra-yellow-vein", "row-2"]


def test_removed_documents_can_be_compacted_away(agri: Agri, index: Path) -> None:
    agri("index", "remove", "lentil-wilt", "--index", index)
    assert agri("index", "compact", "--index", index).out == f"Compacted {index}.\n"
    left = agri("index", "list", "--json", "--index", index)
    assert [row["id"] for row in left.rows] == ["okra-yellow-vein", "row-1", "row-2"]


def test_an_unknown_id_is_not_removed(agri: Agri, index: Path) -> None:
    before = (index / "CURRENT").read_text()
    ended = agri("index", "remove", "row-1", "row-99", "--index", index)
    assert (ended.status, ended.out) == (1, "")
    assert ["'row-99'" in sentence for sentence in sentences(ended.err)] == [True]
    assert (index / "CURRENT").read_text() == before


def test_a_second_writer_is_refused(agri: Agri, documents: Path, index: Path) -> None:
    before = (index / "CURRENT").read_text()
    with (index / "writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = agri("index", "build", documents / "okra.md", "--index", index)
    assert ended.status == 1
    assert "Another process" in sentences(ended.err)[0]
    assert (index / "CURRENT").read_text() == before


@pytest.mark.parametrize(
    "arguments",
    [["ask", "why?"], ["search", "rust"], ["index", "list"], ["index", "remove", "x"], ["index", "add", "."]],
)
def test_a_named_index_that_is_missing_is_not_made(agri: Agri, arguments: list[str], tmp_path: Path) -> None:
    ended = agri(*arguments, "--index", tmp_path / "nowhere")
    assert (ended.status, ended.out) == (1, "")
    assert len(sentences(ended.err)) == 1
    assert "There is no index" in ended.err
    assert not (tmp_path / "nowhere").exists()


# Searching


def test_a_search_prints_its_hits(agri: Agri, index: Path) -> None:
    found = agri("search", "yellow veins on okra", "-k", "2", "--index", index, "--json")
    assert found.status == 0
    (row,) = found.rows
    assert set(row) == {"hits"}
    hits = row["hits"]
    assert isinstance(hits, list)
    assert len(hits) == 2
    assert all(set(hit) == HIT_KEYS for hit in hits)
    assert hits[0]["document_id"] == "okra-yellow-vein"
    assert hits[0]["score"] >= hits[1]["score"]
    assert "Veins of okra leaves turn yellow." in agri("search", "yellow veins on okra", "--index", index).out
    assert agri("search", " ", "--index", index, "--json").rows == [{"hits": []}]


def test_a_search_keeps_to_a_crop_whatever_it_is_called(agri: Agri, index: Path) -> None:
    found = agri("search", "leaves", "--crop", "Lady's finger", "--index", index, "--json").rows[0]["hits"]
    assert isinstance(found, list)
    assert found
    assert "lentil-wilt" not in {hit["document_id"] for hit in found}


def test_a_batch_of_searches_keeps_order_and_ids_beyond_one_group(agri: Agri, index: Path, tmp_path: Path) -> None:
    crops = ["okra", "lentil", "taro", "yam"]
    lines = [json.dumps({"id": number, "question": f"{crops[number % 4]} disease"}) for number in range(70)]
    lines.insert(65, "{nonsense")
    (tmp_path / "questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = agri("search", "--batch", tmp_path / "questions.jsonl", "--json", "-k", "1", "--index", index)
    assert found.status == 1
    assert [row["id"] for row in found.rows] == list(range(70))
    documents = ["okra-yellow-vein", "lentil-wilt", "row-1", "row-2"]
    assert [row["hits"][0]["document_id"] for row in found.rows] == [documents[n % 4] for n in range(70)]  # type: ignore[index]
    (sentence,) = sentences(found.err)
    assert "questions.jsonl, line 66," in sentence


# Asking


def test_an_answer_is_one_json_object_with_exactly_the_promised_keys(agri: Agri, index: Path) -> None:
    ended = agri("ask", "Why do the veins of my okra leaves turn yellow?", "--json", "--index", index)
    assert ended.status == 0
    assert ended.out.count("\n") == 1
    (answer,) = ended.rows
    assert set(answer) == ANSWER_KEYS
    assert answer["kind"] == "advice"
    citations = answer["citations"]
    assert isinstance(citations, list)
    assert all(set(citation) == CITATION_KEYS for citation in citations)
    assert [citation["number"] for citation in citations] == list(range(1, len(citations) + 1))
    assert all(citation["quote"] in OKRA for citation in citations)


def test_without_json_the_answer_is_followed_by_its_numbered_sources(agri: Agri, index: Path) -> None:
    ended = agri("ask", "Why do the veins of my okra leaves turn yellow?", "--index", index)
    text, sources = ended.out.split("\n\nSources\n")
    assert "[1]" in text
    assert sources.startswith("Okra yellow vein\n[1] What you see: “")


def test_a_refusal_is_an_answer(agri: Agri, index: Path) -> None:
    for question in ("", "x" * 2001):
        ended = agri("ask", question, "--json", "--index", index)
        assert ended.status == 0
        assert ended.rows[0]["kind"] == "refusal"


def test_details_of_the_field_reach_the_answer(agri: Agri, index: Path) -> None:
    asked = ["ask", "The leaves turn yellow, what shall I do?", "--json", "--index", index]
    assert agri(*asked).rows[0]["kind"] == "clarification"
    assert agri(*asked, "--crop", "okra").rows[0]["kind"] == "advice"


def test_a_damaged_photo_is_one_sentence_and_no_answer(agri: Agri, tmp_path: Path) -> None:
    (tmp_path / "leaf.jpg").write_bytes(b"\xff\xd8\xff")
    ended = agri("ask", "What is this?", "--photo", tmp_path / "leaf.jpg", "--json")
    assert (ended.status, ended.out) == (1, "")
    assert "leaf.jpg cannot be decoded" in sentences(ended.err)[0]


def test_a_batch_is_answered_in_order_and_bad_lines_are_named(agri: Agri, index: Path, tmp_path: Path) -> None:
    file = tmp_path / "batch.jsonl"
    file.write_bytes(
        b'\xef\xbb\xbf{"id": 7, "question": "Why do okra veins turn yellow?"}\n'
        b"not json\n"
        b"\n"
        b'{"id": "b"}\n'
        b'{"question": "no id"}\n'
        b'["id", "question"]\n'
        b'{"id": "c", "question": "yellow \xff"}\n'
        b'{"id": "d", "question": "yellow", "crop": 3}\n'
        b'{"id": "e", "question": "\\ud83d leaves are yellow, what now?", "crop": "okra", "language": null}\n'
        b'{"id": "f", "question": ""}\n'
    )
    ended = agri("ask", "--batch", file, "--json", "--index", index)
    assert ended.status == 1
    assert [row["question_id"] for row in ended.rows] == [7, "e", "f"]
    assert [row["kind"] for row in ended.rows] == ["advice", "advice", "refusal"]
    told = sentences(ended.err)
    assert [line.split("line ")[1].split(",")[0] for line in told] == ["2", "4", "5", "6", "7", "8"]
    assert all(line.startswith(str(file)) for line in told)


def test_a_batch_that_is_not_there_is_one_sentence(agri: Agri, index: Path, tmp_path: Path) -> None:
    for command in ("ask", "search"):
        for name in ("nowhere.jsonl", "."):
            ended = agri(command, "--batch", tmp_path / name, "--json", "--index", index)
            assert (ended.status, ended.out) == (1, "")
            assert len(sentences(ended.err)) == 1


needs_vectors = pytest.mark.skipif(
    not VECTORS.is_file(), reason="The vectors of the shipped sheets have not been made yet (agri vectors)."
)


@needs_vectors
def test_the_shipped_sheets_answer_from_the_first_question_and_keep_company(agri: Agri, documents: Path) -> None:
    ended = agri("ask", "How do I manage late blight in potato?", "--json")
    assert (ended.status, sentences(ended.err)) == (0, [])
    citations = ended.rows[0]["citations"]
    assert isinstance(citations, list)
    assert {citation["document_id"] for citation in citations} == {"potato-late-blight"}
    found = agri("search", "水稻稻瘟病", "-k", "1", "--json").rows[0]["hits"]
    assert isinstance(found, list)
    assert found[0]["document_id"] == "rice-blast.zh"
    sheets = len(agri("index", "list", "--json").rows)
    assert agri("index", "add", documents / "okra.md").status == 0
    assert len(agri("index", "list", "--json").rows) == sheets + 1
    assert agri("index", "build").status == 0
    assert len(agri("index", "list", "--json").rows) == sheets


# The real program: its streams, its signals


def test_what_libraries_print_never_reaches_standard_output() -> None:
    code = """
import os
from ui.commands import quiet
with quiet.results() as out:
    print("a library")
    os.write(1, b"a compiled library")
    print("the result", file=out)
print("afterwards")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "the result\nafterwards\n"
    assert "a library" in ended.stderr
    assert "a compiled library" in ended.stderr


@pytest.mark.parametrize(
    ("chosen", "given", "offline"),
    [({}, None, "1"), ({}, "0", "0"), ({"writer": "local"}, None, None), ({"embedder": "e5"}, None, None)],
)
def test_no_model_hub_is_contacted_unless_a_model_from_there_is_wanted(
    chosen: dict[str, str], given: str | None, offline: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if given is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", given)
    quiet.hush(Settings(**chosen))  # type: ignore[arg-type]
    assert os.environ.get("HF_HUB_OFFLINE") == offline


def test_standard_output_holds_the_answer_alone_and_standard_error_nothing_strange(process: Process, index: Path) -> None:
    asked = process("ask", os.fsdecode(b"Why do okra veins turn yellow \xff?"), "--json", "--index", index)
    out, err = asked.communicate(timeout=200)
    assert asked.returncode == 0
    assert out.count("\n") == 1
    assert json.loads(out)["kind"] == "advice"
    assert sentences(err) == []


def test_a_batch_answers_line_by_line_and_ctrl_c_ends_it_quietly(process: Process, index: Path) -> None:
    asked = process("ask", "--batch", "-", "--json", "--index", index)
    assert asked.stdin
    assert asked.stdout
    for number in range(2):  # the second line is written only after the first has been answered
        print(json.dumps({"id": number, "question": ""}), file=asked.stdin, flush=True)
        assert json.loads(asked.stdout.readline())["question_id"] == number
    asked.send_signal(signal.SIGINT)
    out, err = asked.communicate(timeout=30)
    assert (asked.returncode, out, sentences(err)) == (130, "", [])


def test_a_reader_that_goes_away_ends_a_batch_quietly(process: Process, index: Path) -> None:
    asked = process("ask", "--batch", "-", "--json", "--index", index)
    assert asked.stdin
    assert asked.stdout
    print('{"id": 1, "question": ""}', file=asked.stdin, flush=True)
    asked.stdout.readline()
    asked.stdout.close()
    print('{"id": 2, "question": ""}', file=asked.stdin, flush=True)
    asked.stdin.close()
    assert asked.stderr
    assert sentences(asked.stderr.read()) == []
    assert asked.wait(30) == 1


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def test_a_port_in_use_is_one_sentence(agri: Agri) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = agri("serve", "--port", port)
    assert (ended.status, ended.out) == (1, "")
    (sentence,) = sentences(ended.err)
    assert f"Port {port} is in use" in sentence


@pytest.mark.skipif(not serving.PAGE.is_file(), reason="The web page has not been written yet.")
@pytest.mark.skipif(not VECTORS.is_file(), reason="The vectors of the shipped sheets have not been made yet (agri vectors).")
def test_the_link_for_the_first_administrator_is_printed_until_there_is_one(
    agri: Agri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGRI_HOME", str(tmp_path))
    assert "Nobody has an account" in agri("accounts", "list").out
    first, second = (agri("accounts", "link").out.strip() for _ in range(2))
    assert first != second
    assert second.startswith("http://localhost:")
    store = Store(f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    with pytest.raises(BadInput):
        store.accounts.accept(first.split("code=")[1], "Amina", "maize after beans")
    store.accounts.accept(second.split("code=")[1], "Amina", "maize after beans")
    ended = agri("accounts", "link")
    assert (ended.status, ended.out) == (1, "")
    assert "There is an administrator already" in ended.err
    assert re.search(r"^Amina +administrator +active", agri("accounts", "list").out)


def test_the_page_is_served_until_ctrl_c(process: Process) -> None:
    port = free_port()
    server = process("serve", "--port", port)
    assert server.stdout
    assert f"http://localhost:{port}" in server.stdout.readline()
    assert _health(port, server) == {"status": "ok"}
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)
    assert server.returncode == 0, err
    # whether the second line was read ahead with the first one is chance
    assert all(line.startswith("There is no administrator yet") for line in out.splitlines())
    assert "Traceback" not in err


def _health(port: int, server: subprocess.Popen[str]) -> object:
    """Ask until the server answers, or has ended."""
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/api/health", timeout=60) as reply:
                return json.load(reply)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.3)
    return server.returncode


@needs_vectors
def test_the_shipped_sheets_are_listed_and_counted_by_crop_topic_and_language(agri: Agri) -> None:
    sheets = agri("index", "list", "--crop", "番茄", "--topic", "virus", "--language", "zh", "--json").rows
    assert {row["id"] for row in sheets} >= {"tomato-yellow-leaf-curl.zh", "tomato-mosaic-virus.zh"}
    assert all("tomato" in row["crops"] and "virus" in row["topics"] and row["language"] == "zh" for row in sheets)  # type: ignore[operator]
    table = agri("index", "list", "--by", "crop").out.splitlines()
    assert table[0].split() == ["CROP", "DOCUMENTS"]
    (counts,) = agri("index", "list", "--by", "language", "--json").rows
    assert counts["en"] == counts["zh"] >= 180  # type: ignore[operator]
    assert agri("index", "list", "--by", "colour").status == 2


@needs_vectors
def test_a_chinese_question_is_answered_from_chinese_sheets(agri: Agri) -> None:
    ended = agri("ask", "番茄晚疫病怎么防治？", "--json")
    (answer,) = ended.rows
    assert (ended.status, answer["kind"], answer["note"]) == (0, "advice", "")
    assert {citation["document_id"] for citation in answer["citations"]} == {"tomato-late-blight.zh"}  # type: ignore[attr-defined]
    assert re.search(r"\p{Han}{8}", str(answer["text"]))


@needs_vectors
@pytest.mark.parametrize(
    ("question", "language", "sheet", "note"),
    [
        ("¿Cómo controlo el gusano cogollero en maíz?", "es", "maize-fall-armyworm", "inglés"),
        ("Comment lutter contre la rouille du caféier ?", "fr", "coffee-leaf-rust", "anglais"),
        ("Nitadhibiti vipi viwavi jeshi kwenye mahindi?", "sw", "maize-fall-armyworm", "Kiingereza"),
        ("आलू में पछेती झुलसा कैसे रोकें?", "hi", "potato-late-blight", "अंग्रेज"),
    ],
)
def test_a_question_in_another_language_finds_its_sheet_and_is_told_the_language_of_the_quotes(
    agri: Agri, question: str, language: str, sheet: str, note: str
) -> None:
    (answer,) = agri("ask", question, "--language", language, "--json").rows
    assert answer["kind"] == "advice"
    assert sheet in {citation["document_id"] for citation in answer["citations"]}  # type: ignore[attr-defined]
    assert note in str(answer["note"])
    assert str(answer["note"]) in agri("ask", question, "--language", language).out
