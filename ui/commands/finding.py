"""Searches an index for the `agri search` command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from agri_llm.errors import BadInput
from ui.commands.batches import Line, whole

if TYPE_CHECKING:
    from agri_llm.records import Hit
    from knowledge_base.index import KnowledgeBase
    from knowledge_base.reranking import SecondLook

TOGETHER = 64  # questions embedded at once


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many passages a search returns, and what they must be about."""

    k: int = 10
    crop: str | None = None
    region: str | None = None
    language: str | None = None


def search(base: KnowledgeBase | SecondLook, queries: list[str], wanted: Wanted) -> list[list[Hit]]:
    """Return the hits of each query; a crop may be given by any of its names.

    A query in another language than English (the one stated, or Chinese by its characters) is searched among the passages in
    its language where there are some, else by the English names of its terms. English ones are searched as they stand.
    """
    from agri_llm.questions import language_of
    from knowledge_base.terms import Glossary

    glossary = Glossary.load()
    crop = (glossary.crops(wanted.crop) or (wanted.crop.lower(),)) if wanted.crop else None
    texts = [whole(text) for text in queries]
    spoken = [language_of(text, wanted.language) for text in texts]
    english = ["" if language == "en" else glossary.translated(text) for text, language in zip(texts, spoken, strict=True)]
    found: list[list[Hit]] = [[] for _ in texts]
    for language in set(spoken):
        at = [number for number, each in enumerate(spoken) if each == language]
        only = language if language in base.view.languages and (wanted.language or language != "en") else None
        hits = base.search_all(
            [texts[number] for number in at],
            wanted.k,
            crop=crop,
            region=wanted.region,
            language=only,
            english=[english[number] for number in at],
        )
        for number, each in zip(at, hits, strict=True):
            found[number] = each
    return found


def search_batch(
    base: KnowledgeBase | SecondLook, lines: Iterable[Line | BadInput], wanted: Wanted
) -> Iterator[tuple[Line, list[Hit]] | BadInput]:
    """Yield each line with its hits, in order; what is wrong with a line comes in its place."""
    remaining = iter(lines)
    while group := list(islice(remaining, TOGETHER)):
        good = [line for line in group if isinstance(line, Line)]
        found = iter(search(base, [line.question for line in good], wanted))
        for line in group:
            yield line if isinstance(line, BadInput) else (line, next(found))
