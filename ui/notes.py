"""What a reader must know of the sources of an answer: that they are in another language, or for another region.

Also that two models which looked at the photos do not agree.
"""

from __future__ import annotations

from agri_llm.phrases import phrase
from agri_llm.questions import language_note, language_of
from agri_llm.records import Answer
from knowledge_base import photo_labels
from knowledge_base.places import elsewhere
from knowledge_base.terms import Glossary


def about(answer: Answer) -> list[str]:
    """Return the notes, a sentence each, in the language of the question; none where there is nothing to know."""
    return [note for note in (_second_note(answer), language_note(answer), _region_note(answer)) if note]


def _second_note(answer: Answer) -> str:
    """Say that a second model would name another problem than the photo model does."""
    found = answer.diagnosis
    if found is None or found.seen is None or found.seen.fits == found.label:
        return ""
    language = language_of(answer.question.text, answer.question.language)
    if not found.seen.fits:
        return phrase(language, "second_none")
    return phrase(language, "second_differs", label=photo_labels.name_of(found.seen.fits, language))


def _region_note(answer: Answer) -> str:
    glossary = Glossary.load()
    place, numbers = elsewhere(answer, glossary)
    if not numbers:
        return ""
    language = language_of(answer.question.text, answer.question.language)
    regions = [region for each in answer.citations if each.number in numbers for region in each.passage.region]
    names = [_named(region, language, glossary) for region in dict.fromkeys(regions)]
    return phrase(
        language, "other_region", numbers=", ".join(f"[{number}]" for number in numbers), regions=", ".join(names), place=place
    )


def _named(region: str, language: str, glossary: Glossary) -> str:
    """Return the name of a region in a language, as it stands where the glossary does not know it."""
    found = glossary.find(region, {"place"})
    return glossary.name(found[0].term.id, language) if found else region
