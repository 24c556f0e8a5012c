"""Numbers asked for in six languages without sheets of their own are found in the English ones, and only there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agri_llm.assistant import Assistant
from agri_llm.language.composer import Composer
from agri_llm.records import Answer, Question
from knowledge_base import shipped
from knowledge_base.embedding import Embedder
from knowledge_base.index import KnowledgeBase
from knowledge_base.terms import Glossary

QUESTIONS = Path(__file__).parents[2] / "benchmarks" / "questions.numbers.jsonl"


@pytest.fixture(scope="module")
def assistant(tmp_path_factory: pytest.TempPathFactory) -> Assistant:
    folder, embedder = tmp_path_factory.mktemp("index"), Embedder()
    shipped.ensure(folder, embedder)
    return Assistant(search=KnowledgeBase(folder, embedder).search, model=Composer(), glossary=Glossary.load())


def answers(assistant: Assistant, *, answerable: bool) -> Iterator[tuple[dict[str, str], Answer]]:
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if bool(row["span"]) == answerable:
            yield row, assistant.answer(Question(text=row["question"], language=row["language"]))


def test_most_numbers_are_in_the_answer_in_every_language(assistant: Assistant) -> None:
    found: dict[str, list[bool]] = {}
    for row, answer in answers(assistant, answerable=True):
        found.setdefault(row["language"], []).append(row["span"] in answer.text)
    shares = {language: sum(right) / len(right) for language, right in found.items()}
    assert set(shares) == {"es", "fr", "pt", "hi", "sw", "ar"}
    assert min(shares.values()) >= 0.7, shares  # before measures were in the glossary: 0.17 to 0.27


def test_prices_doses_and_numbers_of_crops_without_a_sheet_are_not_answered(assistant: Assistant) -> None:
    assert [row["question"] for row, answer in answers(assistant, answerable=False) if answer.kind == "advice"] == []
