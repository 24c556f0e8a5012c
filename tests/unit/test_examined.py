"""Which sections a model is examined on, and that what is asked of them stands on the test side."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from some_sheets import copied, passages

from agri_llm.errors import BadInput
from agri_llm.records import Passage
from knowledge_base import shipped
from training import cases, contamination, data_check, data_config, examined, instruction, mixing, rows, unanswerable
from training.data_config import DataConfig, Source
from training.library import Library
from training.rows import Row, question_of

SHEET = "potato-late-blight"
CONFIG = DataConfig(sources=(Source(name="sheets", sort="sheets"),))


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> list[Passage]:
    return passages(copied(tmp_path_factory.mktemp("sheets")))


def saved(path: Path, **more: Any) -> Path:
    case = {"id": "1", "kind": "grounded", "language": "en", "question": "Why?", "sheets": [SHEET], **more}
    path.write_text(json.dumps(case) + "\n", encoding="utf-8")
    return path


def found(path: Path, sheets: list[Passage]) -> dict[str, set[str]]:
    """The examined sections of each document, by their headings."""
    ids = Library.of(sheets, ("en", "zh"), [path]).examined
    headings: dict[str, set[str]] = {}
    for passage in sheets:
        if passage.id in ids:
            headings.setdefault(passage.document_id, set()).add(passage.heading)
    return headings


def sentence(sheets: list[Passage], heading: str) -> str:
    text = next(one.text for one in sheets if one.document_id == SHEET and one.heading == heading)
    return text.split(". ")[0].removeprefix("- ")


def test_the_section_that_holds_a_fact_is_examined_in_both_languages(sheets: list[Passage], tmp_path: Path) -> None:
    path = saved(tmp_path / "suite.jsonl", facts=[sentence(sheets, "Prevention")])
    assert found(path, sheets) == {SHEET: {"Prevention"}, f"{SHEET}.zh": {"预防措施"}}


def test_a_right_choice_is_found_and_a_wrong_one_is_not_looked_for(sheets: list[Passage], tmp_path: Path) -> None:
    choices = [sentence(sheets, "Prevention"), sentence(sheets, "What it is")]
    path = saved(tmp_path / "suite.jsonl", kind="choice", choices=choices, right=1)
    assert found(path, sheets)[SHEET] == {"What it is"}


def test_a_sheet_that_says_the_answer_in_other_words_is_examined_as_a_whole(sheets: list[Passage], tmp_path: Path) -> None:
    path = saved(tmp_path / "suite.jsonl", facts=["It is said nowhere in these words."])
    assert found(path, sheets)[SHEET] == {one.heading for one in sheets if one.document_id == SHEET}


def test_other_kinds_of_cases_and_tables_examine_no_section(sheets: list[Passage], tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("question,answer\nWhy?,Because.\n", encoding="utf-8")
    for path in (table, saved(tmp_path / "suite.jsonl", kind="retrieval"), saved(tmp_path / "other.jsonl", sheets="none")):
        assert found(path, sheets) == {}


def test_a_case_without_its_right_choice_is_one_sentence(sheets: list[Passage], tmp_path: Path) -> None:
    for more in ({"choices": ["a", "b"], "right": 2}, {"choices": ["a", "b"]}, {"facts": "a text"}):
        with pytest.raises(BadInput, match=r"suite\.jsonl, line 1, is no whole case"):
            found(saved(tmp_path / "suite.jsonl", kind="grounded" if "facts" in more else "choice", **more), sheets)


def test_an_amount_is_not_found_inside_a_larger_one() -> None:
    assert examined._words("5 °C") not in examined._words("It stops at 15 °C.")
    assert examined._words("5 °C") in examined._words("It stops at 5 °C.")


def test_no_row_for_learning_shows_an_examined_section_and_none_is_lost(sheets: list[Passage], tmp_path: Path) -> None:
    path = saved(tmp_path / "suite.jsonl", facts=[sentence(sheets, "Prevention"), sentence(sheets, "What you see")])
    library, plain = (Library.of(sheets, ("en", "zh"), tests) for tests in ([path], []))
    texts = [one.text for one in sheets if one.id in library.examined]
    assert len(texts) == 4
    made = made_of(library)
    split = list(mixing.with_splits(CONFIG)(made, counts := Counter()))
    held = [row for row in split if row.group == SHEET + examined.MARK]
    assert counts["for test because evaluation asks about the section"] == len(held)
    assert {row.kind for row in held} >= {"grounded", "pretraining"}
    assert {row.split for row in held} == {"test"}
    for row in split:
        said = row.text or "\n".join(message["content"] for message in row.messages)
        if row.split != "test":
            assert not any(text in said for text in texts), row
    assert {row.group for row in split if SHEET in row.group} == {SHEET, SHEET + examined.MARK}
    asked, before = (
        {(question_of(row), row.group.removesuffix(examined.MARK)) for row in rows if row.kind in ("grounded", "followup")}
        for rows in (made, made_of(plain))
    )
    assert asked == before, "what is asked goes to another side, and nothing is dropped"


def made_of(library: Library) -> list[Row]:
    documents = list(library.documents)
    return [
        *instruction.rows(library, "sheets", documents),
        *instruction.texts(library, "sheets", documents),
        *unanswerable.refusals(library, "sheets", documents),
        *unanswerable.clarifications(library, "sheets"),
        *unanswerable.off_topic(library, "sheets"),
    ]


def test_the_check_of_a_data_set_finds_an_examined_section_in_training() -> None:
    row = Row(id="1", group=SHEET + examined.MARK, kind="pretraining", language="en", source="s", text="a", split="train")
    with pytest.raises(BadInput, match="a model is examined on the section"):
        data_check._check_row(row, "train", {}, set())


def test_every_sheet_of_a_shipped_case_is_examined_in_part_and_little_of_the_corpus_in_all() -> None:
    every = shipped.sheets()
    files = contamination.files_of(data_config.DataConfig(sources=()).evaluation)
    ids = Library.of(every, ("en", "zh"), files).examined
    asked = {sheet for name in ("grounded", "choice") for case in cases.find(name).cases for sheet in case.sheets}
    assert {one.twin_of or one.document_id for one in every if one.id in ids} == asked
    assert 0.05 < len(ids) / len(every) < 0.2  # 482 of 3,864 passages; whole sheets would be 45 of 100
    assert rows.SPLITS[-1] == mixing.split_of(f"any{examined.MARK}", CONFIG)
