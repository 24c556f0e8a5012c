"""A question with photos → the same question in words: what the photos seem to show is added to it, as a hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agri_llm import questions
from agri_llm.phrases import phrase
from agri_llm.questions import Understood
from agri_llm.records import Diagnosis, Hit, Question

_HEALTHY = "__healthy"  # how labels of healthy crops end
_CHEMICAL = ("chemical", "化学防治")


def in_words(question: Question, diagnosis: Diagnosis, name: str) -> Question:
    """Return the question with what its photos show; the words alone where the photos cannot be used."""
    said = question.text.strip() or phrase(questions.language_of(name, question.language), "about_photo")
    if problem(diagnosis):
        return replace(question, text=said)
    return replace(question, text=f"{said} ({name})")


def problem(diagnosis: Diagnosis) -> str:
    """Name the phrase that says why photos cannot be used; "" where they can."""
    if diagnosis.quality != "good":
        return f"photo_{diagnosis.quality}"
    return "" if diagnosis.scope == "in" else f"photo_{diagnosis.scope}"


def is_healthy(diagnosis: Diagnosis) -> bool:
    """Whether the photos show a healthy plant."""
    return diagnosis.label.endswith(_HEALTHY)


def careful(understood: Understood, diagnosis: Diagnosis | None) -> Understood:
    """Ask what it is, not what to do, where the photos do not suffice for a diagnosis."""
    unsure = diagnosis is not None and not problem(diagnosis) and not diagnosis.certain
    return replace(understood, intent="identify") if unsure else understood


def without_chemicals(hits: Sequence[Hit], diagnosis: Diagnosis | None) -> list[Hit]:
    """Leave out what to spray where the photos do not suffice for a diagnosis."""
    if diagnosis is None or problem(diagnosis) or diagnosis.certain:
        return list(hits)
    return [hit for hit in hits if not hit.passage.heading.lower().endswith(_CHEMICAL)]
