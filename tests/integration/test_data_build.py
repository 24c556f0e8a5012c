"""A data set from sheets to `agri data check`: built, killed, taken up again, stopped by a planted case, written by a model."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from some_sheets import copied
from typer.testing import CliRunner

from agri_llm.errors import BadInput
from agri_llm.language.endpoint import EndpointModel
from agri_llm.prompts import PROMPT_HASH
from knowledge_base import shipped
from training import data_check, data_config, dataset, examined, rows
from training.dataset import Build
from training.rows import SPLITS, file_hash, question_of
from ui.cli import app
from ui.commands import data as data_commands

CONFIGS = Path(__file__).resolve().parents[2] / "training/configs"
CHILD = """
import sys
from pathlib import Path
from knowledge_base import shipped
from training import data_config
from training.dataset import Build
shipped.CORPUS = Path(sys.argv[1])
Build(config=data_config.read(Path(sys.argv[2])), out=Path(sys.argv[3]), tell=lambda text: print(text, flush=True)).run()
"""


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("sheets") / "corpus")


@pytest.fixture
def corpus(sheets: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shipped, "CORPUS", sheets)
    monkeypatch.setattr(dataset, "PART", 4)
    return sheets


@pytest.fixture(scope="module")
def first(sheets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "CORPUS", sheets)
        patch.setattr(dataset, "PART", 4)
        built(configured(folder / "config.yaml"), folder / "out")
    return folder / "out"


@pytest.fixture
def finished(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "out"))


def configured(path: Path, **more: Any) -> Path:
    """Write a configuration of the few sheets; so few groups need larger shares for every side to get one."""
    sheets = {"name": "sheets", "sort": "sheets", "pretraining": True, **more.pop("sheets", {})}
    said = {"validation": 0.25, "test": 0.25, "evaluation": [], "sources": [sheets, *more.pop("sources", [])], **more}
    path.write_text(yaml.safe_dump(said), encoding="utf-8")
    return path


def built(path: Path, out: Path, **more: Any) -> dict[str, Any]:
    return Build(config=data_config.read(path), out=out, **more).run()


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in sorted(folder.glob("*")) if path.is_file()}


def test_every_configuration_can_be_read(tmp_path: Path) -> None:
    for path in sorted(CONFIGS.glob("data*.yaml")):
        config = data_config.read(path, tmp_path)
        assert config.sources[0].sort == "sheets"
        assert "sheets (sheets)" in data_config.described(config)


def test_documents_that_cannot_be_read_are_named_and_the_others_make_rows(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "manuals"
    folder.mkdir()
    for sheet in sorted(corpus.rglob("*.md"))[:3]:
        shutil.copy(sheet, folder)
    (folder / "torn.pdf").write_bytes(b"%PDF-1.7 torn")
    told: list[str] = []
    manuals = {"name": "manuals", "sort": "documents", "path": str(folder)}
    config = configured(tmp_path / "config.yaml", sources=[manuals])
    manifest = built(config, tmp_path / "out", tell=told.append)
    assert [line for line in told if line.startswith("left out: ") and "torn.pdf" in line]
    notes = {note["step"]: note for note in manifest["steps"]}
    assert notes["1-manuals-unclear"]["counts"] == {"documents that cannot be read": 1}
    assert notes["1-manuals-001"]["rows_out"] > 0
    for sheet in folder.glob("*.md"):
        sheet.unlink()
    with pytest.raises(BadInput, match=r"torn\.pdf"):
        built(config, tmp_path / "none")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("sources: []", "names no sources"),
        ("sources: [{name: a, sort: sheets}]\nsead: 1", "sets 'sead'"),
        ("sources: [{name: a, sort: sheets, wieght: 1}]", "sets 'wieght'"),
        ("sources: [{name: a, sort: pdf, path: b}]", "of sort 'pdf'"),
        ("sources: [{name: a, sort: chat}]", "has no path"),
        ("sources: [{sort: sheets}]", "without 'name'"),
        ("sources: [{name: a, sort: sheets}, {name: a, sort: sheets}]", "two sources named 'a'"),
        ("sources: [{name: a, sort: sheets}]\nseed: zero", "sets seed to 'zero'"),
        ("sources: [{name: a, sort: sheets}]\ntest: 0.99\nvalidation: 0.5", "sets validation to 0.5"),
        ("sources: [{name: a, sort: sheets}]\nmost_of_a_kind: {poem: 3}", "limits 'poem'"),
        ('sources: [{name: a, sort: chat, path: "{data}/x"}]', "give --data FOLDER"),
        ("- a", "names no sources"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, said: str, sentence: str) -> None:
    (tmp_path / "config.yaml").write_text(said, encoding="utf-8")
    with pytest.raises(BadInput) as error:
        data_config.read(tmp_path / "config.yaml")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("corpus")
def test_a_data_set_is_built_checked_and_described(tmp_path: Path) -> None:
    config, out = configured(tmp_path / "config.yaml"), tmp_path / "out"
    run = CliRunner().invoke(data_commands.app, ["build", str(config), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "The data set is in" in run.output
    manifest = dataset.manifest_of(out)
    assert manifest["prompt_hash"] == PROMPT_HASH
    assert sum(manifest["rows"].values()) > 200
    kinds = {row.kind for split in SPLITS for row in rows.read(out / f"{split}.jsonl")}
    assert kinds == {"grounded", "refusal", "clarification", "followup", "pretraining"}
    steps = {note["step"]: note for note in manifest["steps"]}
    assert list(steps)[-6:] == ["2-clean", "3-sound", "4-unrepeated", "5-untested", "6-split", "7-mixed"]
    assert steps["2-clean"]["rows_in"] == sum(note["rows_out"] for name, note in steps.items() if name.startswith("1-"))
    checked = CliRunner().invoke(data_commands.app, ["check", str(out)])
    assert "Every row is as it should be" in checked.output
    shown = CliRunner().invoke(data_commands.app, ["card", str(out)]).output
    assert "## By kind" in shown
    assert "| potato |" in shown
    assert "| zh |" in shown


@pytest.mark.usefixtures("corpus")
def test_a_changed_row_or_an_unfinished_folder_is_found_by_the_check(finished: Path) -> None:
    out = finished
    file = out / "test.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("[1]", "[9]", 1), encoding="utf-8")
    with pytest.raises(BadInput, match=r"test\.jsonl is not what the build wrote"):
        data_check.check(out)
    (out / "manifest.json").unlink()
    with pytest.raises(BadInput, match="not finished"):
        data_check.check(out)


def test_a_killed_build_goes_on_and_gives_the_same_bytes(corpus: Path, first: Path, tmp_path: Path) -> None:
    config = configured(tmp_path / "config.yaml")
    whole, killed = first, tmp_path / "killed"
    command = [sys.executable, "-c", CHILD, str(corpus), str(config), str(killed)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert child.stdout
    told = []
    for line in child.stdout:
        told.append(line)
        if line.startswith("2-clean: working"):
            time.sleep(0.02)  # somewhere inside the step
            child.send_signal(signal.SIGKILL)
            break
    child.wait(timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert not (killed / "manifest.json").exists()
    collected = {path.name: path.stat().st_mtime_ns for path in (killed / "steps").glob("1-*.jsonl")}
    assert collected
    again = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    assert "1-sheets-001: working" not in again.stdout
    assert {name: (killed / "steps" / name).stat().st_mtime_ns for name in collected} == collected
    for split in SPLITS:
        assert (killed / f"{split}.jsonl").read_bytes() == (whole / f"{split}.jsonl").read_bytes()


@pytest.mark.usefixtures("corpus")
def test_a_second_build_does_nothing_again_and_a_changed_setting_does(finished: Path, tmp_path: Path) -> None:
    out, said = finished, list[str]()
    first = dataset.manifest_of(out)
    before = hashes(out)
    built(configured(tmp_path / "config.yaml"), out, tell=said.append)
    assert not [text for text in said if text.endswith("working")]
    assert hashes(out) == before
    second = built(configured(tmp_path / "other.yaml", seed=5), out)
    assert second["files"] != first["files"]


@pytest.mark.usefixtures("corpus")
def test_a_planted_evaluation_case_stops_the_build_and_names_the_row(finished: Path, tmp_path: Path) -> None:
    out = finished
    taught = next(row for row in rows.read(out / "train.jsonl") if row.kind == "grounded")
    case = tmp_path / "case.jsonl"
    case.write_text(json.dumps({"id": "planted", "question": question_of(taught)}) + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"repeats .*case\.jsonl, line 1"):
        built(configured(tmp_path / "tested.yaml", evaluation=[str(case)]), out)
    assert not (out / "manifest.json").exists()
    left = built(configured(tmp_path / "left.yaml", evaluation=[str(case)], leave_out_overlaps=True), out)
    assert left["steps"][-3]["counts"] == {"repeats an evaluation case": 1}
    assert left["evaluation"] == {"case.jsonl": file_hash(case)}


@pytest.mark.usefixtures("corpus")
def test_sections_that_a_case_asks_about_stand_in_test_and_are_counted(tmp_path: Path) -> None:
    case, out = tmp_path / "case.jsonl", tmp_path / "out"
    fact = next(one.text for one in shipped.sheets() if one.document_id == "rice-blast" and one.heading == "Prevention")
    said = {"id": "1", "kind": "grounded", "question": "What keeps blast away?", "sheets": ["rice-blast"], "facts": [fact]}
    case.write_text(json.dumps(said) + "\n", encoding="utf-8")
    manifest = built(configured(tmp_path / "config.yaml", evaluation=[str(case)]), out)
    groups = {split: [row.group for row in rows.read(out / f"{split}.jsonl")] for split in SPLITS}
    held = groups["test"].count(f"rice-blast{examined.MARK}")
    assert held > 4
    assert f"rice-blast{examined.MARK}" not in groups["train"] + groups["validation"]
    counts = manifest["steps"][-2]["counts"]
    assert counts["for test because evaluation asks about the section"] == held
    assert f"all {held} rows about them stand in test" in (out / "card.md").read_text(encoding="utf-8")
    data_check.check(out)
    case.write_text(json.dumps({**said, "facts": ["said in other words"]}) + "\n", encoding="utf-8")
    again = built(configured(tmp_path / "config.yaml", evaluation=[str(case)]), out)
    assert again["steps"][-2]["counts"]["for test because evaluation asks about the section"] > held, "the whole sheet"


@pytest.mark.usefixtures("corpus")
def test_files_of_others_come_beside_the_sheets_and_a_broken_one_stops_with_one_sentence(
    finished: Path, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.csv"
    lines = [f"How many bees live in hive {n}?,About {n} thousand bees live in it in summer." for n in range(40)]
    pairs.write_text("question,answer\n" + "\n".join(lines) + "\n", encoding="utf-8")
    config, out = configured(tmp_path / "config.yaml"), finished
    run = CliRunner().invoke(data_commands.app, ["build", str(config), "--out", str(out), "--add", f"csv={pairs}"])
    assert run.exit_code == 0, run.output
    assert sum(row.source == "pairs" for split in SPLITS for row in rows.read(out / f"{split}.jsonl")) > 30
    pairs.write_bytes("question,answer\ncaf\u00e9,b\n".encode("latin-1"))
    run = CliRunner().invoke(data_commands.app, ["build", str(config), "--out", str(out), "--add", f"csv={pairs}"])
    assert isinstance(run.exception, BadInput)
    assert "is not UTF-8" in str(run.exception)


class Author(BaseHTTPRequestHandler):
    """A server that writes questions about the passage it is sent: a sound pair, a false dose, and once no JSON at all."""

    asked: int = 0

    def do_GET(self) -> None:
        self._send("application/json", json.dumps({"data": [{"id": "author"}]}).encode())

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked += 1
        passage = request["messages"][-1]["content"]
        sentence = passage.split(". ")[-1].lstrip("- ").rstrip(".\n")
        pairs = [
            {"question": "What is said about my potato here?", "answer": f"{sentence}.[1]"},
            {"question": "How much do I spray on potato?", "answer": f"{sentence}, at 37 ml per litre.[1]"},
            {"question": "What else is said about my potato?", "answer": f"{sentence}."},
        ]
        text = "I would rather not." if type(self).asked == 1 else json.dumps({"pairs": pairs})
        events = [{"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self._send("text/event-stream", body.encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def author() -> Iterator[EndpointModel]:
    Author.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Author)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    yield EndpointModel(address, "author", None, timeout_seconds=10, max_new_tokens=500, temperature=0)
    server.shutdown()


@pytest.mark.usefixtures("corpus")
def test_what_a_model_writes_is_learned_only_where_the_passage_carries_it(tmp_path: Path, author: EndpointModel) -> None:
    config, out = configured(tmp_path / "config.yaml", languages=["en"], sheets={"written": 3}), tmp_path / "out"
    manifest = built(config, out, reply=author.reply)
    told: dict[str, int] = {}
    for note in manifest["steps"]:
        for name, number in note["counts"].items():
            told[name] = told.get(name, 0) + (number if name.startswith("written") else 0)
    assert told["written: number"] > 10, "the false dose is dropped"
    assert told["written: no citation"] > 10
    assert told["written: not the JSON that was asked for"] == 1
    learned = [
        row for split in SPLITS for row in rows.read(out / f"{split}.jsonl") if "said about my potato" in question_of(row)
    ]
    assert len(learned) > 10
    assert not any("37 ml" in row.messages[-1]["content"] for row in learned)
    asked = Author.asked
    for path in (out / "steps").glob("1-*.json*"):
        path.unlink()
    built(config, out, reply=author.reply)
    assert Author.asked == asked, "what was written is kept and not asked for again"
    data_check.check(out)


def test_the_shipped_sheets_give_five_thousand_rows_without_a_model() -> None:
    """A twentieth of the sheets, with every form, gives more than a twentieth of 5,000; the whole takes a minute."""
    from training import instruction, unanswerable
    from training.library import Library

    library = Library.of(shipped.sheets(), ("en", "zh"))
    some = list(library.documents)[::20]
    made = [*instruction.rows(library, "sheets", some), *unanswerable.refusals(library, "sheets", some)]
    assert len(made) * len(library.documents) / len(some) > 5000


def test_documents_named_on_the_command_line_are_read_on_and_written_about() -> None:
    config = data_commands._with(data_config.read(CONFIGS / "data.yaml"), ["documents=manuals", "csv=pairs.csv"], [])
    manuals, pairs = config.sources[-2:]
    assert (manuals.name, manuals.pretraining, manuals.written) == ("manuals", True, 3)
    assert (pairs.name, pairs.pretraining, pairs.written) == ("pairs", False, 0)


def test_a_full_disk_is_one_sentence_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Build) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Build, "run", full)
    found = CliRunner().invoke(app, ["data", "build", str(CONFIGS / "data-smoke.yaml"), "--out", str(tmp_path / "rows")])
    assert isinstance(found.exception, BadInput)
    assert str(found.exception).startswith(f"the disk of {tmp_path / 'rows'} is full: ")
