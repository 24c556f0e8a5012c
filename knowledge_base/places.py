"""Which part of the world lies in which (places.csv, after the regions of the UN geoscheme M49, with the names farmers use)."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from agri_llm.records import Answer, Passage, Question
from knowledge_base.terms import Glossary

WORLD = "world"


def elsewhere(answer: Answer, glossary: Glossary) -> tuple[str, list[int]]:
    """Return the asker's place, in their words, and the numbers of the citations whose passages are for other regions.

    The place is the one given beside the question, else one that the question names; without one nothing is elsewhere. Nor is a
    passage that names no region, or the world, or a part of the place, or a part of the world with the place in it.
    """
    said, places = _place(answer.question, glossary)
    if not said:
        return "", []
    numbers = [citation.number for citation in answer.citations if not _holds(citation.passage, said, places, glossary)]
    return (said, numbers) if numbers else ("", [])


def _place(question: Question, glossary: Glossary) -> tuple[str, frozenset[str]]:
    """Return the place of a question, or of the one it follows, as written, and its glossary ids."""
    asked: Question | None = question
    while asked is not None:
        if asked.place:
            return asked.place, frozenset(found.term.id for found in glossary.find(asked.place, {"place"}))
        named = glossary.find(asked.text, {"place"})
        if named:
            return named[0].text, frozenset(found.term.id for found in named)
        asked = asked.follows
    return "", frozenset()


def _holds(passage: Passage, said: str, places: frozenset[str], glossary: Glossary) -> bool:
    """Whether a passage may be read at a place: one of its regions lies in it, or it in one of them."""
    if not passage.region or WORLD in passage.region or said.casefold() in (region.casefold() for region in passage.region):
        return True
    regions = {found.term.id for region in passage.region for found in glossary.find(region, {"place"})}
    around = places.union(*(wider(place) for place in places))
    return bool(regions & around) or any(wider(region) & places for region in regions)


def wider(place: str) -> frozenset[str]:
    """Return the parts of the world that a place, by its glossary id, lies in."""
    return _within().get(place, frozenset())


@cache
def _within() -> dict[str, frozenset[str]]:
    with Path(__file__).with_name("places.csv").open(encoding="utf-8", newline="") as lines:
        return {row["place"]: frozenset(row["within"].split("|")) for row in csv.DictReader(lines)}
