"""A question with photos → the same question in words: what the photos seem to show is added to it, as a hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agri_llm import questions
from agri_llm.phrases import phrase
from agri_llm.questions import Understood
from agri_llm.records import HEALTHY, Diagnosis, Hit, Intent, Question

_CHEMICAL = ("chemical", "化学防治")


def in_words(question: Question, diagnosis: Diagnosis, subject: str, asked: Intent) -> Question:
    """Return the question with what its photos show; the words alone where the photos cannot be used.

    `subject` is what to look for when a photo has this label, `asked` what the words ask. Whoever asks what a healthy plant
    has, or what to do about it, is told how a healthy one looks.
    """
    said = question.text.strip() or phrase(questions.language_of(subject, question.language), "about_photo")
    if problem(diagnosis):
        return replace(question, text=said)
    if is_healthy(diagnosis) and asked in ("identify", "act"):
        return replace(question, text=subject)
    return replace(question, text=f"{said} ({subject})")


def problem(diagnosis: Diagnosis) -> str:
    """Name the phrase that says why photos cannot be used; "" where they can."""
    if diagnosis.quality != "good":
        return f"photo_{diagnosis.quality}"
    return "" if diagnosis.scope == "in" else f"photo_{diagnosis.scope}"


def is_healthy(diagnosis: Diagnosis) -> bool:
    """Whether the photos show a healthy plant."""
    return diagnosis.label.endswith(HEALTHY)


def careful(understood: Understood, diagnosis: Diagnosis | None) -> Understood:
    """Ask what it is, not what to do, where photos do not suffice for a diagnosis; of a healthy plant, just how it looks."""
    if diagnosis is None or problem(diagnosis):
        return understood
    if is_healthy(diagnosis) and understood.intent in ("identify", "act"):
        return replace(understood, intent="explain")
    return understood if diagnosis.certain else replace(understood, intent="identify")


def without_chemicals(hits: Sequence[Hit], diagnosis: Diagnosis | None) -> list[Hit]:
    """Leave out what to spray where the photos do not suffice for a diagnosis."""
    if diagnosis is None or problem(diagnosis) or diagnosis.certain:
        return list(hits)
    return [hit for hit in hits if not hit.passage.heading.lower().endswith(_CHEMICAL)]
