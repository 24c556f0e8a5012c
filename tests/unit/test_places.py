"""A passage that was written for another part of the world than the asker's says so."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agri_llm.records import Answer, Citation, Passage, Question
from knowledge_base import places
from knowledge_base.terms import Glossary
from ui.notes import about


@pytest.fixture(scope="module")
def glossary() -> Glossary:
    return Glossary.load()


def answer(question: Question, *regions: tuple[str, ...]) -> Answer:
    passages = [Passage(id=f"d#{at}", document_id="d", title="", text="x", region=each) for at, each in enumerate(regions)]
    cited = tuple(Citation(number=at, passage=passage, quote="x") for at, passage in enumerate(passages, start=1))
    return Answer(question=question, kind="advice", text="x", citations=cited)


@pytest.mark.parametrize(
    ("place", "region", "is_elsewhere"),
    [
        ("Kenya", ("africa",), False),
        ("Kenya", ("asia",), True),
        ("Kenya", ("asia", "africa"), False),
        ("Kenya", ("world",), False),
        ("Kenya", (), False),
        ("Nakuru, Kenya", ("uganda",), True),
        ("Africa", ("kenya",), False),
        ("肯尼亚", ("east africa",), False),
        ("India", ("south asia", "africa"), False),
        ("Brazil", ("latin america",), False),
        ("Oregon", ("oregon",), False),
        ("Kenya", ("oregon",), True),
        ("Springfield", ("asia",), True),
    ],
)
def test_a_passage_holds_where_its_region_and_the_place_share_land(
    place: str, region: tuple[str, ...], is_elsewhere: bool, glossary: Glossary
) -> None:
    found = places.elsewhere(answer(Question(text="How do I plant maize?", place=place), region), glossary)
    assert found == ((place, [1]) if is_elsewhere else ("", []))


def test_the_place_may_stand_in_the_question_or_in_the_one_before_it(glossary: Glossary) -> None:
    first = Question(text="How do I grow rice in Nigeria?")
    assert places.elsewhere(answer(first, ("africa",), ("asia",)), glossary) == ("Nigeria", [2])
    assert places.elsewhere(answer(Question(text="And for maize?", follows=first), ("asia",)), glossary) == ("Nigeria", [1])
    assert places.elsewhere(answer(Question(text="How do I grow rice?"), ("asia",)), glossary) == ("", [])


def test_every_place_of_the_glossary_is_in_the_world(glossary: Glossary) -> None:
    known = {term.id for term in glossary.terms.values() if term.kind == "place"}
    with (Path(places.__file__).with_name("places.csv")).open(encoding="utf-8", newline="") as lines:
        rows = {row["place"]: row["within"].split("|") for row in csv.DictReader(lines)}
    widest = {"africa", "asia", "europe", "latin-america", "north-america", "pacific"}
    assert set(rows) == known - widest
    for place, within in rows.items():
        assert set(within) <= known
        assert set(within) & widest, place
        for wider in within:
            assert set(rows.get(wider, [])) - widest <= set(within), (place, wider)


@pytest.mark.parametrize("language", ["en", "zh", "es", "fr", "pt", "hi", "sw", "ar"])
def test_the_note_names_the_sources_and_both_places_in_the_language_of_the_question(language: str, glossary: Glossary) -> None:
    given = Question(text="?", place="Kenya", language=language)
    (note,) = [each for each in about(answer(given, ("asia",), ("africa",))) if "[1]" in each]
    assert "[2]" not in note
    assert "Kenya" in note
    assert glossary.name("asia", language) in note
