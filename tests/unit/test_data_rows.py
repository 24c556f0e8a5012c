"""Files of rows, read strictly: what is wrong is one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agri_llm.errors import BadInput
from training import rows, sources
from training.data_config import Source
from training.rows import Row

DATA = Path(os.environ.get("AGRI_TEST_DATA", "")) / "instruct"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="AGRI_TEST_DATA names no folder with the question sets of others")
CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because it rains."}]}


def source(path: Path, sort: str, **more: str) -> Source:
    return Source(name="set", sort=sort, path=str(path), **more)  # type: ignore[arg-type]


def save(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n", encoding="utf-8")
    return path


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    row = Row(id="1", group="g", kind="open", language="en", source="s", messages=tuple(CHAT["messages"]), split="train")
    text = Row(id="2", group="h", kind="pretraining", language="zh", source="s", text="稻瘟病", split="test")
    assert rows.write(tmp_path / "rows.jsonl", [row, text]) == 2
    assert list(rows.read(tmp_path / "rows.jsonl")) == [row, text]
    assert "messages" not in json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[1])


@pytest.mark.parametrize(
    ("content", "sort", "said"),
    [
        (b"", "chat", "is empty"),
        (b"\n\n", "chat", "is empty"),
        (b'{"messages": [', "chat", "line 1, is not JSON"),
        (b"[1, 2]", "chat", "not a JSON object"),
        ("{\"messages\": \"é\"}".encode("latin-1"), "chat", "is not UTF-8"),
        (b'{"prompt": "a", "completion": "b"}', "chat", "'messages' is needed"),
        (b'{"messages": [{"role": "user", "content": "only asked"}]}', "chat", "no chat that ends with an answer"),
        (b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}]}', "chat", "no chat"),
        (b'{"instruction": "a"}', "alpaca", "'output' is needed"),
        (b'{"conversations": [{"from": "human", "value": "a"}]}', "sharegpt", "no chat that ends"),
        (b"question,reply\na,b\n", "csv", "the column 'answer' is needed"),
        (b"question,answer\n", "csv", "is empty"),
        (b"", "csv", "the column 'question' is needed"),
        (b"[]", "alpaca", "is empty"),
        (b"[1]", "alpaca", "row 1, is not a JSON object"),
        (b'[{"instruction": ', "alpaca", "is not JSON"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_learned_from_is_one_sentence(tmp_path: Path, content: bytes, sort: str, said: str) -> None:
    path = tmp_path / "set.file"
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        list(sources.read(source(path, sort)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file is there"):
        sources.files_of(source(tmp_path / "gone.jsonl", "chat"))


def test_chats_tables_alpaca_and_sharegpt_become_rows(tmp_path: Path) -> None:
    made = [
        *sources.read(source(save(tmp_path / "a", {**CHAT, "licence": "MIT"}), "chat")),
        *sources.read(
            source(save(tmp_path / "b", {"instruction": "Say why.", "input": "rain", "output": "It rains."}), "alpaca")
        ),
        *sources.read(source(save(tmp_path / "c", [{"instruction": "Say.", "output": "It rains often."}]), "alpaca")),
        *sources.read(
            source(
                save(tmp_path / "d", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}),
                "sharegpt",
            )
        ),
    ]
    (tmp_path / "e.csv").write_text('question,answer,language\n"Why, then?",It rains.,en\n', encoding="utf-8")
    made += sources.read(source(tmp_path / "e.csv", "csv"))
    assert [row.messages[0]["content"] for row in made] == ["Why?", "Say why.\n\nrain", "Say.", "a", "Why, then?"]
    assert made[0].licence == "MIT"


def test_a_decision_to_ask_is_taken_out_of_its_json(tmp_path: Path) -> None:
    said = {"decision": "<Clarify>", "utterance": "Which crop is it?"}
    line = {"conversations": [{"from": "human", "value": "It is sick."}, {"from": "gpt", "value": json.dumps(said)}]}
    (row,) = sources.read(source(save(tmp_path / "m", line), "sharegpt"))
    assert (row.kind, row.messages[-1]["content"]) == ("clarification", "Which crop is it?")


def test_rows_with_one_question_are_in_one_group(tmp_path: Path) -> None:
    other = {"messages": [CHAT["messages"][0], {"role": "assistant", "content": "For the sun."}]}
    one, two = sources.read(source(save(tmp_path / "a", CHAT, other), "chat"))
    assert one.group == two.group
    assert one.id != two.id


def test_an_answer_in_a_passage_becomes_the_sentence_that_holds_it_with_its_number(tmp_path: Path) -> None:
    lines = [
        {"question": "How deep?", "passage": "Beans like warm soil. Sow beans 5 cm deep in rows.", "answer": "5 cm deep"},
        {"question": "When?", "passage": "Maize is cut for silage in autumn. It is chopped.", "answer": "in autumn"},
        {"question": "What is lost?", "passage": "Nothing is said here about it at all.", "answer": "seven tonnes"},
    ]  # fmt: skip
    made = list(sources.read(source(save(tmp_path / "g", *lines), "grounded", language="en")))
    assert len(made) == 2, "an answer that no sentence holds is left out"
    assert made[0].messages[-1]["content"].startswith("Sow beans 5 cm deep in rows.[")


def test_only_approved_corrections_are_learned() -> None:
    record = {"id": "1", "messages": [{"role": "user", "content": "Passages:\n[1] x\n\nQuestion: y"}], "correction": "Do z.[1]"}
    records = [{**record, "status": status} for status in ("new", "approved", "rejected", "edited")]
    made = list(sources.corrections(records, Source(name="corrections", sort="corrections")))
    assert [(row.kind, row.messages[-1]["content"]) for row in made] == 2 * [("grounded", "Do z.[1]")]
    with pytest.raises(BadInput, match="no chat that ends with an answer"):
        list(sources.corrections([{**record, "status": "approved", "correction": ""}], Source(name="c", sort="corrections")))


@needs_data
def test_the_question_sets_of_others_are_read() -> None:
    zh = list(sources.read(source(DATA / "plant_protection_zh.jsonl", "chat")))
    asked = list(sources.read(source(DATA / "mirage_ask_or_answer_dev.jsonl", "sharegpt", language="en")))
    assert len(zh) == 546
    assert len(asked) == 464
    assert {row.kind for row in asked} == {"open", "clarification"}


@needs_data
def test_most_questions_with_a_passage_keep_a_sentence_that_answers() -> None:
    made = list(sources.read(source(DATA / "agxqa_grounded_en.jsonl", "grounded", language="en")))
    assert len(made) > 250
